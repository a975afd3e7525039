"""Which histories are read again, and from where: those that could explain a difference, also after a person has explained it.

A trade may show later than one with a higher number. The cursor has passed it then, so nobody would come back to it.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Final

from django.db.models import Max

from portfolio.models import Account, Fill, LedgerEntry, LedgerTransaction, Reconciliation
from portfolio.trader.records import symbols_to_search

# As long as an order that was called absent is looked for.
WATCH: Final = timedelta(hours=24)
_BEGINNING: Final = datetime(1970, 1, 1, tzinfo=UTC)


def histories(account_id: int, assets: Iterable[str], *, now: datetime) -> dict[str, int]:
    """Return by symbol the trade from which its history is read again, for these assets and those explained in the last day."""
    account = Account.objects.get(id=account_id)
    symbols = symbols_to_search(account_id, {*assets, *_assets_explained(account, since=now - WATCH)})
    if not symbols:
        return {}
    whole_at = _exact_before_the_difference(account, now=now)
    found = Fill.objects.filter(account=account, instrument__venue_symbol__in=symbols, posted_at__lt=whole_at)
    newest = dict(found.order_by().values_list("instrument__venue_symbol").annotate(Max("trade_id")))
    return {symbol: newest.get(symbol, -1) + 1 for symbol in symbols}


def _assets_explained(account: Account, *, since: datetime) -> set[str]:
    rows = LedgerEntry.objects.filter(
        transaction__account=account, transaction__kind="explained", transaction__recorded_at__gte=since
    )
    return set(rows.values_list("ledger_account__asset", flat=True))


def _exact_before_the_difference(account: Account, *, now: datetime) -> datetime:
    """Return when ledger and exchange last agreed before the oldest difference of the last day: the beginning, if never."""
    differed = LedgerTransaction.objects.filter(account=account, kind="suspense", recorded_at__gte=now - WATCH)
    began = differed.order_by("seq").values_list("recorded_at", flat=True).first() or now
    exact = Reconciliation.objects.filter(account=account, outcome=Reconciliation.Outcome.EXACT, finished_at__lt=began)
    newest = exact.order_by("-id").first()
    return newest.finished_at if newest is not None else _BEGINNING
