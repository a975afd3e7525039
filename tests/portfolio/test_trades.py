"""Trades as pages show them: from flat to flat, out of the newest fills."""

from __future__ import annotations

from decimal import Decimal

import pytest

from portfolio import services
from portfolio.selectors.results import newest_trips
from portfolio.selectors.trades import trades
from tests.portfolio.deficit import deposit
from tests.portfolio.world import NOW, World

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


def test_a_fee_that_the_pool_pays_in_the_coin_of_the_market_takes_nothing_out_of_a_trade(world: World) -> None:
    """A sale of BNB has the pool pay its fee: what is held is what was not sold, and the trade ends with the last of it."""
    deposit(world, "BNB", "1")
    services.fund_fee_pool(account_id=world.account_id, asset="BNB", amount=D(1), by=None, now=NOW)
    world.decide(world.propose("enter", symbol="BNB/USDT", lots=400, limit_price=D(405)))
    world.fill(world.send(world.order(kind="enter")), "0.4", "400")
    world.decide(world.propose("exit", symbol="BNB/USDT"))
    sell = world.send(world.order(kind="exit"))
    world.fill(sell, "0.399", "410", fee="0.0005", fee_asset="BNB")

    (told,) = trades(account_id=world.account_id)
    assert told.closed_at is None
    world.fill(sell, "0.001", "410")
    (told,) = trades(account_id=world.account_id)
    assert told.closed_at is not None
    assert newest_trips(world.books[0], is_grid=False, fills_max=10).trips[0].profit == D(4) - D("0.205")
