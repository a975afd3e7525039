"""Load orders with all that a rule wants to know beside them, in one statement that is composed once.

The order path runs these statements for every trade; composing them anew by the ORM cost more than running them.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from functools import cache
from typing import Any, Final, NamedTuple, cast

from django.db import connection
from django.db.transaction import TransactionManagementError
from psycopg.sql import SQL, Composable, Identifier, Literal

from marketdata import sql
from marketdata.models import Instrument, Market
from portfolio.models import Account, Book, Intent, Order, Position, Reservation
from trading.order_status import LIVE, READY


class Loaded(NamedTuple):
    """An order, the position it trades in, the newest fill of that, and which of the asked trades are posted."""

    order: Order
    position: Position | None
    newest: tuple[datetime, int] | None
    posted: frozenset[int]


_ACCOUNT: Final = (sql.part(Account, "a"), sql.part(Market, "m"))
# The exchange's own words about filters are long; who needs them asks for the instrument itself.
_INSTRUMENT: Final = sql.part(Instrument, "n", without=("filters",))
_ORDER: Final = (sql.part(Order, "o"), sql.part(Intent, "i"), sql.part(Reservation, "r"), _INSTRUMENT)
# Every decision asks for all live orders, of which there may be hundreds: without what is read of an order's own news alone.
_LIVE_ORDER: Final = (
    sql.part(
        Order,
        "o",
        without=(
            "exchange_order_id", "reason", "message", "executed_quantity", "executed_quote", "filled_quote", "filled_fee",
            "cancel_sent_at", "attempt", "epoch", "filters_version", "market_at", "created_at", "sent_at", "acknowledged_at",
            "closed_at",
        ),
    ),
    sql.part(Intent, "i", without=("parent", "limit_price", "reason", "drop_reason", "market_at")),
    sql.part(Reservation, "r"),
)  # fmt: skip
# What may have to go out is looked at with every stir; the exchange's words about self-trades go with an order.
_DUE_ORDER: Final = (sql.part(Order, "o"), sql.part(Intent, "i", without=("parent",)), sql.part(Instrument, "n"))
_POSITION: Final = sql.part(Position, "p")
_BOOK: Final = sql.part(Book, "b")
_ACCOUNT_OF: Final[Any] = Order._meta.get_field("account")
_INTENT_OF: Final[Any] = Order._meta.get_field("intent")
_INSTRUMENT_OF: Final[Any] = Order._meta.get_field("instrument")
_RESERVATION_OF: Final[Any] = Order._meta.get_field("reservation")
_ORDER_OF: Final[Any] = Intent._meta.get_field("order")
_HELD_FOR: Final[Any] = Reservation._meta.get_field("order")
_WAITING: Final = (sql.part(Intent, "i"), sql.part(Instrument, "n"))

_FROM: Final = SQL("""
FROM portfolio_order AS o
JOIN portfolio_intent AS i ON i.id = o.intent_id
JOIN marketdata_instrument AS n ON n.id = o.instrument_id
LEFT JOIN portfolio_reservation AS r ON r.order_id = o.id
""")
_BESIDE: Final = SQL("""
LEFT JOIN portfolio_position AS p ON p.book_id = o.book_id AND p.instrument_id = o.instrument_id
LEFT JOIN LATERAL (
    SELECT fill.traded_at, fill.trade_id FROM portfolio_fill AS fill
    WHERE fill.book_id = o.book_id AND fill.instrument_id = o.instrument_id
    ORDER BY fill.traded_at DESC, fill.trade_id DESC LIMIT 1
) AS newest ON TRUE
""")
_POSTED: Final = SQL("""
newest.traded_at, newest.trade_id, ARRAY(
    SELECT fill.trade_id FROM portfolio_fill AS fill
    WHERE fill.account_id = o.account_id AND fill.instrument_id = o.instrument_id AND fill.trade_id = ANY(%s)
)
""")


def locked_account(account_id: int) -> Account:
    """Return an account with its market, its row locked; raise Account.DoesNotExist."""
    if not connection.in_atomic_block:
        raise TransactionManagementError("An account is locked within a transaction.")
    rows = sql.rows(_account(), account_id)
    if not rows:
        raise Account.DoesNotExist(f"There is no account {account_id}")
    account, market = sql.models(rows[0], _ACCOUNT)
    account.market = market
    return cast("Account", account)


def live_orders(account: Account) -> list[Order]:
    """Return the live orders of an account; their rows are not locked, and orders in one pair share its row.

    A reservation comes with an order that may still be withdrawn. What is not loaded is an order's own news, which no decision
    reads. Claims change some of it (`reason`, `sent_at`, ...) without the account's lock, but not past the row's, and who works
    on an order's news has locked its row first: what is read then, when it is asked for, stays true until the commit. Books that
    are closed for ever lock no rows; nothing of theirs is sent any more.
    """
    orders = [_joined(account, *sql.models(row, _LIVE_ORDER)) for row in sql.rows(_live(), account.pk)]
    if orders:
        rows = sql.rows(_pairs(), list({order.instrument_id for order in orders}))
        pairs = {pair.pk: pair for pair in (sql.models(row, (_INSTRUMENT,))[0] for row in rows)}
        for order in orders:
            _INSTRUMENT_OF.set_cached_value(order, pairs[order.instrument_id])
    return orders


def books(account: Account) -> list[Book]:
    """Return all books of an account."""
    return [sql.models(row, (_BOOK,))[0] for row in sql.rows(_books(), account.pk)]


def positions(account: Account) -> list[Position]:
    """Return all positions of an account's books."""
    return [sql.models(row, (_POSITION,))[0] for row in sql.rows(_positions(), account.pk)]


