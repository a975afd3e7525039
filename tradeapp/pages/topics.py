"""What each topic of the stream looks like: the same figures that pages show at load and the API tells."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.db.models import Max
from django.utils import timezone

from bots.models import Bot
from portfolio.models import Account, AuditEntry, Fill, Heartbeat, Order
from portfolio.selectors.worth import consistent_read
from stream import snapshots
from stream.snapshots import Snapshot
from tradeapp import readiness
from tradeapp.pages import history_jobs, reading
from tradeapp.pages.figures import as_data

OfAccount = Callable[[Account], Snapshot]


def register() -> None:
    """Register who answers for each topic."""
    for prefix, provider in (
        ("portfolio", portfolio),
        ("orders", orders),
        ("allocation", allocation),
        ("bots", bots),
        ("health", health),
        ("events", events),
    ):
        snapshots.register(prefix, _of_account(provider))
    snapshots.register("bot", bot)
    snapshots.register("job", history_jobs.snapshot)


def portfolio(account: Account) -> Snapshot:
    """Show every figure of money, and the newest point of the equity line."""
    worth, found = reading.account_figures(account.pk)
    point: dict[str, Any] = {"at": worth.marked_at.isoformat() if worth.marked_at else None}
    point |= {"account": found["account.equity"].value}
    point |= {str(book.book_id): found[f"book.{book.book_id}.equity"].value for book in worth.overview.books}
    return Snapshot(worth.seq, {"figures": as_data(found), "point": point})


def orders(account: Account) -> Snapshot:
    """Tell that orders, fills or positions changed; tables are fetched."""
    newest_fill = Fill.objects.filter(account=account).order_by("-id").values_list("id", flat=True).first()
    live = Order.objects.filter(account=account, status__in=Order.LIVE).count()
    return Snapshot(account.version, {"version": account.version, "live": live, "fill": newest_fill or 0})


def allocation(account: Account) -> Snapshot:
    """Show what each share should be and is."""
    with consistent_read():
        worth, found = reading.account_figures(account.pk)
    shares = {
        str(book.book_id): {"bot": book.name, "target": str(book.target), "actual": found[f"book.{book.book_id}.equity"].value}
        for book in worth.overview.books
    }
    return Snapshot(worth.seq, {"shares": shares, "unallocated": found["account.unallocated"].value})


def bots(account: Account) -> Snapshot:
    """Show what every bot is doing."""
    with consistent_read():
        lines = reading.bot_lines(account.pk)
        version = Account.objects.values_list("version", flat=True).get(pk=account.pk)
    return Snapshot(version + sum(line.bot.version for line in lines), {"figures": as_data(reading.bots_figures(lines))})


def health(account: Account) -> Snapshot:
    """Show who is alive; its version grows with the account's and with every sign of life."""
    newest = Heartbeat.objects.aggregate(newest=Max("beat_at"))["newest"]
    seq = account.version + (int(newest.timestamp() * 1000) if newest else 0)
    now = timezone.now()
    return Snapshot(seq, {"figures": as_data(reading.health_figures(account, readiness.signs(now=now), now=now))})


def events(account: Account) -> Snapshot:
    """Tell that something happened; the list is fetched."""
    newest = AuditEntry.objects.order_by("-id").values_list("id", flat=True).first() or 0
    return Snapshot(account.version + newest, {"audit": newest, "version": account.version})


def bot(topic: str) -> Snapshot | None:
    """Show one bot's state and how far it has stepped; its tables are fetched."""
    number = topic.partition(":")[2]
    found = Bot.objects.select_related("book").filter(id=int(number)).first() if _is_id(number) else None
    if found is None:
        return None
    closed_at = found.bar_closed_at.isoformat() if found.bar_closed_at else None
    data = {"status": found.status, "bar_closed_at": closed_at, "version": found.version}
    return Snapshot(found.version, data)


def _of_account(provider: OfAccount) -> Callable[[str], Snapshot | None]:
    def answer(topic: str) -> Snapshot | None:
        number = topic.partition(":")[2]
        if number and not _is_id(number):
            return None
        account = reading.chosen_account(int(number) if number else None)
        # Without an account there is nothing to tell yet, but the topic is there.
        return Snapshot(0, {}) if account is None and not number else provider(account) if account else None

    return answer


def _is_id(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 18
