"""Bring the database up to date. `up` runs this before everything else."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser
from django.utils import timezone

from tradeapp import installation, live_gate


class Command(BaseCommand):
    """Migrate, set up the demo account, and print as JSON what to run."""

    help = "Bring the database up to date and print what to run (used by up)."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the options."""
        parser.add_argument("--base-url", default="http://127.0.0.1:8000")
        parser.add_argument("--exposed", action="store_true", help="the dashboard can be reached from other machines")
        parser.add_argument("--no-demo", dest="demo", action="store_false")

    def handle(self, *_words: Any, **options: Any) -> None:
        """Prepare and print."""
        installation.refuse_bad_bot_settings(active_bot=settings.ACTIVE_BOT, percents=settings.BOT_PERCENT)
        if settings.TRADING_MODE == "live":
            live_gate.demand(now=timezone.now())
        prepared = installation.prepare(
            base_url=options["base_url"],
            demo=options["demo"],
            master_key_file=settings.MASTER_KEY_FILE,
            now=timezone.now(),
        )
        if options["exposed"]:
            live_gate.demand_second_factors()
        self.stdout.write(json.dumps(asdict(prepared)))
