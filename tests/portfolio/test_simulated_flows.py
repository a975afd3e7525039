"""A simulated account books deposits and withdrawals as the live one: the same flows, share by share to the last unit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any, NamedTuple

import pytest
from django.db import transaction

from portfolio import selectors, services
from portfolio.jobs.allocations import tend
from portfolio.models import Book
from portfolio.writers import flows as writing
from tests.portfolio.world import BAR, NOW, World, build
from tests.trading.test_accounts import BEGIN_AT, bot, plan, shares
from trading.accounts.flows import Flow
from trading.accounts.simulation import AccountSimulation

D = Decimal
pytestmark = pytest.mark.django_db


class Standing(NamedTuple):
    """What the account keeps, and of each book its worth, what its orders are sized by and what is still to be moved."""

    unallocated: Decimal
    books: tuple[tuple[Decimal, Decimal, Decimal], ...]


def live(world: World) -> Standing:
    """Read the live account."""
    overview = selectors.account_overview(world.account_id)
    rows = Book.objects.filter(account=world.account_id).order_by("number")
    worths = {book.book_id: book.equity for book in overview.books}
    return Standing(overview.unallocated, tuple((worths[row.pk], row.base_equity, row.pending) for row in rows))


def simulated(simulation: AccountSimulation, at: int) -> Standing:
    """Read the simulated account."""
    rows = ((member.worth(at), member.allocation, member.pending) for member in simulation.members)
    return Standing(simulation.purse.unallocated, tuple(rows))


def share(world: World, percent: str, **policy: Any) -> None:
    """Set the same share for all books."""
    wanted = {book.pk: D(percent) for book in world.books}
    services.set_allocations(account_id=world.account_id, percents=wanted, policy=policy, by=None, now=NOW)


def book_flow(world: World, amount: Decimal) -> None:
    """Have the trader book a flow, and a worker look after the shares at the next candle."""
    with transaction.atomic():
        writing.record_flow(
            world.account(), asset="USDT", amount=amount, reference=f"{world.market_at}", market_at=world.market_at, now=NOW
        )
    world.market_at += BAR
    tend(account_id=world.account_id, market_at=world.market_at, now=NOW)


def simulation_of(world: World, percent: str, flows: Sequence[Decimal], **policy: Any) -> AccountSimulation:
    """Simulate five bots that may buy nothing, with a flow at each candle after the first."""
    # Nothing is held, so only the flows move money.
    bots = tuple(replace(bot("triple_ema"), key=f"b{n}", position_cap_percent=D("0.0001")) for n in range(len(world.books)))
    return AccountSimulation(
        plan(
            bots,
            shares({one.key: D(percent) for one in bots}, **policy),
            capital=selectors.account_overview(world.account_id).equity,
            flows=tuple(Flow(at=BEGIN_AT + n * BAR, amount=amount) for n, amount in enumerate(flows, start=1)),
        )
    )


@pytest.mark.parametrize(
    ("percent", "policy"),
    [
        ("15", {}),
        ("15", {"rebases_after_flows": True}),
        ("20", {"rebases_after_flows": True}),
        ("17.3333", {"rebases_after_flows": True, "reserve_percent": D("9.5")}),
        ("15", {"rebases_after_flows": True, "band_percent": D("0.5")}),
    ],
)
def test_the_simulated_account_books_flows_as_the_live_one(percent: str, policy: dict[str, Any]) -> None:
    world = build(percent=percent)
    # Taken from nobody as long as that is enough, as the live account is asked to.
    flows = [D(amount) for amount in ("1000", "-250.5", "0.00000001", "31", "-31", "777.77777777", "-600")]
    simulation = simulation_of(world, percent, flows, **policy)
    share(world, percent, **policy)

    for number, amount in enumerate(flows, start=1):
        if amount < 0 and live(world).unallocated < -amount:
            # Live the operator lowers shares first; that is compared below.
            break
        book_flow(world, amount)
        simulation.run(BEGIN_AT + number * BAR + timedelta(minutes=5))
        at = int((BEGIN_AT + number * BAR).timestamp()) * 1000
        assert simulated(simulation, at) == live(world), (number, amount)
    assert number >= 2
    assert world.verify() == []


def test_a_withdrawal_beyond_what_nobody_has_is_what_lowering_every_share_first_is_live() -> None:
    world = build(balances={"USDT": D(10_000)})
    simulation = simulation_of(world, "20", [D(-1000)])
    simulation.run(BEGIN_AT + 2 * BAR)

    share(world, "18")
    book_flow(world, D(-1000))

    assert simulated(simulation, int((BEGIN_AT + BAR).timestamp()) * 1000) == live(world)
    assert live(world) == Standing(D(0), ((D(1800), D(1800), D(0)),) * 5)
    assert world.verify() == []
