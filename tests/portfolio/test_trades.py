"""Trades as pages show them: from flat to flat, out of the newest fills."""

from __future__ import annotations

from decimal import Decimal

import pytest

from portfolio.selectors.trades import trades
from tests.portfolio.world import World

D = Decimal


@pytest.fixture
def traded(world: World) -> World:
    """Have a book buy and sell three times, in two fills each way, and buy once more."""
    for price in ("50000", "50100", "50200"):
        _enter(world, price)
        world.decide(world.propose("exit"))
        sell = world.send(world.order(kind="exit"))
        for quantity in ("0.0012", "0.0018"):
            world.fill(sell, quantity, price, fee="0.1")
    _enter(world, "50000")
    return world


def test_trades_run_from_flat_to_flat_newest_first(traded: World) -> None:
    found = trades(account_id=traded.account_id)

    assert [trade.closed_at is None for trade in found] == [True, False, False, False]
    assert [(trade.quantity, trade.cost) for trade in found[1:]] == [(D("0.003"), D(cost)) for cost in ("150.6", "150.3", "150")]


@pytest.mark.parametrize(("fills_max", "whole"), [(14, 4), (13, 3), (11, 3), (10, 3), (9, 2), (3, 1), (2, 1), (1, 0)])
def test_a_trade_that_began_before_the_newest_fills_is_left_out(traded: World, fills_max: int, whole: int) -> None:
    everything = trades(account_id=traded.account_id)

    assert trades(account_id=traded.account_id, fills_max=fills_max) == everything[:whole]


def _enter(world: World, price: str) -> None:
    world.decide(world.propose("enter", lots=300, limit_price=D("50500")))
    buy = world.send(world.order(kind="enter"))
    for quantity in ("0.001", "0.002"):
        world.fill(buy, quantity, price)
