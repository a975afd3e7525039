"""An account of an exchange that takes the fee of a buy in quote."""

from __future__ import annotations

from decimal import Decimal

import pytest

from exchange.connect import buy_fee_quote_ppm
from marketdata.models import Market
from portfolio import selectors
from portfolio.models import Order, RiskLimits
from tests.portfolio.world import World
from trading.ledger import FEE_ROUNDING

D = Decimal


@pytest.fixture(autouse=True)
def _coinbase(world: World) -> None:
    Market.objects.update(exchange="coinbase")


@pytest.mark.parametrize(
    ("exchange", "known", "most"),
    [("coinbase", (1000, 500), 12_000), ("coinbase", (15_000,), 15_000), ("binance", (1000,), 0), ("kraken", (1000,), 0)],
)
def test_the_most_an_exchange_takes(exchange: str, known: tuple[int, ...], most: int) -> None:
    """What somebody knows of a market may raise it, never lower it: a tier changes while an order rests."""
    assert buy_fee_quote_ppm(exchange, *known) == most


def test_a_strategy_may_spend_what_leaves_room_for_the_fee(world: World) -> None:
    """An order of all that it is told of is accepted, with nothing to speak of left."""
    book = world.books[0].pk
    exact = selectors.books_exact([book], {})[book]
    free = D(exact.free_units).scaleb(-8)
    assert free < D("1976.46") / D("1.012") < free + D("0.001")
    assert exact.free_units + exact.locked_units == 197646000000

    world.books[0].position_cap_percent = D(100)
    world.books[0].save()
    RiskLimits.objects.update(fall_percent=1, order_value_max=10_000)
    lots = int(free / D("0.5"))
    (outcome,) = world.decide(world.propose("place", side="buy", lots=lots, limit_price=D(50000)))
    assert outcome.is_accepted, outcome
    order = Order.objects.get()
    held = order.quantity * 50000 * D("1.012") + FEE_ROUNDING
    assert (order.fee_ppm, order.reservation.remaining) == (12_000, held)
    assert world.verify() == []


def test_the_audit_finds_a_fee_that_was_not_counted(world: World) -> None:
    """What an order has paid is a fact of its fills."""
    world.decide(world.propose("enter", lots=380, limit_price=D("50505")))
    order = world.order(kind="enter")
    world.fill(world.send(order), "0.001", "50000", fee="0.5")
    order.refresh_from_db()
    assert order.filled_fee == D("0.5")
    assert world.verify() == []
    Order.objects.update(filled_fee=D("0.4"))
    assert {finding.split(":")[0] for finding in world.verify()} == {"I-08", "I-15"}
