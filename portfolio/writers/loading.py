"""Load orders with all that a rule wants to know beside them, in one statement that is composed once.

The order path runs these statements for every trade; composing them anew by the ORM cost more than running them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from functools import cache
from typing import Any, Final, NamedTuple

from django.db import DEFAULT_DB_ALIAS, connection
from django.db.models import Model
from django.db.models.base import ModelState
from psycopg.sql import SQL, Composable, Identifier, Literal

from marketdata.models import Instrument
from portfolio.models import Account, Intent, Order, Position, Reservation
from trading.order_status import LIVE


class Loaded(NamedTuple):
    """An order, the position it trades in, the newest fill of that, and which of the asked trades are posted."""

    order: Order
    position: Position | None
    newest: tuple[datetime, int] | None
    posted: frozenset[int]


class _Part(NamedTuple):
    model: type[Model]
    alias: str
    attributes: tuple[str, ...]
    columns: tuple[str, ...]


def _part(model: type[Model], alias: str, *, without: Collection[str] = ()) -> _Part:
    fields = [field for field in model._meta.concrete_fields if field.name not in without]
    return _Part(model, alias, tuple(field.attname for field in fields), tuple(str(field.column) for field in fields))


# The exchange's own words about filters are long; who needs them asks for the instrument itself.
_INSTRUMENT: Final = _part(Instrument, "n", without=("filters",))
_ORDER: Final = (_part(Order, "o"), _part(Intent, "i"), _part(Reservation, "r"), _INSTRUMENT)
# Every decision asks for all live orders, of which there may be hundreds: without what the rules never read.
_LIVE_ORDER: Final = (
    _part(Order, "o", without=("cancel_sent_at", "attempt", "epoch", "filters_version", "created_at", "sent_at")),
    _part(Intent, "i", without=("parent", "market_at")),
    _part(Reservation, "r"),
)
_POSITION: Final = _part(Position, "p")

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


def live_orders(account: Account) -> list[Order]:
    """Return the live orders of an account; their rows are not locked, and orders in one pair share its row."""
    orders, pairs = [], dict[int, Instrument]()
    for row in _rows(_live(), [account.pk]):
        order = _joined(account, *_models(row, _LIVE_ORDER))
        if order.instrument_id not in pairs:
            (pairs[order.instrument_id],) = _models(row[-len(_INSTRUMENT.columns) :], (_INSTRUMENT,))
        order.instrument = pairs[order.instrument_id]
        orders.append(order)
    return orders


def locked_order(account: Account, order_id: int) -> Order:
    """Return an order, its row locked; raise Order.DoesNotExist."""
    rows = _rows(_locked(), [account.pk, order_id])
    if not rows:
        raise Order.DoesNotExist(f"Account {account.pk} has no order {order_id}")
    return _order(account, rows[0])


def locked_orders(account: Account, order_ids: Collection[int], names: Collection[str]) -> list[Order]:
    """Return the orders of these numbers and of these client order ids, their rows locked in one order."""
    if not order_ids and not names:
        return []
    return [_order(account, row) for row in _rows(_locked_many(), [account.pk, list(order_ids), list(names)])]


def orders_of_trades(
    account: Account, names: Collection[str], numbers: Collection[str], trade_ids: Sequence[int]
) -> list[Loaded]:
    """Return the orders of these client order ids and of these numbers of the exchange, their rows locked."""
    asked = list(trade_ids)
    rows = _rows(_of_trades("client_order_id"), [asked, account.pk, list(names)]) if names else []
    rows += _rows(_of_trades("exchange_order_id"), [asked, account.pk, list(numbers)]) if numbers else []
    return [_loaded(account, row) for row in rows]


@cache
def _live() -> str:
    # Written out, so that the planner recognises the partial index.
    statuses = SQL(", ").join(Literal(status) for status in sorted(LIVE))
    where = SQL(" WHERE o.account_id = %s AND o.status IN ({})").format(statuses)
    return _text(SQL("SELECT {}").format(_columns((*_LIVE_ORDER, _INSTRUMENT))) + _FROM + where)


@cache
def _locked() -> str:
    where = SQL(" WHERE o.account_id = %s AND o.id = %s FOR UPDATE OF o")
    return _text(SQL("SELECT {}").format(_columns(_ORDER)) + _FROM + where)


@cache
def _locked_many() -> str:
    where = SQL(" WHERE o.account_id = %s AND (o.id = ANY(%s) OR o.client_order_id = ANY(%s)) ORDER BY o.id FOR UPDATE OF o")
    return _text(SQL("SELECT {}").format(_columns(_ORDER)) + _FROM + where)


@cache
def _of_trades(column: str) -> str:
    where = SQL(" WHERE o.account_id = %s AND o.{} = ANY(%s) FOR UPDATE OF o").format(Identifier(column))
    select = SQL("SELECT {}, {}").format(_columns((*_ORDER, _POSITION)), _POSTED)
    return _text(select + _FROM + _BESIDE + where)


def _columns(parts: Iterable[_Part]) -> Composable:
    return SQL(", ").join(Identifier(part.alias, column) for part in parts for column in part.columns)


def _text(statement: Composable) -> str:
    return statement.as_string(None)


def _rows(statement: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        return list(cursor.fetchall())


def _order(account: Account, row: Sequence[Any]) -> Order:
    order, intent, reservation, instrument = _models(row, _ORDER)
    order.instrument = instrument
    return _joined(account, order, intent, reservation)


def _joined(account: Account, order: Order, intent: Intent, reservation: Reservation | None) -> Order:
    order.account, order.intent = account, intent
    if reservation is not None:
        reservation.order = order
    return order


def _loaded(account: Account, row: Sequence[Any]) -> Loaded:
    order = _order(account, row)
    first = sum(len(part.columns) for part in _ORDER)
    (position,) = _models(row[first:], (_POSITION,))
    traded_at, trade_id, posted = row[-3:]
    return Loaded(order, position, None if traded_at is None else (traded_at, trade_id), frozenset(posted))


def _models(row: Sequence[Any], parts: Iterable[_Part]) -> list[Any]:
    found, at = [], 0
    for part in parts:
        values = row[at : at + len(part.columns)]
        at += len(part.columns)
        # The number comes first; an outer join that found nothing has none.
        found.append(None if values[0] is None else _model(part, values))
    return found


def _model(part: _Part, values: Sequence[Any]) -> Model:
    """Make a stored model, as `Model.from_db` does with a fifth of the time: no field is asked, no signal is sent.

    What is not among the values Django reads when it is asked for.
    """
    made = part.model.__new__(part.model)
    made.__dict__.update(zip(part.attributes, values, strict=True))
    made._state = ModelState()
    made._state.adding, made._state.db = False, DEFAULT_DB_ALIAS
    return made
