"""What happened lately, in words: fills, refusals, and what people and processes changed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from bots.selectors import bots
from portfolio.models import AuditEntry, DecisionRecord, Fill, Order
from portfolio.selectors import lists
from tradeapp.pages.formats import price, quantity


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened; `tone` is good, bad, warn or empty."""

    at: datetime
    market_at: datetime | None
    kind: str
    subject: str
    text: str
    tone: str = ""


def latest(*, limit: int = 30) -> list[Event]:
    """Return the newest events of the shown account, newest first."""
    account = lists.shown_account()
    names = {f"account:{row.pk}": row.name for row in lists.accounts()}
    for bot in bots():
        names |= {f"bot:{bot.pk}": bot.name, f"book:{bot.book_id}": bot.name}
    found = [_of_audit(entry, names) for entry in lists.audit(cursor=None, limit=limit).items]
    if account is not None:
        found += [_of_fill(fill) for fill in lists.fills(account_id=account.pk, book_id=None, cursor=None, limit=limit).items]
        refused = Order.objects.filter(account=account, status__in=("rejected", "unknown", "absent"))
        found += [_of_order(order) for order in refused.select_related("book", "instrument").order_by("-id")[:limit]]
        denied = DecisionRecord.objects.filter(book__account=account, outcome="denied").select_related("book", "instrument")
        found += [_of_denial(decision) for decision in denied.order_by("-id")[:limit]]
    return sorted(found, key=lambda event: event.at, reverse=True)[:limit]


def _of_audit(entry: AuditEntry, names: Mapping[str, str]) -> Event:
    told = {name: value for name, value in entry.after.items() if _is_short(name, value)}
    if entry.action == "allocation.set":
        # A plan is recorded by the numbers of the books; people know their names.
        told = {names.get(f"book:{number}", number): share for number, share in told.items()}
    after = ", ".join(f"{name} {' '.join(map(str, value)) if isinstance(value, list) else value}" for name, value in told.items())
    tone = "warn" if "kill" in entry.action or "halt" in after else ""
    text = f"{names.get(entry.subject, entry.subject)}: {after}".strip(": ")[:200]
    return Event(entry.at, None, entry.action, entry.actor_name, text, tone)


def _is_short(name: str, value: object) -> bool:
    """Say whether a fact belongs into one line: hashes and parameters stand on the bot's own page."""
    return value not in ("", None) and "hash" not in name and not isinstance(value, dict)


def _of_fill(fill: Fill) -> Event:
    instrument = fill.instrument
    text = f"{'Bought' if fill.side == 'buy' else 'Sold'} {quantity(fill.quantity)} {instrument.base} at "
    text += f"{price(fill.price, instrument.tick_size)} {instrument.quote}"
    return Event(fill.posted_at, fill.traded_at, "fill", fill.book.name if fill.book else "Manual trade", text)


def _of_order(order: Order) -> Event:
    text = f"{order.side} {quantity(order.quantity)} {order.instrument.symbol} {order.get_status_display()}: {order.reason}"
    return Event(order.closed_at or order.created_at, order.market_at, "order", order.book.name, text, "warn")


def _of_denial(decision: DecisionRecord) -> Event:
    symbol = decision.instrument.symbol if decision.instrument else ""
    text = f"{decision.action} {symbol} denied: {decision.denial}"
    return Event(decision.recorded_at, decision.bar_closed_at, "denial", decision.book.name, text, "warn")
