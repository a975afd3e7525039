"""Where an exchange takes the fee of a buy in quote, a reservation holds it too: exactly, and always enough."""

from __future__ import annotations

from decimal import ROUND_CEILING, Decimal
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.trading.desk.world import World, build
from trading.desk.reservations import obligation
from trading.ledger import FEE_ROUNDING, UNIT, ZERO
from trading.orders import ExchangeStatus

D = Decimal
PPM = 6000


def opened(quote: str = "2000") -> World:
    world = build(quote=quote)
    world.memory.tables.account.buy_fee_ppm = PPM
    return world


def fee_of(amount: Decimal) -> Decimal:
    """Take a fee as an exchange does: rounded up."""
    return (amount * PPM / 1_000_000).quantize(UNIT, ROUND_CEILING)


@pytest.mark.parametrize(("ppm", "held"), [(0, "505.05"), (PPM, "508.0803")])
def test_a_buy_holds_its_fee_only_where_it_is_quote(ppm: int, held: str) -> None:
    """I-08: elsewhere nothing changes."""
    world = opened()
    world.memory.tables.account.buy_fee_ppm = ppm
    world.decide(world.propose("enter", lots=1000, limit_price=D("50505")))
    order = world.order("enter")
    rounding = FEE_ROUNDING if ppm else ZERO
    assert (order.fee_ppm, order.reservation.remaining) == (ppm, D(held) + rounding)
    assert world.pocket("available", "USDT") == 2000 - D(held) - rounding


def test_a_sale_holds_coins_alone() -> None:
    """Its fee is taken from what it brings."""
    world = opened()
    world.decide(world.propose("enter", lots=1000, limit_price=D("50505")))
    world.fill(world.send(world.order("enter")), "0.01", "50000", fee="3")
    world.decide(world.propose("exit"))
    order = world.order("exit")
    assert (order.fee_ppm, order.reservation.remaining) == (0, D("0.01"))
    world.fill(world.send(order), "0.01", "50000", fee="3")
    assert world.pocket("available", "USDT") == 2000 - 6
    assert world.agrees()


def test_an_entry_that_leaves_no_room_for_its_fee_is_refused() -> None:
    """It would fit without it."""
    world = opened()
    (outcome,) = world.decide(world.propose("enter", lots=3960, limit_price=D("50505")))
    assert outcome.code == "CAPITAL_INSUFFICIENT"
    assert outcome.facts == {"asset": "USDT", "needed": "2011.997989", "free": "2000"}
    (outcome,) = world.decide(world.propose("enter", lots=3936, limit_price=D("50505")))
    assert outcome.is_accepted


def test_a_part_that_trades_pays_from_what_it_frees() -> None:
    """The equality holds after every trade, and the end gives back the rest."""
    world = opened()
    world.decide(world.propose("enter", lots=1000, limit_price=D("50505")))
    order = world.send(world.order("enter"))
    world.fill(order, "0.004", "50000", fee="1.2")
    order = world.now(order)
    # 200 are spent and 303.03 may be: 0.6 % of both, less what is paid.
    left = D("303.03") + D("3.01818") + FEE_ROUNDING - D("1.2")
    assert (order.filled_fee, order.reservation.remaining) == (D("1.2"), left)
    assert world.pocket("available", "USDT") == 2000 - 200 - D("1.2") - left
    world.end(order)
    assert world.pocket("available", "USDT") == 2000 - 200 - D("1.2")
    assert world.agrees()


def test_a_fee_that_is_not_quote_uses_up_nothing() -> None:
    """Whatever the exchange said it would do: the fill says what it did (I-24)."""
    world = opened()
    world.decide(world.propose("enter", lots=1000, limit_price=D("50505")))
    order = world.send(world.order("enter"))
    world.fill(order, "0.004", "50000", fee="0.000004", fee_asset="BTC")
    order = world.now(order)
    assert order.filled_fee == 0
    assert order.reservation.remaining == obligation(order) == D("303.03") + D("3.01818") + FEE_ROUNDING


def test_a_higher_fee_than_was_told_is_paid_from_free_money() -> None:
    """And nothing of what others have reserved is touched."""
    world = opened()
    world.decide(world.propose("enter", lots=1000, limit_price=D("50505")))
    order = world.send(world.order("enter"))
    world.fill(order, "0.004", "50505", fee="50")
    order = world.now(order)
    assert order.reservation.remaining == D("303.03")
    assert world.pocket("available", "USDT") == 2000 - D("202.02") - 50 - D("303.03")
    assert world.agrees()


def test_an_adopted_order_holds_its_fee_again() -> None:
    """What an order that was called dead may still cost includes what it may still pay."""
    world = opened()
    world.decide(world.propose("enter", lots=1000, limit_price=D("50505")))
    before = world.order("enter")
    order = world.lose(before)
    assert world.pocket("available", "USDT") == 2000
    world.exchange.accept(before)
    order = world.report(order, world.exchange.report(order.client_order_id))
    assert order.reservation.remaining == D("508.0803") + FEE_ROUNDING
    world.fill(order, "0.004", "50505", fee="1.21212")
    assert world.now(order).reservation.remaining == D("303.03") + D("1.81818") + FEE_ROUNDING
    world.end(world.now(order))
    assert world.agrees()


@given(
    lots=st.integers(20, 3900),
    cuts=st.lists(st.integers(1, 3899), max_size=20, unique=True),
    prices=st.lists(st.integers(0, 2000), min_size=21, max_size=21),
    is_ended=st.booleans(),
)
def test_whatever_its_trades_are_like_the_reservation_covers_them(
    lots: int, cuts: list[int], prices: list[int], is_ended: bool
) -> None:
    """A book that has reserved its last unit never lacks one: every fee is found among what its trade frees."""
    limit = D("50505")
    amount = lots * D("0.00001") * limit
    world = opened(quote=str(amount + fee_of(amount) + FEE_ROUNDING))
    world.decide(world.propose("enter", lots=lots, limit_price=limit))
    assert world.pocket("available", "USDT") == ZERO
    order = world.send(world.order("enter"))
    # The exchange keeps what it locks by size and price apart from fees; the fee comes from what the ledger holds.
    world.exchange.free["USDT"] += fee_of(amount) + FEE_ROUNDING
    bounds = [0, *sorted(cut for cut in cuts if cut < lots), lots]
    parts = list(pairwise(bounds))[: -1 if is_ended else None]
    paid = ZERO
    for (first, last), below in zip(parts, prices, strict=False):
        quantity, price = (last - first) * D("0.00001"), limit - below
        fee = fee_of(quantity * price)
        world.fill(order, str(quantity), str(price), fee=str(fee))
        paid += quantity * price + fee
        order = world.now(order)
        assert order.reservation.remaining == obligation(order)
        assert world.pocket("reserved", "USDT") == order.reservation.remaining
    if is_ended:
        order = world.end(order, ExchangeStatus.EXPIRED)
    assert not [pocket for pocket in world.memory.tables.pockets if pocket.kind == "suspense"]
    assert world.pocket("reserved", "USDT") == ZERO
    assert world.pocket("available", "USDT") == amount + fee_of(amount) + FEE_ROUNDING - paid
