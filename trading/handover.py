"""How an account passes on: entries shut, orders gone, holdings dealt with, drained, then the next books trade (I-33, I-35)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final, NamedTuple

from trading.rotation import Policy
from trading.strategy import View


class Mode(StrEnum):
    """How the bots of an account share it."""

    SINGLE = "single"
    ROTATION = "rotation"
    PERCENTAGE = "percentage"
    SUBACCOUNTS = "subaccounts"


# In these modes at most one bot of the account trades at a time; with sub-accounts none: each trades in one of its own.
EXCLUSIVE: Final = frozenset((Mode.SINGLE, Mode.ROTATION, Mode.SUBACCOUNTS))


class Phase(StrEnum):
    """Where a hand-over stands."""

    # Nobody outgoing may enter; the entry orders they have are being cancelled.
    CLOSING = "closing"
    # What they hold is sold, carried, handed on or waited for.
    RELEASING = "releasing"
    # The incoming books trade.
    SETTLED = "settled"


class Act(StrEnum):
    """What a step of a hand-over asks of the account."""

    CANCEL_ENTRIES = "cancel_entries"
    CANCEL_ALL = "cancel_all"
    SELL = "sell"
    HAND_ON = "hand_on"
    SETTLE = "settle"


class Action(NamedTuple):
    """One thing to do now; a settlement concerns all books, and so names none."""

    act: Act
    book_id: int | None = None


class BookFacts(NamedTuple):
    """What is in play for a book: orders by kind, and its holdings above dust."""

    # Buys that are live or wait: what could still bring new capital at risk.
    entries: int = 0
    # Sells that are live or wait: exits, stops, resting sells.
    exits: int = 0
    # Orders of which nobody knows whether the exchange has them.
    unknown: int = 0
    # Holdings that the exchange would take, and those of them whose sale is on its way.
    sellable: int = 0
    being_sold: int = 0
    # Of the sellable ones, those that the one incoming book trades too.
    can_be_handed_on: int = 0

    @property
    def is_flat(self) -> bool:
        """Say whether nothing is left but dust."""
        return self.sellable == 0

    @property
    def is_quiet(self) -> bool:
        """Say whether no order of the book may still trade, so that it reserves nothing."""
        return self.entries == self.exits == self.unknown == 0


NOTHING_IN_PLAY: Final = BookFacts()


class HandOver(NamedTuple):
    """One passing of the account; its epoch only grows, and whoever knows an older one is late."""

    epoch: int
    incoming: frozenset[int]
    outgoing: frozenset[int]
    policy: Policy
    began_at: datetime
    wait_until: datetime | None = None
    phase: Phase = Phase.CLOSING
    settled_at: datetime | None = None

    @property
    def is_settled(self) -> bool:
        """Say whether the incoming books trade."""
        return self.phase == Phase.SETTLED


class Step(NamedTuple):
    """What to do now, and where the hand-over then stands."""

    hand_over: HandOver
    actions: tuple[Action, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Stance:
    """What the coordinator must know: who may enter, since when and until when."""

    mode: Mode
    epoch: int
    phase: Phase
    active: frozenset[int]
    # Market time of the settlement: decisions of that very candle come too early, whoever was faster.
    since: datetime | None = None
    until: datetime | None = None
    facts: Mapping[str, str] | None = None


def begin(
    now: HandOver | None,
    *,
    active: frozenset[int],
    incoming: frozenset[int],
    policy: Policy,
    at: datetime,
    wait_minutes: int = 0,
) -> HandOver:
    """Begin to pass the account on; one that is still under way is taken over with all that were to leave in it."""
    leaving = active if now is None or now.is_settled else active | now.outgoing
    return HandOver(
        epoch=0 if now is None else now.epoch + 1,
        incoming=incoming,
        outgoing=leaving - incoming,
        policy=policy,
        began_at=at,
        wait_until=at + timedelta(minutes=wait_minutes) if policy == Policy.WAIT else None,
    )


def step(hand_over: HandOver, books: Mapping[int, BookFacts], at: datetime) -> Step:
    """Answer what the hand-over asks for at this moment; safe to ask at any time and as often as one likes.

    A step never counts on what it asked for before: a crash between two steps costs nothing but time.
    """
    if hand_over.is_settled:
        return Step(hand_over)
    leaving = {book_id: books.get(book_id, NOTHING_IN_PLAY) for book_id in sorted(hand_over.outgoing)}
    open_entries = [book_id for book_id, facts in leaving.items() if facts.entries]
    if open_entries:
        # Also where an entry shows up late: an order that was thought absent and lives.
        closing = hand_over._replace(phase=Phase.CLOSING)
        return Step(closing, tuple(Action(Act.CANCEL_ENTRIES, book_id) for book_id in open_entries))
    if any(facts.unknown for facts in leaving.values()):
        return Step(hand_over)
    actions = tuple(action for book_id, facts in leaving.items() for action in _release(hand_over, book_id, facts, at))
    if actions or not all(_is_drained(hand_over, facts) for facts in leaving.values()):
        return Step(hand_over._replace(phase=Phase.RELEASING), actions)
    return Step(hand_over._replace(phase=Phase.SETTLED, settled_at=at), (Action(Act.SETTLE),))


def view_at(hand_over: HandOver | None, book_id: int, at: datetime) -> View:
    """Answer what a strategy may see of its book at the close of a candle; the same before, during and after the hand-over.

    On the candle of a switch a bot steps before the account passes on, in the middle of it or after it, as it comes. Its
    memory must not depend on that: nobody sees money that moves, and who hands on or takes over sees nothing of it yet.
    """
    if hand_over is None or (hand_over.settled_at is not None and at > hand_over.settled_at):
        return View.WHOLE
    policy, leaves = hand_over.policy, book_id in hand_over.outgoing
    if leaves and policy == Policy.WAIT and not _is_over(hand_over, at):
        # It keeps its money until it is flat, and then nobody knows whether that has been recalled.
        return View.MONEY_WHILE_HOLDING
    if leaves and policy != Policy.CARRY:
        return View.NOTHING
    if policy == Policy.TRANSFER and book_id in hand_over.incoming:
        return View.NOTHING
    return View.NO_MONEY


def _release(hand_over: HandOver, book_id: int, facts: BookFacts, at: datetime) -> list[Action]:
    """Answer what the policy asks for one book."""
    policy = hand_over.policy
    if policy == Policy.CARRY or (facts.is_flat and facts.is_quiet):
        return []
    if policy == Policy.WAIT and not _is_over(hand_over, at):
        # Resting sells that guard nothing are called off; the rest of a flat book ends by itself.
        return [Action(Act.CANCEL_ALL, book_id)] if facts.is_flat else []
    if policy == Policy.TRANSFER and facts.can_be_handed_on:
        # The stop goes first: what an order reserves cannot pass to another book.
        return [Action(Act.HAND_ON if facts.is_quiet else Act.CANCEL_ALL, book_id)]
    if facts.sellable > facts.being_sold:
        return [Action(Act.SELL, book_id)]
    return [Action(Act.CANCEL_ALL, book_id)] if facts.is_flat and not facts.is_quiet else []


def _is_over(hand_over: HandOver, at: datetime) -> bool:
    return hand_over.wait_until is not None and at >= hand_over.wait_until


def _is_drained(hand_over: HandOver, facts: BookFacts) -> bool:
    """Say whether a book may be left: no order and nothing but dust; one that carries on keeps its exits and its stops."""
    if hand_over.policy == Policy.CARRY:
        return facts.entries == facts.unknown == 0
    return facts.is_flat and facts.is_quiet
