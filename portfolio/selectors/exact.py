"""What a strategy may know of its money, as whole units of 0.00000001."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from functools import cache
from typing import Final, NamedTuple

from psycopg.sql import SQL

from marketdata import sql
from portfolio.models import Account, Intent, LedgerAccount
from trading.instruments import whole_units
from trading.ledger import UNIT, ZERO, exactly, spendable
from trading.order_status import LIVE
from trading.strategy import MAX_ORDERS, OrderKind

Kind = LedgerAccount.Kind
RESTORED = "RESTORED"
# What a strategy, or a backtest, calls the orders of an intent.
ORDER_KINDS: Final[Mapping[str, OrderKind]] = {
    Intent.Kind.ENTER: OrderKind.ENTRY,
    Intent.Kind.EXIT: OrderKind.EXIT,
    Intent.Kind.FLATTEN: OrderKind.EXIT,
    Intent.Kind.PLACE: OrderKind.LIMIT,
    Intent.Kind.STOP: OrderKind.STOP,
}
_BOOKS: Final = """
SELECT b.id, b.account_id, b.base_equity, b.net_flows, b.pending FROM portfolio_book AS b WHERE b.id = ANY(%s)
"""
_BALANCES: Final = "SELECT book_id, kind, asset, balance FROM portfolio_ledgeraccount WHERE book_id = ANY(%s) AND kind = ANY(%s)"
_ORDERS: Final = SQL("""
SELECT o.book_id, o.instrument_id, o.slot, o.side, o.price, o.stop_price, o.quantity, o.filled_quantity, o.cancel_requested_at,
       i.kind
  FROM portfolio_order AS o JOIN portfolio_intent AS i ON i.id = o.intent_id
 WHERE o.book_id = ANY(%s) AND o.status IN ({})
 ORDER BY i.seq
""")
_FILLS: Final = """
SELECT f.id, f.account_id, f.book_id, f.instrument_id, f.side, f.quantity, f.price, f.fee, f.fee_asset, f.fee_quote, f.traded_at,
       f.trade_id, i.slot, i.kind, i.reason, n.base
  FROM portfolio_fill AS f JOIN marketdata_instrument AS n ON n.id = f.instrument_id
  LEFT JOIN portfolio_order AS o ON o.id = f.order_id LEFT JOIN portfolio_intent AS i ON i.id = o.intent_id
 WHERE f.book_id = ANY(%s) AND f.id > %s
"""
_POSITIONS: Final = """
SELECT p.book_id, p.instrument_id, p.quantity, p.cost, n.base
  FROM portfolio_position AS p JOIN marketdata_instrument AS n ON n.id = p.instrument_id WHERE p.book_id = ANY(%s)
"""
_OWN: Final = [str(kind) for kind in (Kind.AVAILABLE, Kind.RESERVED, Kind.DEFICIT)]


class _Book(NamedTuple):
    pk: int
    account_id: int
    base_equity: Decimal
    net_flows: Decimal
    pending: Decimal


class _Order(NamedTuple):
    book_id: int
    instrument_id: int
    slot: int
    side: str
    price: Decimal | None
    stop_price: Decimal | None
    quantity: Decimal
    filled_quantity: Decimal
    cancel_requested_at: datetime | None
    intent_kind: str


class _Fill(NamedTuple):
    pk: int
    account_id: int
    book_id: int
    instrument_id: int
    side: str
    quantity: Decimal
    price: Decimal
    fee: Decimal
    fee_asset: str
    fee_quote: Decimal
    traded_at: datetime
    trade_id: int
    slot: int | None
    intent_kind: str | None
    reason: str | None
    base: str


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
    book_ids = list(book_ids)
    books = {book.pk: book for book in map(_Book._make, sql.rows(_BOOKS, book_ids))}
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


def together(first: BookExact, second: BookExact) -> BookExact:
    """Add up two books on two accounts that one strategy sees as one: each has markets of its own.

    The numbers of their fills are given under two locks, so the sum has no cursor that would hold for both.
    """
    fills = (*first.fills, *second.fills)
    return BookExact(
        book_id=first.book_id,
        allocation_units=first.allocation_units + second.allocation_units,
        free_units=first.free_units + second.free_units,
        locked_units=first.locked_units + second.locked_units,
        gained_units=first.gained_units + second.gained_units,
        last_fill_id=0,
        positions=first.positions | second.positions,
        fills=tuple(sorted(fills, key=lambda fill: (fill.traded_at, fill.instrument_id, fill.trade_id))),
        orders=first.orders + second.orders,
    )


class _Money(NamedTuple):
    free: Decimal
    locked: Decimal
    total: Decimal


def _money(book: _Book, account: Account, balances: Mapping[tuple[int, str, str], Decimal]) -> _Money:
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
    found: dict[tuple[int, str, str], Decimal] = defaultdict(lambda: ZERO)
    for book_id, kind, asset, balance in sql.rows(_BALANCES, book_ids, _OWN):
        found[book_id, kind, asset] = balance
    return found


def _orders(book_ids: Collection[int]) -> dict[int, list[_Order]]:
    found: dict[int, list[_Order]] = defaultdict(list)
    for order in map(_Order._make, sql.rows(_live_orders(), book_ids)):
        found[order.book_id].append(order)
    return found


@cache
def _live_orders() -> str:
    return _ORDERS.format(sql.listing(LIVE)).as_string(None)


def _fills(book_ids: Collection[int], since: Mapping[int, int]) -> tuple[dict[int, list[FillExact]], dict[int, int]]:
    """Read the fills that each book has not seen, and the newest id of each account among them."""
    oldest = min((since.get(book_id, 0) for book_id in book_ids), default=0)
    found: dict[int, list[FillExact]] = defaultdict(list)
    newest: dict[int, int] = defaultdict(int)
    for row in map(_Fill._make, sql.rows(_FILLS, book_ids, oldest)):
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
    orders: Mapping[int, list[_Order]],
) -> dict[int, dict[int, PositionExact]]:
    found: dict[int, dict[int, PositionExact]] = {book_id: {} for book_id in book_ids}
    for book_id, instrument_id, quantity, cost, base in sql.rows(_POSITIONS, book_ids):
        stops = [
            order.stop_price
            for order in orders[book_id]
            if order.instrument_id == instrument_id
            and order.intent_kind == Intent.Kind.STOP
            and order.cancel_requested_at is None
        ]
        available = balances.get((book_id, Kind.AVAILABLE, base), ZERO)
        found[book_id][instrument_id] = PositionExact(
            base_units=_units(max(quantity, ZERO)),
            available_units=_units(min(available, max(quantity, ZERO))),
            cost_units=_units(cost),
            stop_price_units=_units(stops[-1] or ZERO) if stops else 0,
        )
    return found


def _order(order: _Order) -> OrderExact:
    return OrderExact(
        instrument_id=order.instrument_id,
        slot=order.slot,
        side=order.side,
        intent_kind=order.intent_kind,
        price_units=_units(order.stop_price or order.price or ZERO),
        remaining_units=_units(order.quantity - order.filled_quantity),
        filled_units=_units(order.filled_quantity),
    )


def _units(amount: Decimal) -> int:
    # Amounts finer than a unit (a cost of many decimals) lose the rest here, on the way to floats.
    return int(amount // UNIT)
