"""Take a backup."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from tradeapp.backups import archive, taking
from tradeapp.backups.database import DatabaseRefused
from tradeapp.backups.places import Place


class Command(BaseCommand):
    """Copy database and files into one file while everything runs."""

    help = "Take a consistent copy of the database and the data directory; the master key is not in it."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the options."""
        parser.add_argument("--to", type=Path, metavar="FILE", help="the file to write (default: backups/ in the data directory)")
        parser.add_argument("--json", action="store_true", help="print facts as JSON")

    def handle(self, *_words: Any, **options: Any) -> None:
        """Copy and say where it is."""
        place = Place(settings.TRADEAPP_DATA_DIR, os.environ.get("DATABASE_URL", ""))
        try:
            path, manifest = taking.take(place=place, target=options["to"], now=timezone.now())
        except (DatabaseRefused, OSError) as error:
            raise CommandError(f"No backup was taken: {error}") from error
        if options["json"]:
            self.stdout.write(json.dumps({"file": str(path), **archive.as_json(manifest)}, indent=1))
            return
        for head in manifest.heads:
            self.stdout.write(f"{head.account}: {head.ledger_seq} ledger transactions, {head.trades_posted} trades")
        self.stdout.write(f"Backup: {path} ({path.stat().st_size / 1e6:.1f} MB). The exchange keys in it are sealed:")
        self.stdout.write(f"keep {settings.MASTER_KEY_FILE} at another place; without it no restored key can be opened.")
