"""Run the trader of one account."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from exchange.errors import KeyRefused
from portfolio.models import Account
from portfolio.trader import metrics, process, schema
from portfolio.trader.keys import UnableToTrade
from portfolio.trader.lease import LeaseLost


class Command(BaseCommand):
    """Send orders and take in fills of one account until stopped."""

    help = "Trade one account (started by up)."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the options."""
        parser.add_argument("--account", type=int, required=True, help="id of the account")

    def handle(self, *_words: Any, **options: Any) -> None:
        """Run; end with one line for expected trouble, so that the supervisor can show it."""
        try:
            schema.check_migrated()
            base: int = settings.TRADEAPP_METRICS_PORT
            metrics.serve_on(base and base + options["account"])
            process.run(account_id=options["account"], clock=timezone.now)
        except* Account.DoesNotExist:
            raise CommandError(f"There is no account {options['account']}. `python manage.py setup_demo` makes one.") from None
        except* (UnableToTrade, KeyRefused, LeaseLost) as group:
            raise CommandError(str(process.first(group))) from None
