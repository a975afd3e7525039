"""S06: whatever bots, people and the exchange do, in whatever order, nothing is bought that the gate would refuse."""

from __future__ import annotations

import ast
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.trading.desk.test_risk_rules import ROOM
from tests.trading.desk.world import World, build
from trading.desk import coordination, reports
from trading.order_status import LIVE, READY

pytestmark = pytest.mark.fault("S06")
D = Decimal
ROOT = Path(__file__).resolve().parents[3]
# ETH is thin.
GATED = replace(ROOM, limits=replace(ROOM.limits, volume_day_min=D(1_000_000)), volumes={1: D(2_000_000), 2: D(999_999)})
ACTS = ("enter", "place", "exit", "cancel", "move_stop", "flatten", "send", "fill", "end", "request_cancels")
STEPS = st.lists(
    st.tuples(st.sampled_from(ACTS), st.integers(1, 3), st.integers(1, 2), st.integers(0, 3)), min_size=3, max_size=25
)


def propose(world: World, act: str, book: int, instrument: int, slot: int) -> None:
    price, lots = (D(50000), 100) if instrument == 1 else (D(2500), 200)
    values: dict[str, object] = {}
    if act == "enter":
        values = {"lots": lots, "limit_price": price * D("1.01"), "stop_price": price * D("0.97")}
    elif act == "place":
        side, away = ("buy", D("0.99")) if slot < 3 else ("sell", D("1.02"))
        values = {"side": side, "lots": lots, "limit_price": price * away, "slot": slot}
    elif act == "cancel":
        values = {"slot": slot}
    elif act == "move_stop":
        values = {"stop_price": price * D("0.96")}
    world.decide(world.propose(act, book, instrument, **values))


def happen(world: World, act: str, book: int, instrument: int, slot: int) -> None:
    """Do one thing of a person's or the exchange's."""
    orders = [row for row in world.memory.tables.orders.values() if row.instrument_id == instrument and row.status in LIVE]
    if act in ("flatten", "request_cancels"):
        with world.memory.transaction() as store:
            desk = world.desk(store)
            if act == "flatten":
                coordination.flatten(desk, book, reason="TEST")
            else:
                reports.request_cancels(desk, book_ids=[book])
            desk.write()
    for order in orders[:1]:
        if act == "send" and order.status == READY:
            world.send(order)
        if act == "fill" and order.client_order_id in world.exchange.orders and order.price is not None:
            world.fill(order, str(order.quantity - order.filled_quantity), str(order.price))
        if act == "end" and order.client_order_id in world.exchange.orders:
            world.end(order)


@settings(max_examples=60)
@given(steps=STEPS, shut_at=st.integers(0, 24))
def test_no_sequence_buys_where_too_little_is_traded(steps: list[tuple[str, int, int, int]], shut_at: int) -> None:
    """The market becomes too thin in the middle: what waited for a cancel until then is refused when its time comes."""
    world = build()
    world.memory.risk = ROOM
    bought: set[str] = set()
    for step, (act, book, instrument, slot) in enumerate(steps):
        if step == shut_at:
            world.memory.risk = GATED
            bought = {row.client_order_id for row in world.memory.tables.orders.values()}
        if act in ("enter", "place", "exit", "cancel", "move_stop"):
            propose(world, act, book, instrument, slot)
        else:
            happen(world, act, book, instrument, slot)
        if step >= shut_at:
            new = [row for row in world.memory.tables.orders.values() if row.client_order_id not in bought]
            assert not [row for row in new if row.side == "buy" and row.instrument_id == 2], f"after {act}"


def _calls(where: Path, name: str) -> set[str]:
    """Return the functions that call a method of this name, as file:function."""
    found = set()
    for path in where.rglob("*.py"):
        for function in ast.walk(ast.parse(path.read_text())):
            if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
                calls = (node.func for node in ast.walk(function) if isinstance(node, ast.Call))
                if any(isinstance(call, ast.Attribute) and call.attr == name for call in calls):
                    found.add(f"{path.relative_to(ROOT)}:{function.name}")
    return found


def test_there_is_one_place_that_makes_an_order_that_buys() -> None:
    """An order row comes from the desk alone, and the desk is asked by three functions: two of them sell."""
    assert {name for folder in ("portfolio", "trading", "bots", "agent", "tradeapp", "trials") if (ROOT / folder).exists()
            for name in _calls(ROOT / folder, "make_order")} == {"trading/desk/desk.py:order"}  # fmt: skip
    source = (ROOT / "trading/desk/placing.py").read_text()
    placing = {
        node.name: ast.unparse(node)
        for node in ast.parse(source).body
        if isinstance(node, ast.FunctionDef) and "desk.order(" in ast.unparse(node)
    }
    assert placing.keys() == {"sell_at_market", "_place_stop", "_place_entry"}
    entry = placing["_place_entry"]
    assert (
        entry.index("refusal = entry_refusal(desk, intent)")
        < entry.index("if refusal is None:\n        instrument")
        < entry.index("desk.order(")
    )
    others = {name for name in _calls(ROOT / "trading/desk", "order") if not name.startswith("trading/desk/placing.py")}
    # Elsewhere `order` is the store's question for a row.
    readers = {"desk.py:order_by_id", "memory.py:order_named", "memory.py:lock_orders"}
    assert others <= {f"trading/desk/{name}" for name in readers}
