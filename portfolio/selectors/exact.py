"""What a strategy may know of its money, as whole units of 0.00000001."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Final, NamedTuple

from django.db.models import F

from portfolio.models import Account, Book, Fill, Intent, LedgerAccount, Order, Position
from trading.instruments import whole_units
from trading.ledger import UNIT, ZERO, exactly, spendable
from trading.strategy import MAX_ORDERS

Kind = LedgerAccount.Kind
RESTORED = "RESTORED"
_OF_ORDERS: Final = (
    *("book_id", "instrument_id", "slot", "side", "price", "stop_price", "quantity", "filled_quantity"),
    *("cancel_requested_at", "intent__kind"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PositionExact:
    """What a book owns in one instrument; `stop_price_units` is that of the live stop, 0 for none."""

    base_units: int = 0
    available_units: int = 0
    cost_units: int = 0
    stop_price_units: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class FillExact:
    """A fill; `intent_kind` and `reason` are those of its intent, the fee is in the received asset."""

    fill_id: int
    instrument_id: int
    slot: int
    side: str
    intent_kind: str
    reason: str
    base_units: int
    price_units: int
    fee_units: int
    traded_at: datetime
    trade_id: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderExact:
    """A live order; the price of a stop is its stop price, that of a market order 0."""

    instrument_id: int
    slot: int
    side: str
    intent_kind: str
    price_units: int
    remaining_units: int
    filled_units: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BookExact:
    """Everything `trading.books` asks for; `last_fill_id` is the cursor for the next step."""

    book_id: int
    allocation_units: int
    free_units: int
    locked_units: int
    # All of its money, with what a smaller share is still to take out, less the capital it was given.
    gained_units: int
    last_fill_id: int
    positions: dict[int, PositionExact] = field(default_factory=dict)
    fills: tuple[FillExact, ...] = ()
    orders: tuple[OrderExact, ...] = ()


@exactly
def books_exact(book_ids: Collection[int], since: Mapping[int, int]) -> dict[int, BookExact]:
    """Read several books at once: six queries for any number of them, of the columns that are wanted.

    `since` is the highest fill id each book's last step has seen. Ids are given under the account's lock, so
    none can appear below a cursor later; market time could not tell a fill of the opening tick from one after it.
    """
    books = Book.objects.only("account_id", "base_equity", "net_flows", "pending").in_bulk(book_ids)
    owners = {book.account_id for book in books.values()}
    accounts = Account.objects.select_related("market").in_bulk(owners)
    balances = _balances(book_ids)
    orders = _orders(book_ids)
    fills, newest = _fills(book_ids, since)
    held = _positions(book_ids, balances, orders)
    money = {book_id: _money(book, accounts[book.account_id], balances) for book_id, book in books.items()}
    return {
        book_id: BookExact(
            book_id=book_id,
            allocation_units=_units(books[book_id].base_equity),
            free_units=_units(money[book_id].free),
            locked_units=_units(money[book_id].locked),
            gained_units=whole_units(money[book_id].total - books[book_id].net_flows),
            # Nothing older than what the account has posted by now can come later, whoever's it is.
            last_fill_id=max(since.get(book_id, 0), newest.get(books[book_id].account_id, 0)),
            positions=held[book_id],
            fills=tuple(sorted(fills[book_id], key=lambda fill: (fill.traded_at, fill.instrument_id, fill.trade_id))),
            orders=tuple(_order(order) for order in orders[book_id]),
        )
        for book_id in book_ids
    }


class _Money(NamedTuple):
    free: Decimal
    locked: Decimal
    total: Decimal


def _money(book: Book, account: Account, balances: Mapping[tuple[int, str, str], Decimal]) -> _Money:
    """Split a book's quote into what its strategy may spend, and what else it is worth."""
    free, reserved, deficit = (
        balances[book.pk, kind, account.quote_asset] for kind in (Kind.AVAILABLE, Kind.RESERVED, Kind.DEFICIT)
    )
    # Cash that a smaller share takes out as it comes free is not the strategy's to spend any more.
    own = max(free - max(-book.pending, ZERO), ZERO)
    # Nor is what the exchange will take for its fees: a strategy that may spend it all sizes an order that is refused.
    spent_most = spendable(own, fee_ppm=account.buy_fee_ppm, orders=MAX_ORDERS)
    return _Money(spent_most, own - spent_most + reserved + deficit, free + reserved + deficit)


