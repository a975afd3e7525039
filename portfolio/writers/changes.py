"""Write what one transaction of the rules changed: new rows by table, all updates in one statement, then the doorbells."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Final, cast

from django.db import DEFAULT_DB_ALIAS

from marketdata import sql
from portfolio.models import Account, Book, DecisionRecord, Fill, Intent, Order, Position, Reservation
from portfolio.writers import accounts, alarms, audit
from portfolio.writers.alarms import Cause, Source
from portfolio.writers.ledger import Pockets
from portfolio.writers.statements import Updates
from stream.publish import publish_on_commit
from trading.desk.store import INTENT_FIELDS, ORDER_FIELDS, POSITION_FIELDS, RESERVATION_FIELDS, Changes

_TOUCH: Final = "UPDATE portfolio_book SET version = version + 1 WHERE id = ANY(%s)"
_DECIDED: Final = (
    "book_id", "bar_closed_at", "leg", "instrument_id", "action", "reason", "outcome", "denial", "strategy_hash", "config_hash",
    "recorded_at",
)  # fmt: skip
_DECIDE: Final = """
INSERT INTO portfolio_decisionrecord
    (book_id, bar_closed_at, leg, instrument_id, action, reason, outcome, denial, strategy_hash, config_hash, recorded_at, facts)
SELECT * FROM unnest(
    %s::bigint[], %s::timestamptz[], %s::smallint[], %s::bigint[], %s::text[], %s::text[], %s::text[], %s::text[], %s::text[],
    %s::text[], %s::timestamptz[], %s::jsonb[]
)
RETURNING id
"""


def write(account: Account, pockets: Pockets, changes: Changes, *, now: datetime) -> None:
    """Write everything that changed, wake the trader and tell the browsers."""
    positions = cast("list[Position]", list(changes.positions_moved.values()))
    positions_new = [row for row in positions if row._state.adding]
    _write_new(pockets, changes)
    Position.objects.bulk_create(positions_new)
    _write_moved(changes, [row for row in positions if row not in positions_new])
    if changes.books_touched:
        sql.run(_TOUCH, list(changes.books_touched))
    for note in changes.audits:
        audit.record(action=note.action, subject=note.subject, before=note.before, after=note.after, now=now)
    for word in changes.wakes:
        accounts.wake_trader(account.pk, word)
    if changes.is_account_touched:
        accounts.changed(account, *sorted(changes.account_fields))
    elif changes.account_fields:
        account.save(update_fields=sorted(changes.account_fields))
    for book in changes.books_halted.values():
        alarms.raise_alarm(account.pk, Cause(Source.BOOK, book.halt_reason, book.pk), now=now)
    if "state" in changes.account_fields:
        alarms.follow_state(account, now=now)
        publish_on_commit("health", "changed", {"account": account.pk}, seq=account.version)


def _write_new(pockets: Pockets, changes: Changes) -> None:
    orders = cast("list[Order]", changes.orders)
    _write_decisions(cast("list[DecisionRecord]", changes.decisions))
    Intent.objects.bulk_create(cast("list[Intent]", changes.intents))
    Order.objects.bulk_create(orders)
    Reservation.objects.bulk_create([order.reservation for order in orders])
    headers = pockets.write(changes.movements, changes.balances)
    fills = []
    for row, movement in changes.fills:
        fill = cast("Fill", row)
        fill.ledger_transaction_id = headers[movement.seq]
        fills.append(fill)
    Fill.objects.bulk_create(fills)


def _write_decisions(decisions: list[DecisionRecord]) -> None:
    """Write what bots decided, of which there are many in one candle, and number the rows."""
    if not decisions:
        return
    values = [[*(getattr(row, name) for name in _DECIDED), json.dumps(row.facts)] for row in decisions]
    # In the order given, which is that of the numbers.
    for row, (number,) in zip(decisions, sql.rows(_DECIDE, *sql.columns(values)), strict=True):
        row.pk, row._state.adding, row._state.db = number, False, DEFAULT_DB_ALIAS


def _write_moved(changes: Changes, positions: list[Position]) -> None:
    updates = Updates()
    updates.add(Intent, changes.intents_moved.values(), INTENT_FIELDS)
    updates.add(Order, changes.orders_moved.values(), ORDER_FIELDS)
    # A cancel is asked for without the order's lock: the trader may be moving its status meanwhile.
    cancels = [order for name, order in changes.cancels.items() if name not in changes.orders_moved]
    updates.add(Order, cancels, ("cancel_requested_at",))
    updates.add(Reservation, changes.reservations_moved.values(), RESERVATION_FIELDS)
    updates.add(Position, positions, POSITION_FIELDS)
    updates.add(Fill, changes.fills_corrected.values(), ("realised",))
    updates.add(Book, changes.books_halted.values(), ("is_halted", "halt_reason"))
    updates.add(Book, changes.books_flattened.values(), ("flattened_seq",))
    updates.run()
