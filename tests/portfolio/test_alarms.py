"""Alarms: raised in the transaction of their cause, listed until a person has seen them, and what happens when nobody looks."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import IntegrityError, transaction

from portfolio import services
from portfolio.jobs import alarms as watching
from portfolio.models import Account, Alarm, AuditEntry, Book, Position
from portfolio.selectors.alarms import PATIENCE, count_open
from portfolio.services.alarms import UnableToAcknowledge, acknowledge_alarm
from portfolio.writers import accounts, books, orders, risk
from portfolio.writers.alarms import ALARM_UNACKNOWLEDGED
from tests.portfolio.test_coordinate import codes, enter
from tests.portfolio.test_risk import act, hold, limit, price
from tests.portfolio.world import NOW, World
from trading.risk import HARD_STOP

D = Decimal


def told(world: World) -> list[tuple[str, str, bool, bool]]:
    """Return code, subject, whether it lasts and whether somebody has seen it, oldest first."""
    rows = Alarm.objects.filter(account=world.account_id).order_by("id")
    return [(row.code, row.subject, row.cleared_at is None, row.acknowledged_at is not None) for row in rows]


def halt(world: World, reason: str, *, now: datetime = NOW) -> None:
    with transaction.atomic():
        accounts.halt_entries(world.account(), reason, now=now)


def lift(world: World, *, now: datetime = NOW) -> None:
    with transaction.atomic():
        accounts.lift_halt(world.account(), now=now)


def watch(world: World, *, now: datetime = NOW) -> None:
    """Watch as the trader does every few seconds."""
    account = Account.objects.get(id=world.account_id)
    found = watching.look(account, now=now)
    if watching.wants_action(account, found, now=now):
        with transaction.atomic():
            watching.act(world.account(), found, now=now)


def acknowledge(world: World, *, now: datetime = NOW) -> None:
    for row in Alarm.objects.filter(account=world.account_id, acknowledged_at=None):
        acknowledge_alarm(alarm_id=row.pk, by=None, reason="looked into it", now=now)


@pytest.mark.fault("O13")
def test_a_halt_is_told_until_somebody_has_seen_it_also_when_it_is_over(world: World) -> None:
    halt(world, "LEDGER_BROKEN")
    lift(world)
    assert told(world) == [("LEDGER_BROKEN", "", False, False)]
    assert count_open() == (1, 1)
    acknowledge(world)
    assert count_open() == (0, 0)
    assert AuditEntry.objects.filter(action__in=("alarm.raise", "alarm.clear", "alarm.acknowledge")).count() == 3


@pytest.mark.fault("O13")
def test_what_comes_back_before_anybody_looks_is_one_alarm_that_counts(world: World) -> None:
    for _ in range(3):
        halt(world, "CLOCK_OFF")
        lift(world)
    alarm = Alarm.objects.get()
    assert (alarm.count, alarm.is_critical) == (3, False)
    acknowledge(world)
    halt(world, "CLOCK_OFF")
    assert told(world) == [("CLOCK_OFF", "", False, True), ("CLOCK_OFF", "", True, False)]


@pytest.mark.fault("O13")
def test_no_alarm_vanishes_unacknowledged(world: World) -> None:
    halt(world, "LEDGER_BROKEN")
    alarm = Alarm.objects.get()
    with pytest.raises(IntegrityError), transaction.atomic():
        alarm.delete()
    with pytest.raises(IntegrityError), transaction.atomic():
        Alarm.objects.update(acknowledged_at=NOW)
    acknowledge(world)
    with pytest.raises(IntegrityError), transaction.atomic():
        Alarm.objects.update(acknowledged_at=None)
    with pytest.raises(UnableToAcknowledge) as refused:
        acknowledge_alarm(alarm_id=alarm.pk, by=None, reason="again", now=NOW)
    assert refused.value.code == "ALARM_ACKNOWLEDGED"


@pytest.mark.fault("O13")
def test_a_critical_alarm_that_nobody_sees_for_a_quarter_of_an_hour_stops_entries(world: World) -> None:
    halt(world, "ORDER_ADOPTED")
    lift(world)
    watch(world, now=NOW + PATIENCE - timedelta(seconds=1))
    assert enter(world) == "accepted"

    watch(world, now=NOW + PATIENCE)
    assert enter(world) == ALARM_UNACKNOWLEDGED
    world.fill(world.send(world.order(kind="enter")), "0.0038", "50000")
    assert codes(world.decide(world.propose("exit"))) == ["accepted"]
    assert told(world) == [("ORDER_ADOPTED", "", False, False)]

    acknowledge(world, now=NOW + PATIENCE)
    assert enter(world, 1) == "accepted"


@pytest.mark.fault("O13")
def test_what_passes_by_itself_stops_nothing(world: World) -> None:
    halt(world, "FILTERS_OLD")
    lift(world)
    watch(world, now=NOW + 2 * PATIENCE)
    assert enter(world) == "accepted"


@pytest.mark.fault("O13")
def test_latches_and_halted_books_are_told(world: World) -> None:
    """A hard stop, a throttle and a book that a rule has stopped."""
    limit(world, fall_percent=D(1))
    Book.objects.update(position_cap_percent=100)
    hold(world, lots=3000)
    price(world, "45300")
    act(world)
    with transaction.atomic():
        books.halt(world.books[1].pk, "ORDER_ADOPTED", now=NOW)
    rows = Alarm.objects.order_by("id").values_list("source", "code", "book")
    assert list(rows) == [("latch", HARD_STOP, world.books[0].pk), ("book", "ORDER_ADOPTED", world.books[1].pk)]
    with transaction.atomic():
        risk.release(world.account(), book_id=world.books[0].pk, by=None, reason="a new day", now=NOW)
    assert [row[2] for row in told(world)] == [False, True]


@pytest.mark.fault("O13")
def test_a_position_without_its_stop_and_an_order_without_an_answer_are_told(world: World) -> None:
    """I-47, I-43, T21."""
    hold(world)
    assert enter(world, 1) == "accepted"
    unknown = world.order(kind="enter", book=1)
    orders.mark_sending(unknown.pk, epoch=1, now=NOW)
    orders.mark_unknown(unknown.pk, "TIMEOUT", "no answer", now=NOW)
    Position.objects.update(is_unprotected=True)
    watch(world, now=NOW + timedelta(seconds=29))
    assert told(world) == [("POSITION_UNPROTECTED", "BTC/USDT", True, False)]
    watch(world, now=NOW + timedelta(seconds=31))
    assert told(world)[1] == ("ORDER_UNKNOWN", unknown.client_order_id, True, False)
    Position.objects.update(is_unprotected=False)
    watch(world, now=NOW + timedelta(seconds=32))
    assert [row[2] for row in told(world)] == [False, True]
    entries = AuditEntry.objects.count()
    watch(world, now=NOW + timedelta(seconds=33))
    assert AuditEntry.objects.count() == entries


@pytest.mark.fault("O13")
def test_a_difference_is_told_with_its_asset_and_its_interval(world: World) -> None:
    """I-03, T23: entries halt, exits go on, and the alarm says between which looks it began."""
    hold(world)
    exact = world.compare()
    world.exchange.free["ETH"] += D("0.00000001")
    found = world.compare()
    assert (exact.outcome, found.outcome) == ("exact", "residual")
    alarm = Alarm.objects.get(source="residual")
    assert (alarm.code, alarm.subject, alarm.facts["amount"]) == ("RECONCILE_RESIDUAL", "ETH", "0.00000001")
    assert alarm.facts["exact_at"] == exact.finished_at.isoformat()
    assert enter(world, 1) == "RECONCILE_RESIDUAL"
    assert codes(world.decide(world.propose("exit"))) == ["accepted"]

    explained: dict[str, Any] = {"asset": "ETH", "amount": D("0.00000001"), "kind": "deposit"}
    services.explain_suspense(account_id=world.account_id, by=None, reason="a gift", now=NOW, **explained)
    assert told(world) == [("RECONCILE_RESIDUAL", "ETH", False, False)]
    assert enter(world, 1) == "accepted"
