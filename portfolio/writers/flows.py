"""Post what comes to the account from outside and leaves it: never to a bot, always to the operator."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from marketdata.models import Mark
from portfolio.models import Account, LedgerTransaction
from portfolio.writers import accounts
from portfolio.writers.ledger import Journal
from trading.ledger import ZERO, Leg, Pocket, exactly, take
from trading.settlement import SUSPENSE, UNALLOCATED

EXTERNAL_FLOW = "external_flow"
KINDS = ("deposit", "withdrawal")


@exactly
def record_flow(
    account: Account, *, asset: str, amount: Decimal, reference: str, market_at: datetime, now: datetime
) -> LedgerTransaction | None:
    """Post a deposit (above zero) or a withdrawal; None when this reference is posted already.

    A withdrawal beyond what is unallocated goes to suspense and halts entries: the operator says whose it is.
    """
    kind = "deposit" if amount > ZERO else "withdrawal"
    if is_posted(account, reference):
        return None
    journal = Journal(account, now=now, book_ids=())
    operator = Pocket(UNALLOCATED, None, asset)
    legs = [Leg(Pocket(EXTERNAL_FLOW, None, asset), -amount)]
    if amount > ZERO:
        legs.append(Leg(operator, amount))
    else:
        split = take(-amount, [(operator, journal.balance(operator))])
        legs += [*split.legs, Leg(Pocket(SUSPENSE, None, asset), -split.missing)]
    header = journal.post(kind=kind, reference=reference, legs=legs, market_at=market_at)
    journal.flush()
    accounts.add_flow(account, value_in_quote(account, asset, amount))
    if kind == "withdrawal" and split.missing:
        accounts.halt_entries(account, accounts.RECONCILE_RESIDUAL, now=now)
    accounts.changed(account)
    return header


def is_posted(account: Account, reference: str) -> bool:
    """Say whether a flow of this reference is in the books."""
    rows = LedgerTransaction.objects.filter(account=account, kind__in=KINDS, reference=reference)
    return bool(rows.exists())


@exactly
def value_in_quote(account: Account, asset: str, amount: Decimal) -> Decimal:
    """Value an amount at the newest mark; an asset without a market counts as nothing."""
    if asset == account.quote_asset:
        return amount
    marks = Mark.objects.filter(
        instrument__market=account.market_id, instrument__base=asset, instrument__quote=account.quote_asset
    )
    price = marks.values_list("price", flat=True).first()
    return amount * price if price is not None else ZERO
