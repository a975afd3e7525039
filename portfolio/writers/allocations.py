"""Carry out a plan of shares: move the money it moves now, and remember what is still to be moved."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING

from portfolio.models import Account, Allocation, AllocationVersion, Book, RebaseClock
from portfolio.selectors.allocations import AllocationPlan
from portfolio.writers import accounts, audit, books
from portfolio.writers.capital import shrink_day
from portfolio.writers.ledger import Journal
from stream.publish import publish_on_commit
from trading.allocations import rebase_slot
from trading.ledger import ZERO, Leg, Pocket, plain
from trading.settlement import AVAILABLE, UNALLOCATED

if TYPE_CHECKING:
    from django.contrib.auth.models import User


@dataclass(frozen=True, slots=True, kw_only=True)
class Making:
    """Who makes a version, why and when."""

    cause: str
    by: User | None
    market_at: datetime
    now: datetime
    request_id: str = ""
    note: str = ""
    restored: int | None = None


def carry_out(account: Account, plan: AllocationPlan, making: Making) -> AllocationVersion:
    """Write a plan as the account's next version and move what can be moved at once; the account is locked."""
    version = AllocationVersion.objects.create(
        account=account,
        number=plan.number + 1,
        cause=making.cause,
        note=making.note,
        restored=making.restored,
        total=plan.total,
        reserve_percent=plan.policy.reserve_percent,
        band_percent=plan.policy.band_percent,
        rebase_hours=plan.policy.rebase_hours,
        rebases_after_flows=plan.policy.rebases_after_flows,
        market_at=making.market_at,
        set_at=making.now,
        set_by=making.by,
    )
    held = {book.pk: book for book in Book.objects.filter(account=account)}
    before = {str(book.pk): plain(book.base_equity) for book in held.values()}
    moves = {share.book_id: share.moved for share in plan.shares}
    post_moves(account, moves, reference=f"plan:{version.number}", market_at=making.market_at, now=making.now)
    for share in plan.shares:
        if share.is_dealt:
            book = held[share.book_id]
            shrink_day(book, worth_before=share.funded - share.moved, moved=share.moved, market_at=making.market_at)
            books.add_capital(book, share.moved, base_equity=share.sized_by)
            books.set_pending(book, share.missing, now=making.now)
    _write_shares(version, plan)
    audit.record(
        action="allocation.set",
        subject=f"account:{account.pk}",
        actor=making.by,
        before=before,
        after={"version": version.number, "cause": making.cause}
        | {str(share.book_id): f"{plain(share.percent)} % = {plain(share.funded)}" for share in plan.shares},
        now=making.now,
        request_id=making.request_id,
    )
    tell(account)
    return version


def post_moves(account: Account, moves: Mapping[int, Decimal], *, reference: str, market_at: datetime, now: datetime) -> None:
    """Post what moves between the operator and books, above zero into the book."""
    quote = account.quote_asset
    journal = Journal(account, now=now)
    for book_id, moved in moves.items():
        if moved != ZERO:
            journal.post(
                kind="allocation",
                reference=f"{reference}:{book_id}",
                legs=[Leg(Pocket(UNALLOCATED, None, quote), -moved), Leg(Pocket(AVAILABLE, book_id, quote), moved)],
                market_at=market_at,
            )
    journal.flush()


def complete(
    account: Account, moves: Mapping[int, Decimal], *, worths: Mapping[int, Decimal], market_at: datetime, now: datetime
) -> None:
    """Move what older plans still had to move and can be moved now; the account is locked.

    `worths` is what the books were worth before.
    """
    held = {book.pk: book for book in Book.objects.filter(account=account, id__in=moves)}
    # The ledger knows a movement by its reference: the next number of the chain makes it one of a kind.
    reference = f"pending:{account.ledger_seq + 1}"
    post_moves(account, moves, reference=reference, market_at=market_at, now=now)
    for book_id, moved in moves.items():
        book = held[book_id]
        shrink_day(book, worth_before=worths[book_id], moved=moved, market_at=market_at)
        # What leaves was not counted on any more since the plan was set; what comes is.
        books.add_capital(book, moved, base_equity=book.base_equity + max(moved, ZERO))
        books.set_pending(book, book.pending - moved, now=now)
    audit.record(
        action="allocation.complete",
        subject=f"account:{account.pk}",
        after={str(book_id): plain(moved) for book_id, moved in moves.items()},
        now=now,
    )
    tell(account)


def serve_clock(account: Account, *, market_at: datetime, hours: int) -> RebaseClock:
    """Note that the schedule's slot and all flows up to now are served."""
    slot_at = rebase_slot(market_at, hours) if hours else market_at
    clock, _ = RebaseClock.objects.update_or_create(
        account=account, defaults={"slot_at": slot_at, "net_flows": account.net_flows}
    )
    return clock


def tell(account: Account) -> None:
    """Raise the account's version and tell the browsers that shares changed."""
    accounts.changed(account)
    publish_on_commit("allocation", "changed", {"account": account.pk}, seq=account.version)


def _write_shares(version: AllocationVersion, plan: AllocationPlan) -> Sequence[Allocation]:
    return Allocation.objects.bulk_create(
        [
            Allocation(
                book_id=share.book_id,
                percent=share.percent,
                amount=share.target,
                moved=share.moved,
                is_locked=share.is_locked,
                effective_at=version.set_at,
                set_by=version.set_by,
                plan=version.number,
            )
            for share in plan.shares
        ]
    )