def waiting_intents(account: Account) -> list[Intent]:
    """Return the intents of an account that wait for cancels, with their pairs."""
    found = []
    for row in sql.rows(_waiting(), account.pk):
        intent, instrument = sql.models(row, _WAITING)
        intent.instrument = instrument
        found.append(intent)
    return found


def due_orders(account_id: int) -> list[tuple[Order, datetime | None]]:
    """Return, in the order of arbitration, what waits to be sent or cancelled, with the time at which its account was killed.

    Of a killed account that is every live order. No row is locked.
    """
    found = []
    for row in sql.rows(_due(), account_id):
        order, intent, instrument = sql.models(row, _DUE_ORDER)
        order.intent, order.instrument = intent, instrument
        found.append((order, row[-1]))
    return found


def locked_order(account: Account, order_id: int) -> Order:
    """Return an order, its row locked; raise Order.DoesNotExist."""
    rows = sql.rows(_locked(), account.pk, order_id)
    if not rows:
        raise Order.DoesNotExist(f"Account {account.pk} has no order {order_id}")
    return _order(account, rows[0])


def locked_orders(account: Account, order_ids: Collection[int], names: Collection[str]) -> list[Order]:
    """Return the orders of these numbers and of these client order ids, their rows locked in one order."""
    if not order_ids and not names:
        return []
    return [_order(account, row) for row in sql.rows(_locked_many(), account.pk, list(order_ids), list(names))]


def orders_of_trades(
    account: Account, names: Collection[str], numbers: Collection[str], trade_ids: Sequence[int]
) -> list[Loaded]:
    """Return the orders of these client order ids and of these numbers of the exchange, their rows locked."""
    asked = list(trade_ids)
    rows = sql.rows(_of_trades("client_order_id"), asked, account.pk, list(names)) if names else []
    rows += sql.rows(_of_trades("exchange_order_id"), asked, account.pk, list(numbers)) if numbers else []
    return [_loaded(account, row) for row in rows]


@cache
def _account() -> str:
    joined = SQL("FROM portfolio_account AS a JOIN marketdata_market AS m ON m.id = a.market_id WHERE a.id = %s FOR UPDATE OF a")
    return _text(SQL("SELECT {} ").format(sql.names(_ACCOUNT)) + joined)


@cache
def _books() -> str:
    return _text(SQL("SELECT {} FROM portfolio_book AS b WHERE b.account_id = %s ORDER BY b.id").format(sql.names((_BOOK,))))


