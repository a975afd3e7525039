"""Print a one-time link that signs the first administrator in."""

from __future__ import annotations

import json
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser
from django.utils import timezone

from tradeapp import environment, sign_in


class Command(BaseCommand):
    """Make a sign-in link."""

    help = "Print a link that signs the first administrator in, once, within 15 minutes."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the options."""
        parser.add_argument("--base-url", help="address of the dashboard; by default that of the running system")
        parser.add_argument("--json", action="store_true")

    def handle(self, *_words: Any, **options: Any) -> None:
        """Make and print."""
        remembered = environment.remembered_addresses(settings.TRADEAPP_DATA_DIR)
        base_url = options["base_url"] or remembered.get("DASHBOARD_URL", "http://127.0.0.1:8000")
        link = sign_in.create_sign_in_link(now=timezone.now(), base_url=base_url)
        self.stdout.write(json.dumps({"sign_in_link": link}) if options["json"] else link)
