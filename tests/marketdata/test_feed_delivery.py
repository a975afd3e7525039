"""Whatever the stream does, the strategies see every closed bar exactly once, in order, as the exchange answers it."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from types import SimpleNamespace
from typing import cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exchange.ports import MarketPort
from marketdata.candles import moment
from marketdata.feed.loop import Feed
from marketdata.feed.market_clock import MarketClock
from marketdata.feed.progress import Progress
from marketdata.models import Market, Subscription
from tests.marketdata.street import BEGIN, MINUTE, SYMBOLS, Lies, Memory, Street, StreetClock, StreetPort
from tests.simulation.clock import VirtualLoop

SHARE = st.sampled_from([0.0, 0.1, 0.5])
LIES = st.builds(Lies, drops=SHARE, repeats=SHARE, delays=SHARE, revises=SHARE, garbles=SHARE, cuts=SHARE, refuses=SHARE)


class SleepyClock(StreetClock):
    """A clock that wakes up long after the audit of twelve bars was due, as on a machine with too much to do."""

    async def next_close(self, after: int) -> int | None:
        await asyncio.sleep(17)
        return self.street.now


def live_through(street_of: Lies, *, seed: int, bars: int, clock: type[StreetClock] = StreetClock) -> tuple[Street, Memory]:
    """Run a feed over a market of so many bars, and a few seconds more."""
    loop = VirtualLoop()

    async def story() -> tuple[Street, Memory]:
        street, memory = Street(street_of, seed, bars), Memory()
        feed = Feed(
            market=cast("Market", SimpleNamespace(pk=1)),
            port=cast("MarketPort", StreetPort(street)),
            market_clock=cast("MarketClock", clock(street)),
            store=memory,
        )
        running = asyncio.ensure_future(feed.run())
        await street.run()
        await asyncio.sleep(120)
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running
        return street, memory

    try:
        return loop.run_until_complete(story())
    finally:
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()


@pytest.mark.fault("M02", "M03")
@settings(max_examples=60, deadline=None)
@given(lies=LIES, seed=st.integers(0, 2**32))
def test_every_closed_bar_reaches_the_strategies_once_and_in_order(lies: Lies, seed: int) -> None:
    street, memory = live_through(lies, seed=seed, bars=25)

    assert memory.rings == sorted(set(memory.rings))
    assert memory.rings[-1] == street.now
    for number, name in enumerate(SYMBOLS, start=1):
        truth = [street.truth[name][at] for at in sorted(street.truth[name])][-25:]
        seen = memory.stepped[number][-25:]
        assert [bar.open_time for bar in seen] == [bar.open_ms for bar in truth]
        stored = [memory.candles[number, bar.open_ms] for bar in truth]
        assert [tuple(bar[3:]) for bar in stored] == [(b.open, b.high, b.low, b.close, b.volume) for b in truth]


def test_the_candles_that_close_together_are_stored_in_one_transaction() -> None:
    _, memory = live_through(Lies(), seed=1, bars=10)

    assert memory.batches.count(len(SYMBOLS)) == 10


@pytest.mark.fault("M02")
def test_a_lost_bar_is_fetched_before_the_next_one_is_told() -> None:
    street, memory = live_through(Lies(drops=0.5), seed=7, bars=40)
    known = {number: [bar.open_time for bar in bars] for number, bars in memory.stepped.items()}
    for opens in known.values():
        assert {later - earlier for earlier, later in itertools.pairwise(opens)} == {MINUTE}
    assert memory.rings[-1] == street.now


@pytest.mark.fault("M13")
def test_what_the_stream_told_once_wrongly_and_believably_is_found_by_the_audit() -> None:
    street, memory = live_through(Lies(warps=0.3), seed=5, bars=48)
    settled = [bar for bar in memory.stepped[1] if bar.open_time < memory.rings[-1] - 15 * MINUTE]
    truth = {at: bar.close for at, bar in street.truth[SYMBOLS[0]].items()}
    assert [memory.candles[1, bar.open_time].close for bar in settled] == [truth[bar.open_time] for bar in settled]
    assert [bar.close for bar in settled] != [truth[bar.open_time] for bar in settled], "the strategies were told otherwise"
    assert memory.facts["disputed"] > 0


@pytest.mark.fault("M13")
def test_an_audit_that_comes_late_leaves_out_no_bar() -> None:
    street, memory = live_through(Lies(warps=0.3), seed=5, bars=120, clock=SleepyClock)
    audited = memory.facts["audited_through"]
    assert audited >= street.now - 29 * MINUTE, "seventeen bars of sleep and twelve until it is due"
    for number, name in enumerate(SYMBOLS, start=1):
        truth = {at: bar.close for at, bar in street.truth[name].items() if at < audited}
        assert {at: memory.candles[number, at].close for at in truth} == truth
    assert memory.facts["disputed"] > 20


def test_a_feed_that_starts_audits_what_the_one_before_it_may_have_left() -> None:
    row = SimpleNamespace(
        pk=1,
        instrument_id=1,
        instrument=SimpleNamespace(symbol=SYMBOLS[0]),
        interval="1m",
        history_bars=900,
        synced_from_at=moment(BEGIN),
        synced_through_at=moment(BEGIN + 900 * MINUTE),
    )
    progress = Progress()
    progress.follow([cast("Subscription", row)])
    track = progress.tracks[1]

    seen = [(track.is_due_for_audit, track.audit_begin, progress.audited_through())]
    track.audited_through = BEGIN + 900 * MINUTE
    for minute in (911, 950):
        progress.note(1, through=BEGIN + minute * MINUTE)
        seen.append((track.is_due_for_audit, track.audit_begin, progress.audited_through()))

    audited = BEGIN + 900 * MINUTE
    assert seen == [(True, BEGIN + 700 * MINUTE, None), (False, audited, audited), (True, audited, audited)]


@pytest.mark.fault("M01")
def test_a_silent_stream_still_delivers_bars_by_questions_and_puts_its_prices_in_doubt() -> None:
    street, memory = live_through(Lies(silent=True), seed=3, bars=30)
    assert len(memory.stepped[1]) >= 30
    doubted = [at for at, standing in memory.troubles if standing]
    assert doubted[0] <= 11.0, "stale within ten seconds and a look"
    assert {frozenset(standing) for _, standing in memory.troubles if standing} == {frozenset({1, 2})}
    assert street.reopened, "a silent stream is opened anew"
    assert abs(memory.newest[1].market_ms - street.now) <= 3 * MINUTE, "exits go by the exchange's answers"
