"""The path of a protective stop: refused, lost, overtaken, moved, and the truth that its position tells meanwhile."""

from __future__ import annotations

from decimal import Decimal

import pytest
from django.db import transaction

from marketdata.models import Instrument
from portfolio.models import AuditEntry, Intent, Order, Reservation
from portfolio.writers import orders, releases
from tests.portfolio.test_order_path import enter
from tests.portfolio.world import NOW, World
from trading.orders import ExchangeStatus

D = Decimal


@pytest.mark.fault("E22")
def test_a_stop_that_is_passed_becomes_a_sale_in_the_transaction_of_its_refusal(world: World) -> None:
    """Audited, the coins reserved once, and the position says that it is unprotected until they are sold (I-47)."""
    world.fill(enter(world), "0.0038", "50000")
    stop = world.order(kind="stop")
    orders.mark_sending(stop.pk, epoch=1, now=NOW)
    with transaction.atomic():
        orders.mark_rejected(world.account(), stop.pk, "STOP_WOULD_TRIGGER", "Stop price would trigger immediately.", now=NOW)

    sale = world.order(kind="stop")
    assert (sale.type, sale.quantity, sale.status) == ("MARKET", D("0.0038"), Order.Status.READY)
    assert (sale.intent.reason, sale.intent.parent, sale.intent.decision) == (
        "STOP_WOULD_TRIGGER",
        stop.intent,
        stop.intent.decision,
    )
    assert Reservation.objects.get(order=stop).remaining == 0
    assert Reservation.objects.get(order=sale).remaining == D("0.0038")
    note = AuditEntry.objects.get(action="stop.sell_instead")
    assert (note.subject, note.after) == (
        f"order:{stop.client_order_id}",
        {"stop_price": "49000", "sale": sale.intent.seq, "refusal": ""},
    )
    assert world.position().is_unprotected
    assert world.verify() == []

    world.fill(world.send(sale), "0.0038", "48900")
    assert (world.position().quantity, world.position().is_unprotected) == (0, False)
    assert world.compare().outcome == "exact"
    assert world.verify() == []


def test_a_rejected_stop_leaves_the_position_marked(world: World) -> None:
    """I-47: without a live stop a position says that it is unprotected; other refusals say nothing about the price."""
    world.fill(enter(world), "0.0038", "50000")
    stop = world.order(kind="stop")
    orders.mark_sending(stop.pk, epoch=1, now=NOW)
    with transaction.atomic():
        orders.mark_rejected(world.account(), stop.pk, "REJECTED_FILTER", "Filter failure: PRICE_FILTER", now=NOW)

    assert world.order(kind="stop") == stop
    assert world.position().is_unprotected
    assert world.verify() == []


@pytest.mark.fault("E02")
def test_a_stop_that_never_arrived_is_ordered_anew(world: World) -> None:
    """Nothing is resent: a new intent of the same decision, a new name, and the coins reserved once."""
    world.fill(enter(world), "0.0038", "50000")
    lost = world.order(kind="stop")
    orders.mark_sending(lost.pk, epoch=1, now=NOW)
    orders.mark_unknown(lost.pk, "TIMEOUT", "no answer", now=NOW)
    with transaction.atomic():
        orders.mark_absent(world.account(), lost.pk, now=NOW)

    again = world.order(kind="stop")
    assert again.client_order_id != lost.client_order_id
    assert (again.status, again.stop_price, again.intent.reason) == (Order.Status.READY, D(49000), "STOP_ABSENT")
    assert (again.intent.parent, again.intent.decision) == (lost.intent, lost.intent.decision)
    assert Reservation.objects.get(order=lost).remaining == 0
    assert Reservation.objects.get(order=again).remaining == D("0.0038")
    assert not world.position().is_unprotected
    world.send(again)
    assert world.compare().outcome == "exact"
    assert world.verify() == []


