"""Switch who trades: at the moments of market time that the mode says, one safe step after another."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import structlog

from portfolio.jobs.risk import market_time
from portfolio.models import Account, Book, HandOver, ModeVersion
from portfolio.selectors import modes as reading
from portfolio.writers import audit
from portfolio.writers import modes as writing
from portfolio.writers.store import open_desk
from trading import handover
from trading.desk.desk import Desk
from trading.desk.mode_rules import book_facts, perform
from trading.handover import EXCLUSIVE, Act, Action
from trading.ledger import exactly
from trading.rotation import Policy, Turn

log = structlog.get_logger(__name__)

# What can be done at once is done at once: cancel what was never sent, then sell, then settle.
STEPS_MAX = 6


@dataclass(frozen=True, slots=True)
class ModeLook:
    """What a look found."""

    market_at: datetime | None
    wants_action: bool = False


def look(account_id: int) -> ModeLook:
    """Look without locking anything; market time alone decides."""
    account = Account.objects.select_related("market").get(id=account_id)
    market_at = market_time(account)
    if account.allocation_mode not in EXCLUSIVE or market_at is None:
        return ModeLook(market_at)
    row = reading.newest_hand_over(account_id)
    if row is None:
        return ModeLook(market_at)
    is_over = row.turn_until is not None and market_at >= row.turn_until
    return ModeLook(market_at, wants_action=is_over or row.phase in reading.UNSETTLED)


def act(account: Account, *, now: datetime) -> HandOver | None:
    """Do on a locked account what its mode calls for at this moment of market time; safe to repeat.

    Everything that a crash could lose is in the tables when this returns and the transaction ends.
    """
    market_at = market_time(account)
    row = reading.newest_hand_over(account.pk)
    if account.allocation_mode not in EXCLUSIVE or market_at is None or row is None:
        return None
    desk = open_desk(account, market_at=market_at, now=now)
    row = _turn_over(row, market_at, now=now)
    advance(desk, account, row, now=now)
    desk.write()
    return row


def begin(
    account: Account,
    version: ModeVersion,
    *,
    incoming: frozenset[int],
    turn: Turn | None,
    market_at: datetime,
    now: datetime,
) -> HandOver:
    """Begin the hand-over that a newly chosen mode calls for."""
    row = reading.newest_hand_over(account.pk)
    books = frozenset(Book.objects.filter(account=account).values_list("id", flat=True))
    before = None if row is None else reading.hand_over_of(row)
    was_settled = before is None or before.is_settled
    begun = handover.begin(
        before,
        active=(books if before is None else before.incoming) if was_settled else frozenset(),
        incoming=incoming,
        policy=Policy(version.policy),
        at=market_at,
        wait_minutes=version.wait_minutes,
    )
    return writing.begin_hand_over(version, begun, turn, now=now)


@exactly
def advance(desk: Desk, account: Account, row: HandOver, *, now: datetime) -> None:
    """Take as many steps of a hand-over as can be taken at this moment."""
    held = {book.pk: book for book in Book.objects.filter(account=account)}
    traded = reading.traded_by(row.version)
    known = reading.hand_over_of(row)
    before = None
    for _ in range(STEPS_MAX):
        facts = {book: book_facts(desk, book, incoming=known.incoming, traded=traded) for book in known.outgoing if book in held}
        done = handover.step(known, facts, desk.market_at)
        if known.is_settled or (done.hand_over, facts) == before:
            break
        before, known = (done.hand_over, facts), done.hand_over
        for action in done.actions:
            _do(desk, account, row, action, held=held)
        if known.is_settled:
            _tell(desk, row, known, now=now)
    writing.save_step(row, known)


def _do(desk: Desk, account: Account, row: HandOver, action: Action, *, held: dict[int, Book]) -> None:
    log.info("mode.hand_over", account=account.pk, epoch=row.epoch, act=str(action.act), book=action.book_id)
    if action.act == Act.SETTLE:
        is_shared_out = account.allocation_mode not in EXCLUSIVE
        # Where every book has its share again, the shares say what it gets.
        row.facts = {} if is_shared_out else writing.deal(desk, row, held=held, budget=row.version.budget)
        return
    passed = perform(desk, action, incoming=frozenset(row.incoming), traded=reading.traded_by(row.version))
    writing.record_transfers(row, passed, held=held, market_at=desk.market_at)


def _turn_over(row: HandOver, market_at: datetime, *, now: datetime) -> HandOver:
    """Begin the next turn if this one is over; what became due while nobody looked is one switch, to whose turn it is now."""
    after = reading.turn_after(row, market_at)
    if after is None:
        return row
    turn, begun = after
    if begun.epoch == row.epoch:
        writing.prolong(row, turn)
        return row
    return writing.begin_hand_over(row.version, begun, turn, now=now)


def _tell(desk: Desk, row: HandOver, settled: handover.HandOver, *, now: datetime) -> None:
    """Note in the audit who trades from now on."""
    desk.touch_account()
    audit.record(
        action="mode.hand_over",
        subject=f"account:{row.account_id}",
        before={"books": sorted(settled.outgoing)},
        after={"books": sorted(settled.incoming), "epoch": settled.epoch, "policy": str(settled.policy), "capital": row.facts},
        now=now,
    )
