"""Follow the public prices of exchanges that no account trades on: the second feed that a comparison of two prices needs."""

from __future__ import annotations

import asyncio
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from exchange.connect import UnknownExchange, market_port
from exchange.errors import ExchangeTrouble
from exchange.ports import Listing
from marketdata.models import Market
from tradeapp.sources import UnableToWatch, forget_market, watch_market
from trading.bars import INTERVALS


class Command(BaseCommand):
    """Translate the command line into markets that are watched."""

    help = "Watch public prices of a second exchange: `watch add --exchange coinbase --symbol BTC/USD`."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the options."""
        parser.add_argument("action", choices=("list", "add", "remove"))
        parser.add_argument("--exchange", default="", help="any exchange that ccxt knows")
        parser.add_argument("--symbol", nargs="+", default=[], metavar="BTC/USD")
        parser.add_argument("--interval", nargs="+", default=["1m"], choices=sorted(INTERVALS), metavar="1m")

    def handle(self, *_words: Any, **options: Any) -> None:
        """Do what is asked."""
        exchange, now = options["exchange"], timezone.now()
        if options["action"] == "list":
            self._list()
            return
        if not exchange:
            raise CommandError("--exchange is missing: watch add --exchange coinbase --symbol BTC/USD")
        try:
            if options["action"] == "remove":
                forget_market(exchange=exchange, by=None, now=now)
                self.stdout.write(f"{exchange} is watched no longer; what was kept stays.")
                return
            listings = self._listings(exchange, options["symbol"])
            market = watch_market(exchange=exchange, listings=listings, intervals=options["interval"], by=None, now=now)
        except (UnableToWatch, UnknownExchange) as error:
            raise CommandError(str(error)) from error
        except ExchangeTrouble as trouble:
            raise CommandError(f"{exchange} does not say what it lists: {trouble.message}") from trouble
        self.stdout.write(f"{exchange} is market {market.pk}. Its feed runs from the next start of `up` on, or now with")
        self.stdout.write(f"python manage.py run_feed --market {market.pk}")

    def _listings(self, exchange: str, symbols: list[str]) -> list[Listing]:
        if not symbols:
            raise CommandError("--symbol is missing: which pairs, for example BTC/USD?")
        listed = {listing.instrument.symbol: listing for listing in asyncio.run(_read(exchange))}
        unknown = [symbol for symbol in symbols if symbol not in listed]
        if unknown:
            raise CommandError(f"{exchange} does not list {', '.join(unknown)}.")
        return [listed[symbol] for symbol in symbols]

    def _list(self) -> None:
        for market in Market.objects.filter(is_watched=True).order_by("id"):
            symbols = ", ".join(market.instruments.order_by("symbol").values_list("symbol", flat=True))
            self.stdout.write(f"market {market.pk}  {market.exchange:12} {symbols}")


async def _read(exchange: str) -> list[Listing]:
    port = market_port(exchange=exchange)
    try:
        return await port.instruments()
    finally:
        await port.close()
