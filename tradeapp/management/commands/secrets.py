"""Change the master key: `secrets rotate`."""

from __future__ import annotations

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from exchange.secrets import MasterKeyMissing, SealBroken
from tradeapp import master_key


class Command(BaseCommand):
    """Seal everything with a new master key."""

    help = "Make a new master key, seal every stored secret with it, and retire the old one; nothing has to stop."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the options."""
        parser.add_argument("what", choices=["rotate"])
        parser.add_argument("--json", action="store_true")

    def handle(self, *_words: Any, **options: Any) -> None:
        """Rotate and say so."""
        try:
            count = master_key.rotate(by=None, now=timezone.now())
        except (MasterKeyMissing, SealBroken) as error:
            raise CommandError(str(error)) from error
        said = f"{count} secrets are sealed with a new master key. Take a backup now: older ones hold the old key."
        self.stdout.write(json.dumps({"resealed": count}) if options["json"] else said)
