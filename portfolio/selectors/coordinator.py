"""What the coordinator holds and has refused: capital, reservations, conflicts, exposure, orphans, dust.

Every read is bounded: refusals are looked at among the newest, however many there ever were.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from django.db.models import Q

from portfolio.models import DecisionRecord, Fill, LedgerAccount, Order, Reservation
from portfolio.selectors.numbers import PositionNumbers
from trading.ledger import ZERO, exactly

# How many of the newest refusals are counted.
WINDOW: Final = 2_000
LISTED: Final = 200
WOULD_CROSS: Final = "CONFLICT_WOULD_CROSS"
ADOPTED: Final = "ORDER_ADOPTED"


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusals:
    """The newest refusals of an account: how many of each code, and the newest of them."""

    counts: Sequence[tuple[str, int]]
    counted: int
    since_at: datetime | None
    newest: Sequence[DecisionRecord]


@dataclass(frozen=True, slots=True, kw_only=True)
class Slice:
    """What one book holds of a coin, in quote."""

    book_id: int
    quantity: Decimal
    value: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Exposure:
    """What the account holds of a coin, sliced by book."""

    asset: str
    quantity: Decimal
    value: Decimal
    slices: Sequence[Slice]


@dataclass(frozen=True, slots=True, kw_only=True)
class Orphans:
    """What has nobody who answers for it: amounts, orders whose fate is unknown or that came back, trades by hand."""

    suspense: dict[str, Decimal]
    orders: Sequence[Order]
    trades: Sequence[Fill]


def reservations(account_id: int) -> list[Reservation]:
    """Return what live orders hold, oldest first, with whose it is and what for."""
    rows = Reservation.objects.filter(order__account=account_id, remaining__gt=0)
    return list(rows.select_related("order__book", "order__instrument", "order__intent").order_by("id")[:LISTED])


def refusals(book_ids: Sequence[int], *, code: str = "", limit: int = 50) -> Refusals:
    """Return the newest refusals of these books: two queries, whatever there is."""
    denied = DecisionRecord.objects.filter(outcome="denied", book__in=book_ids).order_by("-id")
    window = list(denied.values_list("id", "denial", "recorded_at")[:WINDOW])
    chosen = [number for number, denial, _ in window if code in ("", denial)][:limit]
    rows = DecisionRecord.objects.filter(id__in=chosen).select_related("book", "instrument").order_by("-id")
    return Refusals(
        counts=Counter(denial for _, denial, _ in window).most_common(),
        counted=len(window),
        since_at=window[-1][2] if window else None,
        newest=list(rows),
    )


def offers(refused: Sequence[DecisionRecord]) -> list[dict[str, Any]]:
    """Arrange the orders that would have met another book's: at which price they would have been taken."""
    return [
        {
            "bot": row.book.name,
            "book": row.book_id,
            "symbol": row.instrument.symbol if row.instrument else "",
            "bar_closed_at": row.bar_closed_at,
            **{name: row.facts.get("denial", {}).get(name, "") for name in ("its_order", "its_price", "limit_accepted")},
            "rival": row.facts.get("denial", {}).get("book", ""),
        }
        for row in refused
        if row.denial == WOULD_CROSS
    ]


@exactly
def exposures(held: Sequence[PositionNumbers]) -> list[Exposure]:
    """Add up positions by coin, largest first, each sliced by book."""
    by_asset: dict[str, list[Slice]] = defaultdict(list)
    for row in held:
        asset = row.position.instrument.base
        by_asset[asset].append(Slice(book_id=row.position.book_id, quantity=row.position.quantity, value=row.value))
    found = [
        Exposure(
            asset=asset,
            quantity=sum((part.quantity for part in parts), ZERO),
            value=sum((part.value for part in parts), ZERO),
            slices=tuple(parts),
        )
        for asset, parts in by_asset.items()
    ]
    return sorted(found, key=lambda row: (-row.value, row.asset))


@exactly
def dust(held: Sequence[PositionNumbers]) -> list[PositionNumbers]:
    """Return the positions that are too small to be sold alone: below one lot, or below what the exchange takes."""
    return [
        row
        for row in held
        # What is below zero is owed, and told as a deficit.
        if row.position.quantity > ZERO
        and (
            row.position.quantity < row.position.instrument.lot_size
            or row.position.quantity < row.position.instrument.quantity_min
            or (row.mark is not None and row.value < row.position.instrument.notional_min)
        )
    ]


def live_orders(account_id: int) -> list[Order]:
    """Return the live orders with their owners, newest first."""
    rows = Order.objects.filter(account=account_id, status__in=Order.LIVE)
    return list(rows.select_related("book", "instrument", "intent", "reservation").order_by("-id")[:LISTED])


def orphans(account_id: int, *, suspense: dict[str, Decimal], live: Sequence[Order]) -> Orphans:
    """Return what a person must decide about."""
    by_hand = Fill.objects.filter(account=account_id, book__isnull=True).select_related("instrument").order_by("-id")
    return Orphans(
        suspense=suspense,
        orders=[order for order in live if order.status == Order.Status.UNKNOWN or order.reason == ADOPTED],
        trades=list(by_hand[:20]),
    )


def dust_pool(account_id: int) -> dict[str, Decimal]:
    """Return what was swept together of dust, by asset."""
    rows = LedgerAccount.objects.filter(Q(kind=LedgerAccount.Kind.DUST), account=account_id).exclude(balance=ZERO)
    return dict(rows.values_list("asset", "balance"))
