"""No new money goes by prices that the feed does not trust; what is held can always be sold."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest

from marketdata import jobs
from portfolio.models import DecisionRecord
from tests.portfolio.world import NOW, World

D = Decimal


def look(world: World, doubt: str, *, symbol: str = "BTC/USDT", seconds_ago: float = 0.0) -> None:
    """Have the feed say what it thinks of a symbol's prices."""
    state = jobs.PriceState(world.instruments[symbol].pk, doubt, "nothing for 11 s" if doubt else "", None, 0.0)
    jobs.record_price_health(states=[state], now=NOW - timedelta(seconds=seconds_ago))


def enter(world: World, book: int = 0) -> str:
    """Have a book ask for an entry, and return what it was told."""
    (outcome,) = world.decide(world.propose("enter", book, lots=300, limit_price=D("50505")))
    return "accepted" if outcome.is_accepted else outcome.code


@pytest.mark.fault("M01", "M06", "M13")
@pytest.mark.parametrize("doubt", ["SILENT", "CROSSED", "UNBELIEVABLE", "SPIKE", "DISPUTED"])
def test_prices_in_doubt_refuse_entries_and_let_exits_pass(world: World, doubt: str) -> None:
    look(world, "")
    assert enter(world) == "accepted"
    world.fill(world.send(world.order(kind="enter")), "0.003", "50000", fee="0", fee_asset="BTC")

    look(world, doubt)
    assert enter(world, 1) == "DATA_STALE"
    facts = DecisionRecord.objects.latest("id").facts
    assert doubt in str(facts)
    (sold,) = world.decide(world.propose("exit", 0, lots=300))
    assert sold.is_accepted

    look(world, "")
    assert enter(world, 1) == "accepted"


def test_another_symbol_is_not_concerned(world: World) -> None:
    other = next(symbol for symbol in world.instruments if symbol != "BTC/USDT")
    look(world, "SILENT", symbol=other)
    assert enter(world) == "accepted"


@pytest.mark.fault("M01")
def test_a_feed_that_has_stopped_looking_is_a_doubt_of_its_own(world: World) -> None:
    look(world, "", seconds_ago=60)
    assert enter(world) == "DATA_STALE"
    look(world, "", seconds_ago=10)
    assert enter(world) == "accepted"
