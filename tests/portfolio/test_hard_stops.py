"""A book or an account beyond its hard cap is sold and shut until a person lets go; dust, which nobody can sell, shuts nobody."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest

from marketdata.models import Instrument
from portfolio import services
from portfolio.jobs import risk
from portfolio.models import Account, Book, Order, RiskLatch
from portfolio.services import UnableToLimit
from tests.portfolio.test_coordinate import codes, enter
from tests.portfolio.test_risk import act, hold, limit, price
from tests.portfolio.world import NOW, World
from trading.orders import ExchangeStatus
from trading.risk import HARD_STOP

D = Decimal


def test_a_book_beyond_its_hard_cap_is_sold_and_shut_and_the_others_keep_theirs(world: World) -> None:
    """7 % of 1,976.46 are 138.35; no bot's loss flattens another's position."""
    limit(world, fall_percent=D(1))
    Book.objects.update(position_cap_percent=100)
    hold(world, 0, lots=3000)
    hold(world, 1, lots=300)
    assert codes(world.decide(world.propose("place", 0, side="buy", lots=100, limit_price=D("45000")))) == ["accepted"]
    assert not act(world).beyond

    price(world, "45300")
    looked = act(world)

    assert looked.beyond == [world.books[0].pk]
    place, sell = world.order(kind="place"), world.order(kind="flatten")
    assert (place.status, sell.type, sell.quantity) == ("withdrawn", "MARKET", D("0.03"))
    assert not Order.objects.filter(intent__kind="flatten", book=world.books[1]).exists()
    assert enter(world, 0) == HARD_STOP
    act(world)
    assert Order.objects.filter(intent__kind="flatten").count() == 1

    world.fill(world.send(sell), "0.03", "45300")
    assert world.position(0).quantity == 0
    assert world.verify() == []


def test_a_hard_stop_survives_the_day_and_is_let_go_of_by_a_person_alone(world: World) -> None:
    limit(world, fall_percent=D(1))
    Book.objects.update(position_cap_percent=100)
    hold(world, lots=3000)
    price(world, "45300")
    act(world)
    world.fill(world.send(world.order(kind="flatten")), "0.03", "45300")
    price(world, "50000")
    book = world.books[0].pk
    with pytest.raises(UnableToLimit) as refused:
        services.release_latches(account_id=world.account_id, book_id=book, reason="too early", by=None, now=NOW)
    assert refused.value.code == HARD_STOP

    world.market_at += timedelta(days=1)
    assert enter(world) == HARD_STOP
    Account.objects.filter(pk=world.account_id).update(synced_through_at=world.market_at)
    services.release_latches(account_id=world.account_id, book_id=book, reason="a new day", by=None, now=NOW)
    assert enter(world) == "accepted"


def dust_alone(world: World) -> int:
    """Leave the first book with coins worth 4 of its quote and nothing else, on the morning after."""
    hold(world, lots=20)
    assert codes(world.decide(world.propose("exit"))) == ["accepted"]
    sale = world.send(world.order(kind="exit"))
    world.fill(sale, "0.00012", "50000")
    world.end(sale, ExchangeStatus.EXPIRED)
    percents = {book.pk: D(20) for book in world.books[1:]} | {world.books[0].pk: D(0)}
    services.set_allocations(account_id=world.account_id, percents=percents, by=None, now=NOW, market_at=world.market_at)
    world.market_at += timedelta(days=1)
    act(world)
    standing = risk.look(world.account_id, now=NOW).standings[world.books[0].pk]
    assert (standing.equity, standing.base) == (D(4), D(4))
    return world.books[0].pk


def test_a_book_of_dust_is_not_shut_for_a_person_when_its_coin_falls(world: World) -> None:
    """8 % of dust are 32 cents: nothing could be sold and nothing saved, and tomorrow the book may enter again (I-26)."""
    book = dust_alone(world)
    price(world, "46000")
    found = act(world)
    standing = found.standings[book]
    assert (standing.loss, standing.hard_cap, standing.soft_cap) == (D("0.32"), D(5), D("0.2"))
    assert found.beyond == []
    assert not RiskLatch.objects.exists()

    price(world, "50000")
    shares = {row.pk: D(20) for row in world.books}
    services.set_allocations(account_id=world.account_id, percents=shares, by=None, now=NOW, market_at=world.market_at)
    assert enter(world) == "accepted"


def test_the_floor_of_dust_saves_no_book_that_can_still_sell_or_enter(world: World) -> None:
    """The floor stands only where a hard stop had nothing to do: what can be sold is sold at its percent."""
    book = dust_alone(world)
    shares = {row.pk: D(20) for row in world.books[1:]} | {book: D("0.3")}
    services.set_allocations(account_id=world.account_id, percents=shares, by=None, now=NOW, market_at=world.market_at)
    limit(world, soft_loss_percent=D(7))
    Book.objects.update(position_cap_percent=100)
    assert codes(world.decide(world.propose("place", side="buy", lots=11, limit_price=D("49000")))) == ["accepted"]
    price(world, "20000")
    standing = act(world).standings[book]
    assert (standing.loss, standing.is_beyond_hard) == (D("2.4"), True)
    assert D(2) < standing.hard_cap < D("2.1")
    assert world.order(kind="place").status == "withdrawn"


def test_the_account_beyond_its_hard_cap_sells_every_book(world: World) -> None:
    limit(world, fall_percent=D("0.5"))
    Book.objects.update(position_cap_percent=100)
    for book in range(5):
        hold(world, book, lots=3800)
    act(world)
    price(world, "46000")
    assert None in act(world).beyond
    assert Order.objects.filter(intent__kind="flatten").count() == 5
    assert enter(world, 3) == HARD_STOP


def test_what_cannot_be_sold_keeps_its_stop(world: World) -> None:
    """Dust under the minimum notional stays protected as it was."""
    hold(world, 0, lots=380, stop="49000")
    stop = world.send(world.order(kind="stop"))
    Instrument.objects.update(notional_min=D(1000))
    RiskLatch.objects.create(account_id=world.account_id, code=HARD_STOP, market_at=world.market_at, latched_at=NOW)
    assert act(world).still_holding == []
    stop.refresh_from_db()
    assert (stop.status, stop.cancel_requested_at) == ("open", None)
