"""Ledger against exchange: exact, or shown, halted and explained."""

from __future__ import annotations

from decimal import Decimal

import pytest
from django.db import transaction

from portfolio import selectors, services
from portfolio.jobs import reconcile
from portfolio.models import Account, AuditEntry
from portfolio.services import UnableToExplain
from portfolio.writers import flows
from tests.portfolio.world import NOW, World

D = Decimal
UNIT = D("0.00000001")


def state(world: World) -> tuple[str, str]:
    """Return the account's state and reason."""
    account = Account.objects.get(id=world.account_id)
    return account.state, account.state_reason


def test_one_unit_is_found_shown_and_halts_entries(world: World) -> None:
    """I-02 and I-03: the injected unit."""
    assert world.compare().outcome == "exact"
    world.exchange.free["USDT"] += UNIT

    found = world.compare()
    line = found.lines.get(asset="USDT")
    assert found.outcome == "residual"
    assert (line.residual, line.suspense, line.ledger) == (UNIT, UNIT, D("9882.31"))
    assert selectors.residuals(world.account_id) == {"USDT": UNIT}
    assert state(world) == ("entries_halted", "RECONCILE_RESIDUAL")
    (outcome,) = world.decide(world.propose("enter", lots=380, limit_price=D("50505")))
    assert outcome.code == "RECONCILE_RESIDUAL"

    # A second look posts nothing more, and no profit appears anywhere.
    assert world.compare().outcome == "residual"
    assert selectors.residuals(world.account_id) == {"USDT": UNIT}
    assert selectors.account_overview(world.account_id).pnl == 0
    assert world.verify() == []


@pytest.mark.fault("O14")
def test_a_person_explains_a_residual(world: World) -> None:
    """SUSPENSE is cleared by an attributed transaction with an audit entry."""
    world.exchange.free["USDT"] += UNIT
    world.compare()
    for amount, kind in ((UNIT, "withdrawal"), (2 * UNIT, "deposit"), (D(0), "deposit"), (UNIT, "gift")):
        with pytest.raises(UnableToExplain):
            services.explain_suspense(
                account_id=world.account_id, asset="USDT", amount=amount, kind=kind, by=None, reason="?", now=NOW
            )
    services.explain_suspense(
        account_id=world.account_id, asset="USDT", amount=UNIT, kind="deposit", by=None, reason="faucet", now=NOW
    )
    assert world.compare().outcome == "exact"
    assert state(world) == ("active", "")
    assert selectors.account_overview(world.account_id).unallocated == D("0.01") + UNIT
    assert selectors.account_overview(world.account_id).pnl == 0
    assert AuditEntry.objects.filter(action="suspense.explain").count() == 1
    assert world.verify() == []


def test_a_withdrawal_beyond_the_unallocated_money_halts_entries(world: World) -> None:
    """2.3(5): the operator, not a bot, says whose capital shrinks."""
    world.exchange.free["USDT"] -= D(100)
    with transaction.atomic():
        flows.record_flow(world.account(), asset="USDT", amount=D(-100), reference="w1", market_at=world.market_at, now=NOW)
    assert selectors.residuals(world.account_id) == {"USDT": D("-99.99")}
    assert state(world)[0] == "entries_halted"
    assert selectors.account_overview(world.account_id).books[0].equity == D("1976.46")

    book = world.books[0].pk
    services.set_allocations(account_id=world.account_id, percents={book: D(10)}, by=None, now=NOW)
    services.explain_suspense(
        account_id=world.account_id, asset="USDT", amount=D("99.99"), kind="withdrawal", by=None, reason="mine", now=NOW
    )
    assert world.compare().outcome == "exact"
    assert state(world) == ("active", "")
    assert world.verify() == []


def test_a_deposit_is_the_operators_and_never_profit(world: World) -> None:
    """A flow is posted once, whether the stream or a comparison sees it first."""
    world.exchange.free["USDT"] += D(500)
    world.compare()
    for _ in range(2):
        with transaction.atomic():
            flows.record_flow(world.account(), asset="USDT", amount=D(500), reference="d1", market_at=world.market_at, now=NOW)
    assert world.compare().outcome == "exact"
    overview = selectors.account_overview(world.account_id)
    assert (overview.unallocated, overview.pnl, overview.net_flows) == (D("500.01"), D(0), D("10382.31"))
    assert state(world) == ("active", "")
    assert world.verify() == []


def test_a_cut_that_is_not_consistent_concludes_nothing(world: World) -> None:
    """A trade posted between the two reads makes the comparison meaningless."""
    row = reconcile.compare(
        account_id=world.account_id,
        totals={"USDT": D(1)},
        cause="cycle",
        market_at=None,
        duration_ms=3,
        now=NOW,
        trades_posted=7,
    )
    assert row.outcome == "unstable"
    assert selectors.residuals(world.account_id) == {}
    assert selectors.latest_reconciliation(world.account_id) is None


def test_another_halt_is_not_lifted_by_an_exact_comparison(world: World) -> None:
    """Each halt ends for its own reason."""
    Account.objects.filter(id=world.account_id).update(state="entries_halted", state_reason="ORDER_ADOPTED")
    assert world.compare().outcome == "exact"
    assert state(world) == ("entries_halted", "ORDER_ADOPTED")


def test_an_asset_that_nobody_knew_is_found(world: World) -> None:
    """An airdrop is a residual too."""
    world.exchange.free["SHIB"] = D(3)
    found = world.compare()
    assert {line.asset: line.residual for line in found.lines.all()} == {"USDT": D(0), "SHIB": D(3)}
    assert world.verify() == []
