"""Run the feed of one market."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import InterfaceError, OperationalError
from django.utils import timezone

from marketdata.feed import process
from marketdata.models import Market


class Command(BaseCommand):
    """Bring candles and marks of a market in until stopped."""

    help = "Bring candles and marks of one market in (started by up)."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the options."""
        parser.add_argument("--market", type=int, required=True, help="id of the market")

    def handle(self, *_words: Any, **options: Any) -> None:
        """Run; end with one line for expected trouble, so that the supervisor can show it."""
        try:
            process.run(market_id=options["market"], clock=timezone.now)
        except Market.DoesNotExist:
            raise CommandError(f"There is no market {options['market']}. `python manage.py setup_demo` makes one.") from None
        except process.AnotherFeed as error:
            raise CommandError(str(error)) from error
        except (OperationalError, InterfaceError) as error:
            raise CommandError(f"The database is gone: {error}".strip()) from error