def test_a_trader_that_begins_protects_what_an_absent_stop_left_bare(world: World) -> None:
    """Its stop was too small for the exchange's filters when its absence was proven; later it is not."""
    world.fill(enter(world), "0.0038", "50000")
    lost = world.order(kind="stop")
    smallest = lost.instrument.notional_min
    orders.mark_sending(lost.pk, epoch=1, now=NOW)
    Instrument.objects.filter(id=lost.instrument_id).update(notional_min=D(1000))
    with transaction.atomic():
        orders.mark_absent(world.account(), lost.pk, now=NOW)
    assert (world.order(kind="stop").pk, world.position().is_unprotected) == (lost.pk, True)

    Instrument.objects.filter(id=lost.instrument_id).update(notional_min=smallest)
    with transaction.atomic():
        releases.after_fills(world.account(), now=NOW)
    again = world.order(kind="stop")
    assert (again.status, again.quantity, again.intent.parent) == (Order.Status.READY, D("0.0038"), lost.intent)
    assert not world.position().is_unprotected
    assert world.verify() == []


def test_an_exit_that_a_stop_overtakes_is_dropped(world: World) -> None:
    """The stop filled before its cancel arrived: nothing is left to sell."""
    entry = enter(world)
    world.fill(entry, "0.0038", "50000", fee="0", fee_asset="BTC")
    stop = world.order(kind="stop")
    world.send(stop)
    world.decide(world.propose("exit"))
    world.fill(stop, "0.0038", "48990")

    intent = Intent.objects.get(kind="exit")
    assert (intent.state, intent.drop_reason) == (Intent.State.DROPPED, "POSITION_EMPTY")
    assert world.position().quantity == 0
    assert world.position().cost == 0
    assert world.verify() == []


def test_a_part_exit_gets_a_new_stop_for_the_rest(world: World) -> None:
    """EXIT with a stop price: the rest is protected again."""
    entry = enter(world)
    world.fill(entry, "0.0038", "50000", fee="0", fee_asset="BTC")
    world.send(world.order(kind="stop"))
    world.decide(world.propose("exit", lots=180, stop_price=D("50100")))
    world.end(world.order(kind="stop"))
    sell = world.send(world.order(kind="exit"))
    assert sell.quantity == D("0.0018")
    world.fill(sell, "0.0018", "51000")

    stop = world.order(kind="stop")
    assert (stop.quantity, stop.stop_price, stop.status) == (D("0.002"), D("50100"), Order.Status.READY)
    assert world.position().stop_price == D("50100")


def test_an_exit_that_fails_leaves_the_position_marked(world: World) -> None:
    """The stop went for an exit that then did not sell: the page says so until there is a stop again (I-47)."""
    entry = enter(world)
    world.fill(entry, "0.0038", "50000", fee="0", fee_asset="BTC")
    stop = world.send(world.order(kind="stop"))
    world.decide(world.propose("exit"))
    world.end(stop)
    assert not world.position().is_unprotected
    world.end(world.send(world.order(kind="exit")), ExchangeStatus.EXPIRED)
    assert world.position().is_unprotected

    world.decide(world.propose("move_stop", stop_price=D("48000")))
    assert not world.position().is_unprotected
    assert world.order(kind="stop").stop_price == D("48000")
    assert world.verify() == []


def test_a_moved_stop_waits_for_the_cancel_of_the_old_one(world: World) -> None:
    """Base is reserved by one stop at a time."""
    entry = enter(world)
    world.fill(entry, "0.0038", "50000", fee="0", fee_asset="BTC")
    old = world.send(world.order(kind="stop"))
    (outcome,) = world.decide(world.propose("move_stop", stop_price=D("49500")))
    assert outcome.is_accepted
    assert world.order(kind="stop") == old

    world.end(old)
    assert world.order(kind="stop").stop_price == D("49500")
    assert world.verify() == []


def test_a_stop_never_sent_is_replaced_at_once(world: World) -> None:
    """READY orders are withdrawn in the same transaction."""
    entry = enter(world)
    world.fill(entry, "0.0038", "50000", fee="0", fee_asset="BTC")
    old = world.order(kind="stop")
    world.decide(world.propose("move_stop", stop_price=D("49500")))

    old.refresh_from_db()
    assert old.status == Order.Status.WITHDRAWN
    assert world.order(kind="stop").stop_price == D("49500")
    assert world.verify() == []
