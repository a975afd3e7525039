"""Put a backup back."""

from __future__ import annotations

import json
import os
import shlex
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from tradeapp.backups import archive, restoring
from tradeapp.backups.archive import BadArchive
from tradeapp.backups.database import DatabaseRefused
from tradeapp.backups.places import Place
from tradeapp.backups.restoring import Restored
from tradeapp.up.trouble import UnableToStart


class Command(BaseCommand):
    """Fill this data directory from a backup; its accounts stay closed until they are reopened."""

    help = "Put a backup back; accounts stay halted until `reopen` has compared them with the exchange."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the options."""
        parser.add_argument("file", type=Path, help="a file that `backup` has written")
        parser.add_argument("--json", action="store_true", help="print facts as JSON")

    def handle(self, *_words: Any, **options: Any) -> None:
        """Restore and say what comes next."""
        place = Place(settings.TRADEAPP_DATA_DIR, os.environ.get("DATABASE_URL", ""))
        try:
            done = restoring.restore(source=options["file"], place=place, now=timezone.now())
        except (BadArchive, DatabaseRefused, UnableToStart, OSError, ValueError) as error:
            raise CommandError(f"Nothing was restored: {error}") from error
        if options["json"]:
            facts = {"deploys": done.deploys, "kept_database": done.kept_database, "kept_files": done.kept_files}
            self.stdout.write(json.dumps({**facts, "backup": archive.as_json(done.manifest)}, indent=1))
        else:
            self._explain(done)

    def _explain(self, done: Restored) -> None:
        self.stdout.write(f"Restored the copy of {done.manifest.created_at}.")
        if done.kept_database:
            self.stdout.write(f"The database that was here is kept as {done.kept_database}.")
        for name in done.kept_files:
            self.stdout.write(f"Kept as it is: {name}.")
        if not Path(settings.MASTER_KEY_FILE).exists():
            self.stdout.write(f"Now bring {settings.MASTER_KEY_FILE}: without it no exchange key can be opened.")
        for name in done.deploys:
            self.stdout.write(f"{name} is halted. Make sure that no other installation trades it. Start the system, then run")
            self.stdout.write(f"  python manage.py reopen --account {shlex.quote(name)} --confirm {shlex.quote(name)}")
