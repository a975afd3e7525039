"""Compare the ledger with the exchange, asset by asset, to the last unit."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db import transaction

from portfolio.models import Account, LedgerAccount, Reconciliation, ReconciliationLine
from portfolio.writers import accounts, alarms, audit, transfers
from portfolio.writers.flows import EXTERNAL_FLOW
from portfolio.writers.ledger import EXTERNAL, Journal
from trading.ledger import ZERO, Leg, Pocket, exactly, plain
from trading.settlement import SUSPENSE

Outcome = Reconciliation.Outcome


@exactly
def compare(
    *,
    account_id: int,
    totals: Mapping[str, Decimal],
    cause: str,
    market_at: datetime | None,
    duration_ms: int,
    now: datetime,
    trades_posted: int | None = None,
    facts: Mapping[str, Any] | None = None,
) -> Reconciliation:
    """Compare what the exchange holds (free and locked together) with what the ledger says.

    `trades_posted` is what the caller saw when it read the balances: if more is posted by now, the two do not
    belong to the same moment, and nothing is concluded. A difference goes to suspense and halts entries until
    it is explained or gone.
    """
    with transaction.atomic():
        account = accounts.lock(account_id)
        row = Reconciliation(
            account=account, cause=cause, market_at=market_at, finished_at=now, duration_ms=duration_ms, facts=dict(facts or {})
        )
        if trades_posted is not None and trades_posted != account.trades_posted:
            row.outcome = Outcome.UNSTABLE
            row.facts |= {"trades_posted": account.trades_posted, "trades_at_cut": trades_posted}
            row.save()
            return row
        lines = _compare(account, totals, row, now=now)
        if lines is None:
            row.outcome = Outcome.UNSTABLE
            row.facts |= {"transfer": "sent or ended while the balances were read"}
            row.save()
            return row
        row.outcome = Outcome.RESIDUAL if any(line.suspense or line.residual for line in lines) else Outcome.EXACT
        row.save()
        ReconciliationLine.objects.bulk_create(lines)
        _set_state(account, row, now=now)
        if row.outcome == Outcome.RESIDUAL:
            alarms.follow_residuals(account, now=now)
        accounts.changed(account)
        return row


def ledger_totals(balances: Mapping[Pocket, Decimal]) -> dict[str, Decimal]:
    """Add up what is ours by asset, suspense left out."""
    totals: dict[str, Decimal] = defaultdict(lambda: ZERO)
    for pocket, balance in balances.items():
        if pocket.kind not in EXTERNAL and pocket.kind != LedgerAccount.Kind.SUSPENSE:
            totals[pocket.asset] += balance
    return dict(totals)


def _compare(
    account: Account, totals: Mapping[str, Decimal], row: Reconciliation, *, now: datetime
) -> list[ReconciliationLine] | None:
    """Compare asset by asset; None when a transfer moved money between reading and comparing."""
    journal = Journal(account, now=now)
    ours = _as_the_exchange_may_see(account, ledger_totals(journal.balances()), totals, row)
    if _held(ours) != _held(totals) and _has_moved_meanwhile(account, row):
        return None
    lines = []
    for asset in sorted(ours.keys() | totals.keys()):
        ledger, exchange = ours.get(asset, ZERO), totals.get(asset, ZERO)
        residual = exchange - ledger
        pocket = Pocket(SUSPENSE, None, asset)
        news = residual - journal.balance(pocket)
        if news != ZERO:
            journal.post(
                kind="suspense",
                reference=f"{asset}:{account.ledger_seq + 1}",
                legs=[Leg(pocket, news), Leg(Pocket(EXTERNAL_FLOW, None, asset), -news)],
                market_at=row.market_at or now,
                facts={"cause": row.cause, "exchange": plain(exchange), "ledger": plain(ledger)},
            )
        if residual or ledger or exchange:
            lines.append(
                ReconciliationLine(
                    reconciliation=row,
                    asset=asset,
                    ledger=ledger,
                    suspense=journal.balance(pocket),
                    exchange=exchange,
                    residual=residual,
                )
            )
    journal.flush()
    return lines


def _as_the_exchange_may_see(
    account: Account, ours: dict[str, Decimal], totals: Mapping[str, Decimal], row: Reconciliation
) -> dict[str, Decimal]:
    """Count a transfer in flight as arrived where the exchange shows it so: until its end both are right (I-37)."""
    for asset, moved in transfers.on_the_way(account).items():
        if totals.get(asset, ZERO) == ours.get(asset, ZERO) + moved:
            ours[asset] = ours.get(asset, ZERO) + moved
            row.facts |= {"in_transit": {**row.facts.get("in_transit", {}), asset: plain(moved)}}
    return ours


def _held(totals: Mapping[str, Decimal]) -> dict[str, Decimal]:
    return {asset: total for asset, total in totals.items() if total}


def _has_moved_meanwhile(account: Account, row: Reconciliation) -> bool:
    began_at = row.finished_at - timedelta(milliseconds=row.duration_ms)
    return transfers.has_moved_since(account, began_at)


def _set_state(account: Account, row: Reconciliation, *, now: datetime) -> None:
    """Halt entries while anything is unexplained, and lift only the halt that this job has set."""
    if row.outcome == Outcome.RESIDUAL:
        if account.state_reason != accounts.RECONCILE_RESIDUAL:
            audit.record(action="reconcile.residual", subject=f"account:{account.pk}", after={"cause": row.cause}, now=now)
        # An earlier halt keeps its reason: when that is gone, what is unexplained still halts.
        if account.state != Account.State.ENTRIES_HALTED:
            accounts.halt_entries(account, accounts.RECONCILE_RESIDUAL, now=now)
    elif account.state == Account.State.ENTRIES_HALTED and account.state_reason == accounts.RECONCILE_RESIDUAL:
        accounts.set_state(account, Account.State.ACTIVE, "", now=now)
