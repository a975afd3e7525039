"""Book what the exchange's history tells of deposits and withdrawals and the stream did not; remember which are in the books."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final

from exchange.ports import RecordedFlow
from portfolio.models import Account, FlowCursor, KnownFlow, LedgerEntry
from portfolio.writers import flows, transfers
from portfolio.writers.ledger import EXTERNAL, Pockets
from trading.flows import MARGIN, PastFlow, ToldFlow, may_be_one, missing, pair
from trading.ledger import ZERO, exactly
from trading.settlement import SUSPENSE

# So long after it was booked the stream may still tell of a flow.
ECHO_TIME: Final = timedelta(hours=1)
# Balances are read so shortly before.
_READ_WITHIN: Final = timedelta(minutes=1)
# The exchange says nothing of what is longer ago unless it is asked for that very time.
WINDOW: Final = timedelta(days=90)


@exactly
def book(account: Account, recorded: Sequence[RecordedFlow], totals: Mapping[str, Decimal], *, now: datetime) -> int:
    """Post the flows that explain what the exchange held when its balances were read; answer how many.

    Where they do not explain it to the last unit, nothing is posted: then nobody knows which of them it is.
    """
    if transfers.has_moved_since(account, now - _READ_WITHIN):
        # The balances may be of before a transfer of ours, and the books of after it.
        return 0
    residuals = _residuals(account, totals)
    fresh = [flow for flow in _unknown(account, recorded) if flow.asset in residuals]
    chosen = [flow for asset in sorted(residuals) for flow in _missing(account, asset, fresh, residuals[asset])]
    for flow in chosen:
        header = flows.record_flow(
            account,
            asset=flow.asset,
            amount=flow.amount,
            reference=f"history:{flow.name}",
            market_at=flow.cleared_at or flow.began_at,
            now=now,
        )
        _remember(account, flow, None if header is None else header.pk, is_booked=True, now=now)
    return len(chosen)


def note(account: Account, recorded: Sequence[RecordedFlow], *, until: datetime, now: datetime) -> None:
    """Remember what was read before books and balances were found to agree: it is in both of them."""
    # What moved in the last minute may show in the history before it shows in the balances.
    settled = {flow.name for flow in recorded if flow.has_moved and (flow.cleared_at or flow.began_at) < until - MARGIN}
    fresh = [flow for flow in _unknown(account, recorded) if flow.name in settled]
    for asset in sorted({flow.asset for flow in fresh}):
        mine = [flow for flow in fresh if flow.asset == asset]
        pairs = pair([_past(flow) for flow in mine], _told(account, asset))
        for flow in mine:
            _remember(account, flow, pairs.get(flow.name), is_booked=False, now=now)
    waiting = [flow.began_at for flow in recorded if not flow.is_final or (flow.has_moved and flow.name not in settled)]
    through_at = max(min([*waiting, until]), until - WINDOW)
    FlowCursor.objects.update_or_create(account=account, defaults={"through_at": through_at, "read_at": now})


def recognise(account: Account, *, asset: str, amount: Decimal, reference: str, at: datetime, now: datetime) -> bool:
    """Tell whether a flow that the stream tells of was booked from the history before: then it is not booked again."""
    if flows.is_posted(account, reference):
        return False
    booked = KnownFlow.objects.filter(account=account, is_booked=True, asset=asset, amount=amount)
    if booked.filter(echo=reference[:96]).exists():
        return True
    for known in booked.filter(echo="", noted_at__gte=now - ECHO_TIME).order_by("began_at", "id"):
        if may_be_one(amount=amount, at=at, flow=PastFlow(known.name, known.amount, known.began_at, known.cleared_at)):
            known.echo = reference[:96]
            known.save(update_fields=["echo"])
            return True
    return False


def cursor(account_id: int) -> FlowCursor | None:
    """Return up to when the history needs not be read again; none before books and balances agreed after the first reading."""
    return FlowCursor.objects.filter(account=account_id).first()


def _missing(account: Account, asset: str, fresh: Iterable[RecordedFlow], residual: Decimal) -> list[RecordedFlow]:
    mine = {flow.name: flow for flow in fresh if flow.asset == asset and flow.has_moved}
    found = missing([_past(flow) for flow in mine.values()], _told(account, asset), residual=residual)
    return [mine[flow.name] for flow in found]


def _residuals(account: Account, totals: Mapping[str, Decimal]) -> dict[str, Decimal]:
    """Return by asset what the exchange holds beyond the books; a transfer of ours on its way is no difference."""
    ours: defaultdict[str, Decimal] = defaultdict(lambda: ZERO)
    for pocket, balance in Pockets(account).load(None).items():
        if pocket.kind not in EXTERNAL and pocket.kind != SUSPENSE:
            ours[pocket.asset] += balance
    on_the_way = transfers.on_the_way(account)
    found = {asset: totals.get(asset, ZERO) - ours[asset] for asset in sorted(ours.keys() | totals.keys())}
    return {asset: residual for asset, residual in found.items() if residual not in (ZERO, on_the_way.get(asset, ZERO))}


def _unknown(account: Account, recorded: Sequence[RecordedFlow]) -> list[RecordedFlow]:
    known = KnownFlow.objects.filter(account=account, name__in=[flow.name for flow in recorded])
    names = set(known.values_list("name", flat=True))
    return [flow for flow in recorded if flow.name not in names]


def _told(account: Account, asset: str) -> list[ToldFlow]:
    """Return what the books know of flows of an asset that belongs to none of the history yet."""
    rows = LedgerEntry.objects.filter(
        transaction__account=account,
        transaction__kind__in=flows.KINDS,
        transaction__known_flow__isnull=True,
        ledger_account__kind=flows.EXTERNAL_FLOW,
        ledger_account__asset=asset,
    )
    found = rows.values_list("transaction_id", "amount", "transaction__market_at")
    return [ToldFlow(number, -amount, at) for number, amount, at in found]


def _past(flow: RecordedFlow) -> PastFlow:
    return PastFlow(flow.name, flow.amount, flow.began_at, flow.cleared_at)


def _remember(account: Account, flow: RecordedFlow, transaction_id: int | None, *, is_booked: bool, now: datetime) -> None:
    KnownFlow.objects.create(
        account=account,
        name=flow.name,
        asset=flow.asset,
        amount=flow.amount,
        began_at=flow.began_at,
        cleared_at=flow.cleared_at,
        transaction_id=transaction_id,
        is_booked=is_booked,
        noted_at=now,
    )
