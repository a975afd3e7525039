"""A cover and a hand-over are barriers: a trade that is told after them comes after them, whenever it was made (I-29)."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest
from django.db import transaction

from marketdata.models import Mark
from portfolio import services
from portfolio.jobs.fee_settlement import settle_pending
from portfolio.models import Book, BookTransfer, Order
from portfolio.writers import orders
from tests.portfolio.deficit import deposit, oversold
from tests.portfolio.switching import act, at, hold, mark, newest, single, switch
from tests.portfolio.test_deficits import cover
from tests.portfolio.world import MARKET_AT, NOW, World
from trading.orders import ExchangeStatus, TradeReport
from trading.rotation import Policy

D = Decimal


def end_with(world: World, order: Order, *told: TradeReport) -> None:
    """Have a lagging exchange end an order with the trades that were told, though it has made others."""
    report = replace(
        world.exchange.end(order.client_order_id),
        status=ExchangeStatus.CANCELED,
        executed_quantity=sum((trade.quantity for trade in told), D(0)),
        executed_quote=sum((trade.quote_quantity for trade in told), D(0)),
    )
    with transaction.atomic():
        orders.apply_report(world.account(), order.pk, report, now=NOW)


@pytest.mark.parametrize("late", [0, 1], ids=["made before what was told", "made after it"])
def test_a_trade_that_is_told_after_a_cover_is_folded_behind_it_by_everybody(world: World, late: int) -> None:
    """It was made before the cover, and before or after the trade that had made the deficit."""
    deposit(world, "BTC", "0.01")
    order = oversold(world)
    trades = [
        world.exchange.fill(order.client_order_id, quantity=D(lots), price=D(price), fee=D(0), fee_asset="USDT")
        for lots, price in (("0.0018", "50200"), ("0.002", "50300"))
    ]
    told = trades[1 - late]
    world.post(told)
    end_with(world, order, told)
    at(world, world.exchange.clock + timedelta(minutes=5))
    covered = cover(world)
    assert covered.quantity == told.quantity
    assert covered.market_at > max(trade.traded_at for trade in trades)
    assert world.position().quantity == 0

    world.post(trades[late])
    position = world.position()
    assert (position.quantity, position.cost) == (-trades[late].quantity, -trades[late].quote_quantity)
    assert world.compare().outcome == "exact"
    assert world.verify() == []
    # A second one that comes late meets the first, and not what was folded before the cover.
    third = replace(trades[late], trade_id=9, quantity=D("0.0001"), quote_quantity=D("5.01"), price=D(50100))
    third = world.exchange.by_hand(replace(third, traded_at=third.traded_at - timedelta(seconds=1), client_order_id="web-1"))
    world.post(third)
    assert world.verify() == []


def test_a_trade_that_is_told_after_a_hand_over_is_folded_behind_it_by_everybody(world: World) -> None:
    """The stop of a holding that passed on had sold a part of it, and nobody was told."""
    stop = hold(world, 0)
    mark(world, "51000")
    switch(world, single(world, 1, policy=Policy.TRANSFER))
    sold = world.exchange.fill(stop.client_order_id, quantity=D("0.001"), price=D("47900"), fee=D(0), fee_asset="USDT")
    end_with(world, stop)
    at(world, world.exchange.clock + timedelta(minutes=5))
    act(world)
    assert newest(world).phase == "settled"
    assert (BookTransfer.objects.get().quantity, world.position(0).quantity) == (D("0.0038"), 0)

    world.post(sold)
    giver, taker = world.position(0), world.position(1)
    assert (giver.quantity, giver.cost, giver.realised) == (D("-0.001"), D("-47.9"), D("3.8"))
    assert (taker.quantity, taker.cost) == (D("0.0038"), D("193.8"))
    assert world.verify() == []


def test_a_fee_that_is_charged_after_a_cover_leaves_what_passed_where_it_is(world: World) -> None:
    """The source's position is folded anew, with what it gave among its trades."""
    Mark.objects.filter(instrument__base="BNB").delete()
    deposit(world, "BNB", "1")
    services.fund_fee_pool(account_id=world.account_id, asset="BNB", amount=D(1), by=None, now=NOW)
    world.decide(world.propose("enter", 1, lots=380, limit_price=D("50505")))
    world.fill(world.send(world.order(kind="enter", book=1)), "0.0038", "49000", fee="0.0005", fee_asset="BNB")
    giver = Book.objects.get(pk=world.books[1].pk)
    assert (giver.is_halted, giver.halt_reason) == (True, "FEE_PENDING")
    deposit(world, "BTC", "0.01")
    world.fill(oversold(world), "0.0038", "50200")
    cover(world, amount="0.0019", source=1)
    assert world.verify() == []

    Mark.objects.create(instrument=world.instruments["BNB/USDT"], price=D(400), market_at=MARKET_AT, received_at=NOW)
    with transaction.atomic():
        assert settle_pending(world.account(), now=NOW) == 1
    # Half of what was bought for 186.20, and of the fee of 0.20, went at 50,000.
    position = world.position(1)
    assert (position.quantity, position.cost, position.realised, position.fees) == (D("0.0019"), D("93.2"), D("1.8"), D("0.2"))
    assert world.verify() == []
