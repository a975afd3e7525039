"""Update many rows of several tables in one statement: the round trips are what a transaction of the order path costs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal
from functools import cache

from django.db import connection
from django.db.models import Model
from psycopg.sql import SQL, Composed, Identifier

from trading.ledger import stored


class Updates:
    """Updates of different tables, each of many rows, run together."""

    def __init__(self) -> None:
        self._parts: list[tuple[type[Model], tuple[str, ...]]] = []
        self._values: list[list[object]] = []

    def add(self, model: type[Model], rows: Iterable[object], fields: Sequence[str]) -> None:
        """Have these fields of these rows written."""
        rows = list(rows)
        if rows:
            self._parts.append((model, tuple(fields)))
            self._values.append([getattr(row, "pk", None) for row in rows])
            self._values += [[_as_stored(getattr(row, field)) for row in rows] for field in fields]

    def run(self) -> None:
        """Run what was added; nothing, if nothing was."""
        if self._parts:
            with connection.cursor() as cursor:
                cursor.execute(_statement(tuple(self._parts)), self._values)


@cache
def _statement(parts: tuple[tuple[type[Model], tuple[str, ...]], ...]) -> str:
    updates = [SQL("{} AS ({})").format(Identifier(f"part_{n}"), _update(*part)) for n, part in enumerate(parts)]
    return SQL("WITH {} SELECT 1").format(SQL(", ").join(updates)).as_string(None)


def _update(model: type[Model], fields: tuple[str, ...]) -> Composed:
    meta = model._meta
    columns = [column for field in ("id", *fields) for column in meta.concrete_fields if column.name == field]
    names = [Identifier(str(column.column)) for column in columns]
    types = [SQL(str(column.db_type(connection))) for column in columns]
    return SQL("UPDATE {table} SET {changes} FROM unnest({arrays}) AS moved ({names}) WHERE {table}.id = moved.id").format(
        table=Identifier(meta.db_table),
        changes=SQL(", ").join(SQL("{0} = moved.{0}").format(name) for name in names[1:]),
        arrays=SQL(", ").join(SQL("%s::{}[]").format(type_) for type_ in types),
        names=SQL(", ").join(names),
    )


def _as_stored(value: object) -> object:
    # The database would round in silence what does not fit the column.
    return stored(value) if isinstance(value, Decimal) else value
