"""Every decision is on record with all that was said, whatever became of it, and what was ordered says what for."""

from __future__ import annotations

from dataclasses import fields
from decimal import Decimal
from typing import Any

import pytest

from tests.trading.desk.test_placing import buy
from tests.trading.desk.world import NOW, World, build

D = Decimal
SAID: dict[str, Any] = {"strategy_hash": "s" * 8, "config_hash": "c" * 8, "facts": {"rsi": "30"}}


@pytest.fixture
def world() -> World:
    """Three funded books with nothing open."""
    return build()


def record(world: World) -> dict[str, Any]:
    """Return the newest decision."""
    row = list(world.memory.tables.decisions.values())[-1]
    return {field.name: getattr(row, field.name) for field in fields(row) if field.name != "pk"}


def noted(world: World, **values: Any) -> dict[str, Any]:
    """Return what a decision on BTC of the first book must say."""
    return {
        "book_id": 1,
        "bar_closed_at": world.market_at,
        "leg": world.legs,
        "instrument_id": 1,
        "strategy_hash": "s" * 8,
        "config_hash": "c" * 8,
        "recorded_at": NOW,
        **values,
    }


def test_what_was_accepted_is_on_record_and_its_order_says_why(world: World) -> None:
    world.decide(world.propose("enter", side="", lots=100, limit_price=D("50505"), reason="RSI_LOW", **SAID))
    says = {"action": "enter", "reason": "RSI_LOW", "outcome": "accepted", "denial": "", "facts": {"rsi": "30"}}
    assert record(world) == noted(world, **says)
    intent = world.order("enter").intent
    assert (intent.reason, intent.side, intent.limit_price, intent.expected_price) == (
        "RSI_LOW",
        "buy",
        D("50505"),
        D("50004.95049504"),
    )
    assert intent.decision is list(world.memory.tables.decisions.values())[-1]
    assert intent.market_at == world.market_at


def test_what_was_refused_is_on_record_with_the_figures(world: World) -> None:
    world.decide(world.propose("exit", reason="RSI_HIGH", **SAID))
    says = {"action": "exit", "reason": "RSI_HIGH", "outcome": "denied", "denial": "POSITION_EMPTY"}
    assert record(world) == noted(world, **says, facts={"rsi": "30", "denial": {"held": "0"}})


@pytest.mark.parametrize(("denial", "outcome"), [("", "none"), ("DATA_STALE", "denied")])
def test_to_do_nothing_is_a_decision(world: World, denial: str, outcome: str) -> None:
    """Chosen by the bot, or because it could not decide; the pages of its account are told."""
    version = world.memory.tables.account.version
    world.decide(world.propose("hold", denial=denial, reason="WAITS", **SAID))
    says = {"action": "hold", "reason": "WAITS", "outcome": outcome, "denial": denial, "facts": {"rsi": "30"}}
    assert record(world) == noted(world, **says)
    assert world.memory.tables.account.version == version + 1


def test_what_the_bot_could_not_size_is_denied_and_not_nothing(world: World) -> None:
    world.decide(world.propose("enter", denial="SIZE_ZERO", reason="RSI_LOW", **SAID))
    says = {"action": "enter", "reason": "RSI_LOW", "outcome": "denied", "denial": "SIZE_ZERO", "facts": {"rsi": "30"}}
    assert record(world) == noted(world, **says)


def test_an_exit_has_no_limit_whatever_the_bot_says(world: World) -> None:
    buy(world, lots=380)
    world.decide(world.propose("exit", limit_price=D(51000)))
    intent = world.order("exit").intent
    assert (intent.limit_price, intent.expected_price) == (None, None)


def test_a_stop_belongs_to_the_decision_of_its_entry(world: World) -> None:
    buy(world, lots=380, stop="49000")
    stop = world.order("stop").intent
    assert stop.parent is not None
    assert stop.decision is stop.parent.decision
    assert stop.decision is not None
