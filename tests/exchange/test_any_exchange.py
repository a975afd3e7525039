"""The public market of an exchange that has no adapter of its own, through ccxt's unified methods: Coinbase, stood in for."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from decimal import Decimal

import ccxt
import pytest

from exchange import quota
from exchange.anywhere import reading
from exchange.anywhere.market import AnyMarket
from exchange.errors import ExchangeTrouble, Outcome
from exchange.ports import PublicTrade, QuoteUpdate, StreamGap, StreamOpen, Unreadable
from tests.exchange.coinbase_stand_in import CoinbaseStandIn, serving

BTC = "BTC/USD"
MINUTE = 60_000


@pytest.fixture
async def coinbase(caplog: pytest.LogCaptureFixture) -> AsyncIterator[CoinbaseStandIn]:
    caplog.set_level("WARNING", logger="aiohttp.access")
    async with serving() as stand_in:
        yield stand_in


@pytest.fixture
async def market(coinbase: CoinbaseStandIn) -> AsyncIterator[AnyMarket]:
    port = AnyMarket(exchange="coinbase", addresses=coinbase.addresses)
    yield port
    await port.close()
    assert coinbase.unknown == []


async def test_instruments_are_read_with_their_steps(market: AnyMarket) -> None:
    [listing] = await market.instruments()
    assert (listing.instrument.symbol, listing.venue_symbol) == (BTC, "BTC-USD")
    assert (listing.instrument.tick_size, listing.instrument.lot_size) == (Decimal("0.01"), Decimal("1E-8"))
    assert (listing.instrument.min_quantity, listing.instrument.min_notional) == (Decimal("0.0001"), Decimal(1))


async def test_candles_are_closed_whole_and_in_order(market: AnyMarket) -> None:
    begin = int(time.time()) // 60 * MINUTE - 10 * MINUTE
    rows = await market.candles(BTC, "1m", begin, 100)
    # Another minute may have closed meanwhile; the one that is open is never told.
    assert [row.open_ms for row in rows] == [begin + number * MINUTE for number in range(len(rows))]
    assert begin + 10 * MINUTE <= rows[-1].open_ms + MINUTE <= int(time.time() * 1000)
    assert (rows[0].open, rows[0].high, rows[0].low, rows[0].close, rows[0].volume) == (64000, 64010, 63990, 64001, 2.5)


async def test_quotes_are_asked_for_and_streamed_and_a_cut_shows(coinbase: CoinbaseStandIn, market: AnyMarket) -> None:
    [asked] = await market.quotes([BTC])
    assert (asked.bid, asked.ask) == (Decimal("64000.0"), Decimal("64001.0"))
    stream = market.watch_quotes([BTC])
    async with asyncio.timeout(60):
        heard = [await anext(stream) for _ in range(3)]
        assert any(isinstance(event, StreamOpen) for event in heard)
        coinbase.bid = 65_000.0
        while not (isinstance(event := await anext(stream), QuoteUpdate) and event.bid == 65_000):
            pass
        for socket in coinbase.sockets:
            await socket.close()
        while not isinstance(await anext(stream), StreamGap):
            pass
        while not isinstance(await anext(stream), QuoteUpdate):
            pass
    await stream.aclose()  # type: ignore[attr-defined]


async def test_trades_come_once_each(market: AnyMarket) -> None:
    stream = market.watch_trades([BTC])
    async with asyncio.timeout(60):
        events = [await anext(stream) for _ in range(8)]
    numbers = [event.trade_id for event in events if isinstance(event, PublicTrade)]
    assert len(numbers) == len(set(numbers)) >= 6
    await stream.aclose()  # type: ignore[attr-defined]


@pytest.mark.parametrize(("status", "outcome"), [(429, Outcome.BACKOFF_WEIGHT), (503, Outcome.UNAVAILABLE)])
async def test_errors_are_classified(coinbase: CoinbaseStandIn, market: AnyMarket, status: int, outcome: Outcome) -> None:
    coinbase.status = status
    with pytest.raises(ExchangeTrouble) as trouble:
        await market.quotes([BTC])
    assert trouble.value.outcome == outcome


def test_an_error_that_nobody_knows_may_be_tried_again() -> None:
    assert reading.outcome_of(ccxt.ExchangeError("?")) == Outcome.UNAVAILABLE
    assert reading.outcome_of(ccxt.PermissionDenied("?")) == Outcome.KEY_INVALID


@pytest.mark.fault("M04", "M08")
@pytest.mark.parametrize(
    "ticker",
    [
        {"bid": None, "ask": 1.0},
        {"bid": float("nan"), "ask": 1.0},
        {"bid": 1e308, "ask": 1.0},
        {"bid": 1.0, "ask": 2.0, "timestamp": 5},
    ],
)
def test_nonsense_is_no_quote(ticker: dict[str, float]) -> None:
    assert isinstance(reading.quote(BTC, ticker, now_ms=1_709_251_200_000), Unreadable)


@pytest.mark.fault("M12", "P02")
async def test_processes_of_one_address_share_one_allowance() -> None:
    class Together:
        def __init__(self) -> None:
            self.used = 0

        async def take(self, host: str, kind: str, window: int, amount: int) -> int:
            self.used += amount
            return self.used

    now, slept = [0.0], 0
    together = Together()
    quota.hang(together)
    together.used = 290
    for _ in range(10):
        await quota.admit("x", "dials", 1, limit=300, seconds=300, wall_seconds=lambda: now[0])
    waiting = asyncio.create_task(quota.admit("x", "dials", 1, limit=300, seconds=300, wall_seconds=lambda: 299.99 + slept))
    await asyncio.sleep(0.02)
    assert not waiting.done(), "the eleventh would be the 301st of the address"
    slept, together.used = 1, 0
    await asyncio.wait_for(waiting, 60)
    quota.hang(quota.alone())
