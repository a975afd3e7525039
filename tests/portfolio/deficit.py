"""A book that owes coins: an exit that was called dead has sold what another exit had sold."""

from __future__ import annotations

from decimal import Decimal

from django.db import transaction

from portfolio.models import Order
from portfolio.writers import flows, orders
from tests.portfolio.world import NOW, World

D = Decimal


def deposit(world: World, asset: str, amount: str) -> None:
    """Have the operator bring coins."""
    world.exchange.free[asset] += D(amount)
    with transaction.atomic():
        flows.record_flow(
            world.account(), asset=asset, amount=D(amount), reference=f"d-{asset}", market_at=world.market_at, now=NOW
        )


def oversold(world: World, *, book: int = 0) -> Order:
    """Sell a holding of a book twice; answer the order that came back. The operator's coins have paid for it."""
    world.decide(world.propose("enter", book, lots=380, limit_price=D("50505")))
    world.fill(world.send(world.order(kind="enter", book=book)), "0.0038", "50000")
    world.decide(world.propose("exit", book))
    first = world.order(kind="exit", book=book)
    assert orders.mark_sending(first.pk, epoch=1, now=NOW)
    assert orders.mark_unknown(first.pk, "TIMEOUT", "no answer", now=NOW)
    with transaction.atomic():
        orders.mark_absent(world.account(), first.pk, now=NOW)
    world.decide(world.propose("exit", book))
    world.fill(world.send(world.order(kind="exit", book=book)), "0.0038", "50100")
    first.refresh_from_db()
    report = world.exchange.accept(first)
    with transaction.atomic():
        return orders.apply_report(world.account(), first.pk, report, now=NOW)