def _balances(book_ids: Collection[int]) -> dict[tuple[int, str, str], Decimal]:
    rows = LedgerAccount.objects.filter(book__in=book_ids, kind__in=(Kind.AVAILABLE, Kind.RESERVED, Kind.DEFICIT))
    found: dict[tuple[int, str, str], Decimal] = defaultdict(lambda: ZERO)
    for book_id, kind, asset, balance in rows.values_list("book_id", "kind", "asset", "balance"):
        if book_id is not None:
            found[book_id, kind, asset] = balance
    return found


def _orders(book_ids: Collection[int]) -> dict[int, list[Order]]:
    rows = Order.objects.filter(book__in=book_ids, status__in=Order.LIVE).select_related("intent").only(*_OF_ORDERS)
    found: dict[int, list[Order]] = defaultdict(list)
    for order in rows.order_by("intent__seq"):
        found[order.book_id].append(order)
    return found


def _fills(book_ids: Collection[int], since: Mapping[int, int]) -> tuple[dict[int, list[FillExact]], dict[int, int]]:
    """Read the fills that each book has not seen, and the newest id of each account among them."""
    oldest = min((since.get(book_id, 0) for book_id in book_ids), default=0)
    rows = Fill.objects.filter(book__in=book_ids, id__gt=oldest).annotate(
        slot=F("order__intent__slot"),
        intent_kind=F("order__intent__kind"),
        reason=F("order__intent__reason"),
        base=F("instrument__base"),
    )
    found: dict[int, list[FillExact]] = defaultdict(list)
    newest: dict[int, int] = defaultdict(int)
    for row in rows:
        assert row.book_id is not None
        newest[row.account_id] = max(newest[row.account_id], row.pk)
        if row.pk <= since.get(row.book_id, 0):
            continue
        received = row.base if row.side == "buy" else None
        in_received = row.fee_asset == received
        fee = row.fee if in_received else row.fee_quote if row.side == "sell" else ZERO
        found[row.book_id].append(
            FillExact(
                fill_id=row.pk,
                instrument_id=row.instrument_id,
                # A trade of books that were restored may have outlived its order: it says what it did, not why.
                slot=row.slot or 0,
                side=row.side,
                intent_kind=row.intent_kind or (Intent.Kind.ENTER if row.side == "buy" else Intent.Kind.EXIT),
                reason=row.reason or RESTORED,
                base_units=_units(row.quantity),
                price_units=_units(row.price),
                fee_units=_units(fee),
                traded_at=row.traded_at,
                trade_id=row.trade_id,
            )
        )
    return found, newest


def _positions(
    book_ids: Collection[int],
    balances: Mapping[tuple[int, str, str], Decimal],
    orders: Mapping[int, list[Order]],
) -> dict[int, dict[int, PositionExact]]:
    found: dict[int, dict[int, PositionExact]] = {book_id: {} for book_id in book_ids}
    for row in Position.objects.filter(book__in=book_ids).annotate(base=F("instrument__base")):
        stops = [
            order.stop_price
            for order in orders[row.book_id]
            if order.instrument_id == row.instrument_id
            and order.intent.kind == Intent.Kind.STOP
            and order.cancel_requested_at is None
        ]
        available = balances.get((row.book_id, Kind.AVAILABLE, row.base), ZERO)
        found[row.book_id][row.instrument_id] = PositionExact(
            base_units=_units(max(row.quantity, ZERO)),
            available_units=_units(min(available, max(row.quantity, ZERO))),
            cost_units=_units(row.cost),
            stop_price_units=_units(stops[-1] or ZERO) if stops else 0,
        )
    return found


def _order(order: Order) -> OrderExact:
    return OrderExact(
        instrument_id=order.instrument_id,
        slot=order.slot,
        side=order.side,
        intent_kind=order.intent.kind,
        price_units=_units(order.stop_price or order.price or ZERO),
        remaining_units=_units(order.quantity - order.filled_quantity),
        filled_units=_units(order.filled_quantity),
    )


def _units(amount: Decimal) -> int:
    # Amounts finer than a unit (a cost of many decimals) lose the rest here, on the way to floats.
    return int(amount // UNIT)
