"""Start everything and keep it running. `manage.py up` comes here only through `call_command` and `help`."""

from __future__ import annotations

import argparse
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from tradeapp.up import start
from tradeapp.up.trouble import UnableToStart


class Command(BaseCommand):
    """Start servers, the local exchange and all processes."""

    help = "Start everything and keep it running until Ctrl-C."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the options."""
        start.add_arguments(parser)

    def handle(self, *_words: Any, **options: Any) -> None:
        """Run until asked to stop."""
        try:
            start.run(argparse.Namespace(**options))
        except UnableToStart as trouble:
            raise CommandError(str(trouble)) from trouble