@cache
def _positions() -> str:
    of_account = SQL("JOIN portfolio_book AS b ON b.id = p.book_id WHERE b.account_id = %s ORDER BY p.id")
    return _text(SQL("SELECT {} FROM portfolio_position AS p ").format(sql.names((_POSITION,))) + of_account)


@cache
def _waiting() -> str:
    return _text(
        SQL("SELECT {} FROM portfolio_intent AS i JOIN portfolio_book AS b ON b.id = i.book_id ").format(sql.names(_WAITING))
        + SQL("JOIN marketdata_instrument AS n ON n.id = i.instrument_id WHERE b.account_id = %s AND i.state = {}").format(
            Literal(Intent.State.WAITING)
        )
    )


@cache
def _live() -> str:
    return _text(
        SQL("SELECT {} FROM portfolio_order AS o JOIN portfolio_intent AS i ON i.id = o.intent_id ").format(
            sql.names(_LIVE_ORDER)
        )
        + SQL("LEFT JOIN portfolio_reservation AS r ON r.order_id = o.id AND o.status = {} ").format(Literal(READY))
        + SQL("WHERE o.account_id = %s AND o.status IN ({})").format(sql.listing(LIVE))
    )


@cache
def _pairs() -> str:
    return _text(SQL("SELECT {} FROM marketdata_instrument AS n WHERE n.id = ANY(%s)").format(sql.names((_INSTRUMENT,))))


@cache
def _due() -> str:
    statuses = sql.listing(LIVE)
    return _text(
        SQL("SELECT {}, CASE WHEN a.is_killed THEN a.killed_at END").format(sql.names(_DUE_ORDER))
        + _FROM
        + SQL("JOIN portfolio_account AS a ON a.id = o.account_id WHERE o.account_id = %s AND o.status IN ({})").format(statuses)
        + SQL("AND (o.status = {} OR o.cancel_requested_at IS NOT NULL OR a.is_killed) ORDER BY i.seq").format(Literal(READY))
    )


@cache
def _locked() -> str:
    where = SQL(" WHERE o.account_id = %s AND o.id = %s FOR UPDATE OF o")
    return _text(SQL("SELECT {}").format(sql.names(_ORDER)) + _FROM + where)


@cache
def _locked_many() -> str:
    where = SQL(" WHERE o.account_id = %s AND (o.id = ANY(%s) OR o.client_order_id = ANY(%s)) ORDER BY o.id FOR UPDATE OF o")
    return _text(SQL("SELECT {}").format(sql.names(_ORDER)) + _FROM + where)


@cache
def _of_trades(column: str) -> str:
    where = SQL(" WHERE o.account_id = %s AND o.{} = ANY(%s) FOR UPDATE OF o").format(Identifier(column))
    select = SQL("SELECT {}, {}").format(sql.names((*_ORDER, _POSITION)), _POSTED)
    return _text(select + _FROM + _BESIDE + where)


def _text(statement: Composable) -> str:
    return statement.as_string(None)


def _order(account: Account, row: Sequence[Any]) -> Order:
    order, intent, reservation, instrument = sql.models(row, _ORDER)
    order.instrument = instrument
    return _joined(account, order, intent, reservation)


def _joined(account: Account, order: Order, intent: Intent, reservation: Reservation | None) -> Order:
    # As assigning them would do, which asks the router and the fields every time.
    _ACCOUNT_OF.set_cached_value(order, account)
    _INTENT_OF.set_cached_value(order, intent)
    _ORDER_OF.set_cached_value(intent, order)
    if reservation is not None:
        _RESERVATION_OF.set_cached_value(order, reservation)
        _HELD_FOR.set_cached_value(reservation, order)
    return order


def _loaded(account: Account, row: Sequence[Any]) -> Loaded:
    order = _order(account, row)
    first = sum(len(part.columns) for part in _ORDER)
    (position,) = sql.models(row[first:], (_POSITION,))
    traded_at, trade_id, posted = row[-3:]
    return Loaded(order, position, None if traded_at is None else (traded_at, trade_id), frozenset(posted))
