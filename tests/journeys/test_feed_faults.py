"""The feed against the real venue while its streams lose, repeat, delay, revise, end and go silent."""

from __future__ import annotations

import sys
import time
import urllib.request
from datetime import timedelta
from typing import Any

import pytest

from bots.lineups import Plan
from marketdata.candles import milliseconds
from marketdata.models import Candle, Instrument, PriceHealth
from portfolio.models import Heartbeat
from tests.journeys.stack import PROJECT, Stack
from tests.journeys.test_feed import synced_through, venue_candles

pytestmark = pytest.mark.timeout(400)
KLINES = {"event": "kline", "execution": "closed"}
HOSTILE: list[dict[str, Any]] = [
    {"id": "M02", "action": "withhold", "match": KLINES, "when": {"chance": 0.2}, "times": 0},
    {"id": "M03", "action": "duplicate", "match": KLINES, "when": {"chance": 0.3}, "times": 0},
    {"id": "M03", "action": "reorder", "match": KLINES, "when": {"chance": 0.1}, "times": 0, "with": {"events": 2}},
    {"id": "M03", "action": "revise", "match": KLINES, "when": {"chance": 0.1}, "times": 0, "with": {"factor": 1.02}},
    {"id": "M04", "action": "edit", "match": KLINES, "when": {"chance": 0.05}, "times": 0, "with": {"fields": {"k.c": "NaN"}}},
    {
        "id": "M04",
        "action": "multiply",
        "match": KLINES,
        "when": {"chance": 0.05},
        "times": 0,
        "with": {"fields": ["k.h"], "factor": 1e8},
    },
    {"id": "M08", "action": "shift_time", "match": KLINES, "when": {"chance": 0.05}, "times": 0, "with": {"to": "future"}},
    {"id": "M02", "action": "cut", "match": KLINES, "when": {"every": 25}, "times": 0},
]


def start_feed(stack: Stack, lineup: Plan) -> tuple[str, int]:
    stack.start_venue()
    market = str(stack.set_up(lineup).account.market_id)
    begun = int(stack.clock()["market_time"])
    stack.start(f"feed {market}", [sys.executable, str(PROJECT / "manage.py"), "run_feed", "--market", market])
    return market, begun


def arm(stack: Stack, *rules: dict[str, Any]) -> None:
    stack.control("/control/faults", {"seed": 7, "rules": list(rules)})


def disarm(stack: Stack) -> None:
    request = urllib.request.Request(f"{stack.control_url}/control/faults", method="DELETE")
    urllib.request.urlopen(request, timeout=60).read()


def audited_through(market: str) -> int:
    beat = Heartbeat.objects.filter(process=f"feed {market}").first()
    return (beat.facts.get("audited_through") or 0) if beat else 0


def live_through_hostility(stack: Stack, lineup: Plan, *, market_hours: int) -> None:
    market, begun = start_feed(stack, lineup)
    stack.wait_until(lambda: synced_through() > begun + 300_000, what="the first streamed candles")
    arm(stack, *HOSTILE)
    until = synced_through() + market_hours * 3_600_000
    stack.wait_until(lambda: synced_through() > until, what="hours of hostile streams", seconds=300 + 30 * market_hours)
    fired = {row["action"] for row in stack.control("/control/faults")["firings"]}
    assert fired >= {"withhold", "duplicate", "reorder", "revise", "edit", "cut", "shift_time"}
    disarm(stack)
    # What was held back is told within a few bars; what was told once, wrongly and believably, is found by the audit.
    calm = synced_through() + 4 * 300_000
    stack.wait_until(lambda: audited_through(market) > calm, what="calm and an audit", seconds=120)

    through = synced_through()
    for instrument in Instrument.objects.filter(subscriptions__isnull=False):
        begin = through - (through - begun) // 300_000 * 300_000
        stored = {
            milliseconds(row.open_at): (row.open, row.high, row.low, row.close, row.volume)
            for row in Candle.objects.filter(instrument=instrument, interval="5m")
            if begin <= milliseconds(row.open_at) < through
        }
        # Every bar once, as the exchange answers it: of what the stream told wrongly nothing is left.
        assert stored == venue_candles(stack, instrument.venue_symbol, begin, through)
    facts = Heartbeat.objects.get(process=f"feed {market}").facts
    assert facts["revised"] + facts["gaps"] + facts["unreadable"] > 0
    assert facts["bar_ms"] is not None


@pytest.mark.fault("M02", "M03", "M04", "M08")
def test_a_hostile_stream_leaves_every_bar_once_and_true(synthetic_stack: Stack, lineup: Plan) -> None:
    live_through_hostility(synthetic_stack, lineup, market_hours=2)


@pytest.mark.nightly
@pytest.mark.timeout(3600)
@pytest.mark.fault("M02", "M03", "M04", "M08")
def test_days_of_hostile_streams_leave_every_bar_once_and_true(synthetic_stack: Stack, lineup: Plan) -> None:
    live_through_hostility(synthetic_stack, lineup, market_hours=80)


@pytest.mark.fault("M01")
def test_a_silent_stream_stops_entries_within_the_limit_and_bars_still_come(synthetic_stack: Stack, lineup: Plan) -> None:
    stack = synthetic_stack
    _market, begun = start_feed(stack, lineup)
    stack.wait_until(lambda: synced_through() > begun + 300_000, what="the first streamed candles")
    stack.wait_until(lambda: PriceHealth.objects.filter(doubt="").count() == 2, what="trusted prices")

    # A stream that is opened anew is silent as well, until the fault is gone.
    arm(stack, {"id": "M01", "action": "silence", "times": 0, "with": {"seconds": 600}})
    silent_at = time.monotonic()
    stack.wait_until(lambda: PriceHealth.objects.exclude(doubt="").count() == 2, what="prices in doubt")
    print(f"prices were in doubt {time.monotonic() - silent_at:.1f} s after the last quote")
    doubt = PriceHealth.objects.first()
    assert doubt is not None
    assert doubt.doubt == "SILENT"
    assert doubt.since_at is not None
    assert doubt.looked_at - doubt.since_at >= timedelta(seconds=0.9)
    before = synced_through()
    stack.wait_until(lambda: synced_through() > before + 600_000, what="bars by questions alone")

    disarm(stack)
    stack.wait_until(lambda: PriceHealth.objects.filter(doubt="").count() == 2, what="trusted prices again")
