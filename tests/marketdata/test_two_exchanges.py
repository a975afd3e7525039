"""A coin on two exchanges: a second feed beside the account's, one money for both, and what would be left after fees."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from exchange.connect import market_port
from marketdata import comparisons, selectors, writers
from marketdata.feed.loop import Feed
from marketdata.feed.market_clock import WallClock
from marketdata.feed.store import DatabaseStore
from marketdata.models import Candle, Instrument, Mark, Market
from portfolio.models import AuditEntry
from tests.exchange.coinbase_stand_in import CoinbaseStandIn, serving
from tests.marketdata.conftest import NOW, bitcoin_filters
from tradeapp.sources import forget_market, watch_market
from trading.bars import MINUTE_MS

PATIENCE = 60


def mark(market: Market, symbol: str, price: str, *, seconds: int = 1) -> Instrument:
    base, quote = symbol.split("/")
    filters = replace(bitcoin_filters(), symbol=symbol, base=base, quote=quote)
    row = writers.upsert_instrument(
        market_id=market.pk, venue_symbol=symbol.replace("/", "-"), filters=filters, raw={}, order_count_max=200, now=NOW
    )
    at = timezone.now() - timedelta(seconds=seconds)
    writers.set_marks([(row.pk, Decimal(price), at)], now=at)
    return row


@pytest.fixture
def binance(db: None) -> Market:
    found = writers.upsert_market(exchange="binance", epoch="real", facts={"label": "x"}, now=NOW)
    writers.watch_market(market_id=found.pk, is_watched=True)
    return found


@pytest.fixture
def coinbase(db: None) -> Market:
    facts = {"label": "y", "taker_fee_ppm": 6000}
    found = writers.upsert_market(exchange="coinbase", epoch="real", facts=facts, now=NOW)
    writers.watch_market(market_id=found.pk, is_watched=True)
    return found


def test_a_difference_is_told_in_one_money_and_after_all_fees(binance: Market, coinbase: Market) -> None:
    mark(binance, "BTC/USDT", "60000")
    mark(coinbase, "BTC/USD", "61200")
    mark(coinbase, "USDT/USD", "0.99")
    [one] = [row for row in comparisons.comparisons(now=timezone.now()) if row.base == "BTC"]
    # A dollar is worth 1 / 0.99 of the stable coin: 61200 dollars are 61818.18 of it.
    assert (one.first.exchange, one.second.exchange) == ("binance", "coinbase")
    assert one.rate == Decimal("1.010101")
    assert one.rate_by == "USDT/USD"
    assert one.difference == Decimal("0.030303")
    # 1.030303 less 0.1 % and 0.6 % of fees, and twice half a basis point of spread.
    bought, sold = Decimal(60000) * Decimal("1.00005") * Decimal("1.001"), Decimal(61200) / Decimal("0.99")
    left = sold * Decimal("0.99995") * Decimal("0.994") / bought - 1
    assert one.left_buying_first == left.quantize(Decimal("0.000001"))
    assert one.left_buying_second is not None
    assert one.left_buying_second < -one.difference


def test_without_a_price_between_two_moneys_nothing_is_guessed(binance: Market, coinbase: Market) -> None:
    mark(binance, "BTC/USDT", "60000")
    mark(coinbase, "BTC/EUR", "55000")
    [one] = comparisons.comparisons(now=timezone.now())
    assert (one.rate, one.difference, one.left_buying_first, one.rate_by) == (None, None, None, comparisons.NO_RATE)


def test_a_price_in_doubt_says_so_and_one_exchange_is_no_comparison(binance: Market, coinbase: Market) -> None:
    first = mark(binance, "BTC/USDT", "60000")
    mark(binance, "BTC/USDC", "60010")
    assert comparisons.comparisons(now=timezone.now()) == []
    mark(coinbase, "BTC/USDT", "60100")
    state = {"instrument_id": first.pk, "doubt": "SILENT", "detail": "11 s", "since_at": None, "silent_seconds": 11.0}
    writers.set_price_health([state], now=timezone.now())
    doubts = {row.first.symbol: row.first.doubt for row in comparisons.comparisons(now=timezone.now())}
    assert "SILENT" in doubts["BTC/USDT"]
    assert doubts["BTC/USDC"] == ""


def test_a_watched_market_is_fed_and_takes_no_traded_markets_place(market: Market, bitcoin: Instrument, coinbase: Market) -> None:
    assert coinbase.pk in selectors.markets_to_feed()
    assert coinbase.pk not in selectors.markets_traded()
    forget_market(exchange="coinbase", by=None, now=timezone.now())
    assert coinbase.pk not in selectors.markets_to_feed()
    assert AuditEntry.objects.get(action="market.forget").subject == f"market:{coinbase.pk}"
    with pytest.raises(Exception, match="Nobody watches coinbase"):
        forget_market(exchange="coinbase", by=None, now=timezone.now())


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["add", "--symbol", "BTC/USD"], "--exchange is missing"),
        (["add", "--exchange", "kraken"], "--symbol is missing"),
        (["add", "--exchange", "bynance", "--symbol", "BTC/USD"], "no exchange"),
        (["remove", "--exchange", "kraken"], "Nobody watches kraken"),
    ],
)
def test_watching_what_is_not_there_is_refused(db: None, words: list[str], complaint: str) -> None:
    with pytest.raises(CommandError, match=complaint):
        call_command("watch", *words, stdout=StringIO())


@pytest.mark.django_db(transaction=True)
async def test_the_second_feed_brings_marks_and_candles_of_another_exchange() -> None:
    database = ThreadPoolExecutor(1)
    loop = asyncio.get_running_loop()

    def run(work: Any) -> Any:
        return loop.run_in_executor(database, work)

    async with serving() as stand_in:
        market = await _watched(stand_in, run)
        port = market_port(exchange="coinbase", rest_url=stand_in.addresses["rest"], stream_url=f"ws://127.0.0.1:{stand_in.port}")
        clock = WallClock(MINUTE_MS)
        store = DatabaseStore(market_id=market.pk, clock=timezone.now, database=database)
        feed = asyncio.create_task(Feed(market=market, port=port, market_clock=clock, store=store).run())
        try:
            async with asyncio.timeout(PATIENCE):
                while not await run(lambda: Mark.objects.exists() and Candle.objects.count() >= 1440):
                    assert not feed.done(), feed.exception()
                    await asyncio.sleep(0.1)
        finally:
            feed.cancel()
            await asyncio.gather(feed, return_exceptions=True)
            await clock.close()
            await port.close()
        found = await run(lambda: Mark.objects.select_related("instrument").get())
        assert (found.instrument.symbol, found.price) == ("BTC/USD", Decimal("64000.5"))
        await run(_close)
    database.shutdown()


async def _watched(stand_in: CoinbaseStandIn, run: Any) -> Market:
    port = market_port(exchange="coinbase", rest_url=stand_in.addresses["rest"])
    listings = await port.instruments()
    await port.close()
    watched: Market = await run(
        lambda: watch_market(exchange="coinbase", listings=listings, intervals=["1m"], by=None, now=timezone.now())
    )
    return watched


def _close() -> None:
    from django.db import connection

    connection.close()
