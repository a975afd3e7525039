"""Faults without a process or a socket, as a simulation uses them."""

from __future__ import annotations

import subprocess
import sys

from tests.venue.processes import ROOT
from tests.venue.worlds import World as Drawn
from tests.venue.worlds import draw, money
from venue.faults.book import Faults, Moment
from venue.faults.conditions import Conditions
from venue.faults.requests import judge
from venue.faults.rules import read_rule
from venue.faults.world import World

FALL = ("100", "100", "95", "96", "1000")


def _armed(drawn: Drawn, *rules: dict[str, object]) -> tuple[Faults, World]:
    faults = Faults(wall_ms=lambda: 0, market_time=lambda: drawn.engine.now)
    world = World(drawn.engine, faults, Conditions(), keep=lambda _name, _value: None, reset=drawn.engine.reset)
    faults.arm([read_rule(rule) for rule in rules])
    world.settle_hooks()
    return faults, world


def test_a_waiting_order_is_filled_in_part_and_goes_on_in_a_later_bar() -> None:
    drawn = draw([FALL, FALL, FALL])
    faults, _ = _armed(drawn, {"id": "C09", "action": "partial", "with": {"ratio": "0.25"}})
    order, _ = drawn.order("BUY", "LIMIT", quantity="8", price="98")

    first = [money(trade.quantity) for trade in drawn.walk_bar()]
    second = [money(trade.quantity) for trade in drawn.walk_bar()]

    assert (first, second, order.status) == (["2"], ["6"], "FILLED")
    assert faults.counts == {"C09": 1}


def test_the_world_changes_at_its_market_time() -> None:
    drawn = draw([FALL, FALL])
    words = {"account": "demo", "asset": "BNB", "amount": "3"}
    when = {"market_from": drawn.engine.now + 60_000}
    _, world = _armed(drawn, {"id": "E42", "action": "flow", "when": when, "with": words})
    world.act_due()
    early = drawn.account.balance("BNB").free
    drawn.walk_bar()
    world.act_due()

    assert (early, money(drawn.account.balance("BNB").free)) == (0, "3")


def test_a_request_is_judged_without_a_gate() -> None:
    drawn = draw([FALL])
    faults, _ = _armed(drawn, {"id": "E03", "action": "drop_answer", "match": {"endpoint": "POST /api/v3/order"}})
    order = Moment(endpoint="POST /api/v3/order", symbol="ETHUSDT", client_id="a", uid=1)

    verdicts = [judge(faults, moment).cut_after for moment in (Moment(endpoint="GET /api/v3/time"), order, order)]

    assert verdicts == [None, 0.0, None]


def test_no_fault_needs_a_socket_or_a_store() -> None:
    script = (
        "import sys, venue.faults.streams, venue.faults.sight; print([m for m in sys.modules if m[:7] in ('aiohttp', 'sqlite3')])"
    )
    ended = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=20, check=True)

    assert ended.stdout.strip() == "[]"
