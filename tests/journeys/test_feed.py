"""The feed against the real venue, through real streams, with the venue and the feed killed on the way."""

from __future__ import annotations

import subprocess
import sys

import pytest

from bots.lineups import Plan
from marketdata.candles import milliseconds
from marketdata.models import Candle, Mark, Subscription
from tests.journeys import parity
from tests.journeys.stack import PROJECT, Stack

pytestmark = pytest.mark.timeout(180)


def synced_through() -> int:
    newest = [row.synced_through_at for row in Subscription.objects.all()]
    return min((milliseconds(at) for at in newest if at), default=0) if all(newest) else 0


def venue_candles(stack: Stack, symbol: str, since: int, until: int) -> dict[int, tuple[float, ...]]:
    times, columns = parity.venue_candles(stack.venue_port, symbol, since, until)
    return dict(zip(times, zip(*columns, strict=True), strict=True))


def test_the_feed_misses_nothing_though_it_and_the_venue_are_killed(synthetic_stack: Stack, lineup: Plan) -> None:
    stack = synthetic_stack
    stack.start_venue()
    demo = stack.set_up(lineup)
    begun = stack.clock()["market_time"]
    market = str(demo.account.market_id)
    feed, command = f"feed {market}", [sys.executable, str(PROJECT / "manage.py"), "run_feed", "--market", market]
    stack.start(feed, command)
    stack.wait_until(lambda: synced_through() > begun + 600_000, what="the first streamed candles")

    second = subprocess.run(command, env=stack.environment("second"), capture_output=True, text=True, timeout=60, check=False)
    refusal = f"CommandError: Another process feeds market {market} already. Stop it first."
    assert second.returncode != 0
    assert second.stderr.strip().splitlines()[-1] == refusal

    stack.kill("venue")
    stack.restart("venue")
    at_restart = synced_through()
    stack.wait_until(lambda: synced_through() > at_restart + 900_000, what="candles after the venue's restart")
    stack.kill(feed)
    before = synced_through()
    stack.restart(feed)
    stack.wait_until(lambda: synced_through() > before + 900_000, what="candles after the feed's restart")

    until = synced_through()
    for subscription in Subscription.objects.select_related("instrument"):
        begin = until - 900 * 300_000
        assert subscription.synced_from_at is not None
        assert milliseconds(subscription.synced_from_at) <= begun - 900 * 300_000
        stored = {
            milliseconds(candle.open_at): (candle.open, candle.high, candle.low, candle.close, candle.volume)
            for candle in Candle.objects.filter(instrument=subscription.instrument)
            if begin <= milliseconds(candle.open_at) < until
        }
        assert stored == venue_candles(stack, subscription.instrument.venue_symbol, begin, until)
        assert len(stored) > 800
    assert Mark.objects.count() == 2
