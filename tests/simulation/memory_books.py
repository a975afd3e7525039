"""What the simulation books without an order, and how it compares: flows from outside, differences, the account's state."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal

from trading.desk.desk import RECONCILE_RESIDUAL, Desk
from trading.desk.journal import EXTERNAL
from trading.desk.memory import MemoryStore
from trading.desk.rows import ACTIVE, ENTRIES_HALTED
from trading.ledger import ZERO, Leg, Pocket, exactly, plain, take
from trading.settlement import EXTERNAL_FLOW, SUSPENSE, UNALLOCATED


@exactly
def record_flow(desk: Desk, asset: str, amount: Decimal, reference: str, market_at: datetime) -> None:
    """Post a deposit or a withdrawal once: the operator's, and suspense for what the operator has not."""
    kind = "deposit" if amount > ZERO else "withdrawal"
    if (kind, reference) in store_of(desk).tables.references:
        return
    operator = Pocket(UNALLOCATED, None, asset)
    legs = [Leg(Pocket(EXTERNAL_FLOW, None, asset), -amount)]
    missing = ZERO
    if amount > ZERO:
        legs.append(Leg(operator, amount))
    else:
        split = take(-amount, [(operator, desk.journal.balance(operator))])
        missing = split.missing
        legs += [*split.legs, Leg(Pocket(SUSPENSE, None, asset), -missing)]
    desk.journal.post(kind=kind, reference=reference, legs=legs, market_at=market_at)
    if missing:
        desk.halt_entries(RECONCILE_RESIDUAL)


@exactly
def compare(desk: Desk, totals: Mapping[str, Decimal], cause: str) -> bool:
    """Put every difference into suspense; answer whether anything is unexplained."""
    balances = desk.journal.balances()
    is_residual = False
    ours: dict[str, Decimal] = {}
    for pocket, balance in balances.items():
        if pocket.kind not in EXTERNAL and pocket.kind != SUSPENSE:
            ours[pocket.asset] = ours.get(pocket.asset, ZERO) + balance
    for asset in sorted(ours.keys() | totals.keys()):
        residual = totals.get(asset, ZERO) - ours.get(asset, ZERO)
        pocket = Pocket(SUSPENSE, None, asset)
        news = residual - balances.get(pocket, ZERO)
        is_residual |= residual != ZERO
        if news:
            desk.journal.post(
                kind="suspense",
                reference=f"{asset}:{desk.account.ledger_seq + 1}",
                legs=[Leg(pocket, news), Leg(Pocket(EXTERNAL_FLOW, None, asset), -news)],
                market_at=desk.market_at,
                facts={"cause": cause, "residual": plain(residual)},
            )
    if is_residual:
        desk.halt_entries(RECONCILE_RESIDUAL)
    elif (desk.account.state, desk.account.state_reason) == (ENTRIES_HALTED, RECONCILE_RESIDUAL):
        set_state(desk, ACTIVE, "")
    return is_residual


def set_state(desk: Desk, state: str, reason: str) -> None:
    """Change the account's state."""
    desk.account.state, desk.account.state_reason = state, reason
    desk.touch_account("state", "state_reason")


def store_of(desk: Desk) -> MemoryStore:
    """Return the store in memory behind a desk."""
    assert isinstance(desk.store, MemoryStore)
    return desk.store
