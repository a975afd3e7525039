"""Run the local exchange alone: `manage.py venue serve` is `python -m venue`, which knows its own options."""

from __future__ import annotations

import os
import sys
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser


class Command(BaseCommand):
    """Start the local exchange in this process's place."""

    help = "Run the local exchange alone; options after `serve` go to `python -m venue`."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the action."""
        parser.add_argument("action", choices=["serve"])

    def run_from_argv(self, argv: list[str]) -> None:
        """Take the options after `serve` as they are: this command does not interpret them."""
        self._options = argv[3:]
        super().run_from_argv(argv[:3])

    def handle(self, *_words: Any, **_options: Any) -> None:
        """Become the local exchange."""
        options = list(getattr(self, "_options", []))
        if "--data-dir" not in options:
            options += ["--data-dir", str(settings.TRADEAPP_DATA_DIR / "venue-alone")]
        os.execv(sys.executable, [sys.executable, "-m", "venue", *options])  # our own interpreter.  # noqa: S606  # nosec B606
