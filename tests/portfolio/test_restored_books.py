"""Trades that have outlived their orders: while restored books are reopened they go to the bot in their name."""

from __future__ import annotations

from decimal import Decimal

import pytest

from portfolio.models import Account, Fill
from portfolio.selectors import books_exact
from portfolio.writers.accounts import RESTORED
from portfolio.writers.fills import OwnerUnknown
from tests.portfolio.world import MARKET_AT, World
from trading.orders import Side, TradeReport, client_order_id, raise_deploy

pytestmark = pytest.mark.django_db

EARLIER, NUMBER = "t1", 2


def restore(world: World) -> str:
    """Have the account live again, as the command does."""
    deploy = raise_deploy(EARLIER)
    Account.objects.filter(pk=world.account_id).update(deploy=deploy, state="halted", state_reason=RESTORED)
    return deploy


def lost_trade(name: str) -> TradeReport:
    """Have the exchange tell of a trade of an order that the books never heard of."""
    price, quantity = Decimal(49000), Decimal("0.001")
    return TradeReport(
        symbol="BTCUSDT",
        trade_id=901,
        exchange_order_id="77",
        client_order_id=name,
        side=Side.BUY,
        price=price,
        quantity=quantity,
        quote_quantity=price * quantity,
        fee=Decimal("0.000001"),
        fee_asset="BTC",
        is_maker=False,
        traded_at=MARKET_AT,
    )


def test_a_lost_trade_goes_to_the_bot_in_its_name(world: World) -> None:
    trade = lost_trade(client_order_id(EARLIER, NUMBER, 5))
    restore(world)

    fill = world.post(trade)

    assert fill is not None
    assert (fill.book_id, fill.order_id) == (world.books[NUMBER - 1].pk, None)
    assert world.position(book=NUMBER - 1).quantity == Decimal("0.000999")
    assert world.post(trade) is None
    assert world.verify() == []


def test_the_bot_is_told_what_the_trade_did(world: World) -> None:
    trade = lost_trade(client_order_id(EARLIER, NUMBER, 5))
    restore(world)
    world.post(trade)
    book = world.books[NUMBER - 1].pk

    (told,) = books_exact([book], {book: 0})[book].fills

    assert (told.intent_kind, told.reason, told.slot, told.side) == ("enter", RESTORED, 0, "buy")


@pytest.mark.fault("E44")
@pytest.mark.parametrize("life", [0, 1, 2], ids=["an earlier life", "this life", "a later life"])
def test_nobody_owns_a_lost_trade_of_books_that_are_open(world: World, life: int) -> None:
    deploys = [EARLIER]
    for _ in range(2):
        deploys.append(raise_deploy(deploys[-1]))
    trade = lost_trade(client_order_id(deploys[life], NUMBER, 5))
    Account.objects.filter(pk=world.account_id).update(deploy=deploys[1])

    with pytest.raises(OwnerUnknown):
        world.post(trade)


@pytest.mark.parametrize("number", [2, 99], ids=["of a later copy", "of a bot that never was"])
def test_reopening_does_not_guess(world: World, number: int) -> None:
    deploy = raise_deploy(EARLIER) if number == NUMBER else EARLIER
    trade = lost_trade(client_order_id(deploy, number, 5))
    restore(world)

    with pytest.raises(OwnerUnknown):
        world.post(trade)

    assert not Fill.objects.exists()
