"""Claim orders by guarded updates that take no lock but the orders' own. The rules are `trading.desk`'s."""

from __future__ import annotations

from collections.abc import Collection
from functools import cache
from typing import Any, Final, NamedTuple

from psycopg.sql import SQL, Composable, Identifier

from marketdata import sql
from trading.desk.claims import Claim
from trading.desk.rows import ENTRIES

_ENTRIES: Final = sorted(ENTRIES)


class _Shape(NamedTuple):
    """What two claims have in common that differ in their values alone."""

    columns: tuple[str, ...]
    has_epoch: bool
    is_first_attempt: bool
    spares_killed_entries: bool
    is_cancel_requested: bool


def claim_order(order_id: int, claim: Claim) -> bool:
    """Make a claim's guard the WHERE of one UPDATE; answer whether the order is ours."""
    return bool(sql.run(_update(_shape(claim)), *_values(claim), *_guard_values([order_id], claim)))


def claim_orders(order_ids: Collection[int], claim: Claim) -> set[int]:
    """Claim orders in two statements, however many, and one in one; answer which. Runs inside the caller's transaction.

    The first locks the rows that the guard lets pass, in the order of their numbers, so the second finds them as they were.
    """
    if len(order_ids) == 1:
        return {order_id for order_id in order_ids if claim_order(order_id, claim)}
    shape = _shape(claim)
    passed = [order_id for (order_id,) in sql.rows(_lock(shape), *_guard_values(order_ids, claim))]
    if passed:
        sql.run(_set(shape.columns), *_values(claim), passed)
    return set(passed)


def _shape(claim: Claim) -> _Shape:
    return _Shape(
        columns=tuple(claim.values),
        has_epoch=claim.epoch is not None,
        is_first_attempt=claim.is_first_attempt,
        spares_killed_entries=claim.spares_killed_entries,
        is_cancel_requested=claim.is_cancel_requested,
    )


def _values(claim: Claim) -> list[Any]:
    return list(claim.values.values())


def _guard_values(order_ids: Collection[int], claim: Claim) -> list[Any]:
    """Return the values of `_guard`, in its order."""
    values: list[Any] = [list(order_ids), sorted(claim.statuses)]
    if claim.epoch is not None:
        values.append(claim.epoch)
    if claim.spares_killed_entries:
        values.append(_ENTRIES)
    return values


def _guard(shape: _Shape) -> Composable:
    """Say what an order's row, its lease and its account must say at this very moment."""
    parts: list[Composable] = [SQL("o.id = ANY(%s) AND o.status = ANY(%s)")]
    if shape.is_first_attempt:
        parts.append(SQL("o.attempt = 0"))
    if shape.is_cancel_requested:
        parts.append(SQL("o.cancel_requested_at IS NOT NULL"))
    if shape.has_epoch:
        parts.append(
            SQL("EXISTS (SELECT 1 FROM portfolio_lease AS l WHERE l.name = 'trader:' || o.account_id::text AND l.epoch = %s)")
        )
    if shape.spares_killed_entries:
        killed = SQL("SELECT 1 FROM portfolio_account AS a JOIN portfolio_intent AS i ON i.id = o.intent_id")
        parts.append(SQL("NOT EXISTS ({} WHERE a.id = o.account_id AND a.is_killed AND i.kind = ANY(%s))").format(killed))
    return SQL(" AND ").join(parts)


@cache
def _update(shape: _Shape) -> str:
    changes = SQL(", ").join(SQL("{} = %s").format(Identifier(column)) for column in shape.columns)
    return SQL("UPDATE portfolio_order AS o SET {} WHERE {}").format(changes, _guard(shape)).as_string(None)


@cache
def _lock(shape: _Shape) -> str:
    select = SQL("SELECT o.id FROM portfolio_order AS o WHERE {} ORDER BY o.id FOR UPDATE OF o")
    return select.format(_guard(shape)).as_string(None)


@cache
def _set(columns: tuple[str, ...]) -> str:
    changes = SQL(", ").join(SQL("{} = %s").format(Identifier(column)) for column in columns)
    return SQL("UPDATE portfolio_order SET {} WHERE id = ANY(%s)").format(changes).as_string(None)
