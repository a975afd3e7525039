"""Write modes, hand-overs and what they move; each inside a transaction on a locked account."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING

from django.db.models import Max

from portfolio.models import Account, Book, BookTransfer, HandOver, ModeVersion, RotationSlot
from portfolio.selectors.modes import UNSETTLED
from portfolio.writers import books, capital
from trading import handover
from trading.desk.desk import Desk
from trading.desk.mode_rules import HandedOn, worth_of
from trading.handover import Mode
from trading.ledger import ZERO, Leg, Pocket, plain
from trading.rotation import Policy, Rotation, Turn
from trading.settlement import AVAILABLE, UNALLOCATED

if TYPE_CHECKING:
    from django.contrib.auth.models import User


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """How an operator wants the account shared; in a rotation a bot is the number of its book."""

    mode: Mode
    book_id: int | None = None
    budget: Decimal | None = None
    # What becomes of holdings now, in this very change.
    policy: Policy = Policy.FLATTEN
    wait_minutes: int = 0
    rotation: Rotation | None = None
    # The instruments of each book: what it can take over.
    traded: Mapping[int, Collection[int]] | None = None


def record_version(
    account: Account, choice: Choice, *, by: User | None, reason: str, market_at: datetime, now: datetime
) -> ModeVersion:
    """Add a version of the mode with its slots."""
    newest = ModeVersion.objects.filter(account=account).aggregate(newest=Max("number"))["newest"] or 0
    rotation = choice.rotation
    version = ModeVersion.objects.create(
        account=account,
        number=newest + 1,
        mode=str(choice.mode),
        book_id=choice.book_id,
        budget=choice.budget,
        policy=str(choice.policy),
        wait_minutes=choice.wait_minutes,
        zone=rotation.zone if rotation else "UTC",
        is_gap_idle=bool(rotation and rotation.is_gap_idle),
        traded={str(book_id): sorted(instruments) for book_id, instruments in sorted((choice.traded or {}).items())},
        market_at=market_at,
        set_at=now,
        set_by=by,
        reason=reason[:200],
    )
    for place, slot in enumerate(rotation.slots if rotation else ()):
        RotationSlot.objects.create(
            version=version,
            place=place,
            days=sum(1 << day for day in slot.days),
            begin_minute=slot.begin_minute,
            end_minute=slot.end_minute,
            book_id=int(slot.bot) if slot.bot else None,
            policy=str(slot.policy),
            wait_minutes=slot.wait_minutes,
        )
    return version


def begin_hand_over(version: ModeVersion, begun: handover.HandOver, turn: Turn | None, *, now: datetime) -> HandOver:
    """Write a new hand-over; one that was under way is overtaken by it."""
    policy_after = Policy.FLATTEN if turn is None else turn.policy
    HandOver.objects.filter(account=version.account_id, phase__in=UNSETTLED).update(phase=HandOver.OVERTAKEN)
    return HandOver.objects.create(
        account_id=version.account_id,
        epoch=begun.epoch,
        version=version,
        phase=str(begun.phase),
        incoming=sorted(begun.incoming),
        outgoing=sorted(begun.outgoing),
        policy=str(begun.policy),
        began_at=begun.began_at,
        wait_until=begun.wait_until,
        turn_until=None if turn is None else turn.end_at,
        policy_after=str(policy_after),
        wait_minutes_after=0 if turn is None else turn.wait_minutes,
        recorded_at=now,
    )


def save_step(row: HandOver, now_is: handover.HandOver) -> None:
    """Write how far a hand-over has come."""
    row.phase, row.settled_at = str(now_is.phase), now_is.settled_at
    row.save(update_fields=["phase", "settled_at", "facts"])


def prolong(row: HandOver, turn: Turn) -> None:
    """Note that the next turn belongs to the same book: nothing passes on."""
    row.turn_until, row.policy_after, row.wait_minutes_after = turn.end_at, str(turn.policy), turn.wait_minutes
    row.save(update_fields=["turn_until", "policy_after", "wait_minutes_after"])


def record_transfers(row: HandOver, passed: Iterable[HandedOn], *, held: Mapping[int, Book], market_at: datetime) -> None:
    """Write holdings that passed on, and count their worth as capital of the two books."""
    for holding in passed:
        BookTransfer.objects.create(
            hand_over=row,
            book_before_id=holding.book_before_id,
            book_after_id=holding.book_after_id,
            instrument_id=holding.instrument_id,
            quantity=holding.quantity,
            mark=holding.mark,
            value=holding.value,
            realised=holding.realised,
            ledger_seq=holding.ledger_seq,
            market_at=market_at,
        )
        giver, taker = held[holding.book_before_id], held[holding.book_after_id]
        capital.shrink_day(giver, worth_before=holding.worth_before, moved=-holding.value, market_at=market_at)
        books.add_capital(giver, -holding.value, base_equity=giver.base_equity)
        books.add_capital(taker, holding.value, base_equity=taker.base_equity)


def deal(desk: Desk, row: HandOver, *, held: Mapping[int, Book], budget: Decimal | None) -> dict[str, str]:
    """Recall the free cash of everybody whose turn it is not, and fund the one whose turn it is, up to the budget."""
    moved: dict[str, str] = {}
    incoming = set(row.incoming)
    for book_id in sorted(held.keys() - incoming):
        amount = -max(ZERO, desk.available(book_id, desk.account.quote_asset))
        _move(desk, row, held[book_id], amount, sized_by=None, moved=moved)
    for book_id in sorted(incoming):
        worth = worth_of(desk, book_id)
        there = desk.journal.balance(Pocket(UNALLOCATED, None, desk.account.quote_asset))
        wanted = there if budget is None else budget - worth
        free = max(ZERO, desk.available(book_id, desk.account.quote_asset))
        amount = max(min(wanted, max(there, ZERO)), -free)
        _move(desk, row, held[book_id], amount, sized_by=budget, moved=moved)
    return moved


def _move(desk: Desk, row: HandOver, book: Book, amount: Decimal, *, sized_by: Decimal | None, moved: dict[str, str]) -> None:
    quote, worth = desk.account.quote_asset, worth_of(desk, book.pk)
    if amount != ZERO:
        desk.journal.post(
            kind="allocation",
            reference=f"hand_over:{row.epoch}:{book.pk}",
            legs=[Leg(Pocket(UNALLOCATED, None, quote), -amount), Leg(Pocket(AVAILABLE, book.pk, quote), amount)],
            market_at=desk.market_at,
            facts={"hand_over": row.epoch},
        )
        moved[str(book.pk)] = plain(amount)
        capital.shrink_day(book, worth_before=worth, moved=amount, market_at=desk.market_at)
    sized = max(ZERO, worth + amount)
    books.add_capital(book, amount, base_equity=sized if sized_by is None else min(sized, sized_by))
    desk.touch_book(book.pk)
