"""Claims of many orders at once: each by the guard that one alone would meet, in two statements."""

from __future__ import annotations

from decimal import Decimal

from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from portfolio.models import Lease, Order
from portfolio.writers import orders
from tests.portfolio.world import NOW, World

D = Decimal


def resting(world: World, count: int) -> list[Order]:
    """Have bids rest, each of which somebody wants cancelled."""
    for number in range(count):
        world.decide(world.propose("place", number % 5, side="buy", lots=20, limit_price=D(45000) - number, slot=number))
    rows = list(Order.objects.order_by("id"))
    for order in rows:
        world.send(order)
    Order.objects.update(cancel_requested_at=NOW)
    return rows


def test_each_is_claimed_by_its_own_guard(world: World) -> None:
    rows = resting(world, 6)
    ids = [row.pk for row in rows]
    Order.objects.filter(pk=ids[1]).update(cancel_requested_at=None)
    Order.objects.filter(pk=ids[2]).update(status="unknown")
    world.end(rows[3])
    with transaction.atomic():
        assert orders.mark_canceling_many([*ids[:5], 10**9], now=NOW, epoch=1) == {ids[0], ids[2], ids[4]} & _one_by_one(ids)
    states = dict(Order.objects.values_list("id", "status"))
    assert (states[ids[0]], states[ids[1]], states[ids[4]], states[ids[5]]) == ("cancelling", "open", "cancelling", "open")
    sent = dict(Order.objects.values_list("id", "cancel_sent_at"))
    assert (sent[ids[0]], sent[ids[1]], sent[ids[5]]) == (NOW, None, None)


def _one_by_one(ids: list[int]) -> set[int]:
    """Ask the single claim, and take back what it did."""
    with transaction.atomic():
        claimed = {pk for pk in ids if orders.mark_canceling(pk, now=NOW, epoch=1)}
        transaction.set_rollback(True)
    return claimed


def test_a_trader_whose_lease_has_passed_on_claims_none(world: World) -> None:
    ids = [row.pk for row in resting(world, 3)]
    Lease.objects.update(epoch=2)
    with transaction.atomic():
        assert orders.mark_canceling_many(ids, now=NOW, epoch=1) == set()
        assert orders.mark_canceling_many(ids, now=NOW, epoch=2) == set(ids)


def test_many_cost_no_more_statements_than_one(world: World) -> None:
    ids = [row.pk for row in resting(world, 8)]
    with transaction.atomic(), CaptureQueriesContext(connection) as queries:
        assert orders.mark_canceling_many(ids, now=NOW, epoch=1) == set(ids)
    assert len(queries) == 2
