"""Advance an account: step every due bot outside, then claim, remember and coordinate in one transaction."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import structlog
from django.db import transaction

from bots import writers
from bots.jobs.due import DueBot, equity_due_at, find_due
from bots.jobs.pairs import advance_pairs
from bots.jobs.settling import claim_of, draw_equity, halt
from bots.jobs.stepping import Failed, Stepped, step_all
from portfolio.jobs.allocations import tend
from portfolio.jobs.coordinate import coordinate
from portfolio.models import Account
from portfolio.selectors import books_exact
from portfolio.selectors.modes import hand_over_at
from portfolio.writers import accounts
from trading.proposals import Proposal

log = structlog.get_logger(__name__)

# A neighbour's transaction between reading and writing makes the steps worthless; so many more tries.
ATTEMPTS: Final = 5


class AccountKeepsChanging(Exception):
    """Raised when the account changed under every attempt; the sweep tries again."""


@dataclass(frozen=True, slots=True)
class Advance:
    """What one call did."""

    bots_stepped: int = 0
    bots_halted: int = 0
    bars: int = 0
    accepted: int = 0
    denied: int = 0


def advance_account(*, account_id: int, clock: Callable[[], datetime]) -> Advance:
    """Step every bot of an account that has closed candles up to where the account is synced; safe to repeat.

    Late and duplicate calls find nothing due. Whoever loses a claim does nothing for that bot. Pairs of bots with a side
    here come last.
    """
    is_dealt = False
    for _ in range(ATTEMPTS):
        seen = Account.objects.select_related("market").get(id=account_id)
        if not seen.is_enabled or seen.synced_through_at is None:
            return Advance()
        dues = find_due(account_id, seen.synced_through_at)
        # Once for each candle, and before its decisions: what is dealt out anew counts for them. Money that comes after them
        # waits for the next candle, whoever rings in between.
        is_new = bool(dues) or equity_due_at(account_id, seen.synced_through_at) is not None
        if is_new and not is_dealt and tend(account_id=account_id, market_at=seen.synced_through_at, now=clock()):
            is_dealt = True
            continue
        if not dues:
            advance_pairs(account_id=account_id, clock=clock)
            draw_equity(seen, now=clock())
            return Advance()
        exact = books_exact([due.bot.book_id for due in dues], _fills_seen(dues))
        answers = step_all(dues, exact, seen.market, hand_over_at(seen))
        done = _commit(seen, answers, clock())
        if done is not None:
            advance_pairs(account_id=account_id, clock=clock)
            draw_equity(seen, now=clock())
            accounts.wake_trader(account_id, "advanced")
            log.info("account.advanced", account=account_id, through=seen.synced_through_at, bots=done.bots_stepped)
            return done
    raise AccountKeepsChanging(f"Account {account_id} changed during {ATTEMPTS} attempts")


def _commit(seen: Account, answers: Sequence[Stepped | Failed], now: datetime) -> Advance | None:
    """Write the steps of one account, or answer None if it changed since it was read."""
    with transaction.atomic():
        account = accounts.lock(seen.pk)
        if account.version != seen.version:
            return None
        stepped = [answer for answer in answers if isinstance(answer, Stepped)]
        failed = [answer for answer in answers if isinstance(answer, Failed)]
        for answer in failed:
            halt(answer, answer.due.bot, now=now)
        won = writers.claim_bars([claim_of(answer.due, answer.due.bot) for answer in stepped]) if stepped else set()
        mine = [answer for answer in stepped if answer.due.bot.pk in won]
        writers.save_states([answer.state for answer in mine])
        accepted, denied = _coordinate(account, mine, now)
    return Advance(
        bots_stepped=len(mine),
        bots_halted=len(failed),
        bars=sum(len(answer.due.closes) for answer in mine),
        accepted=accepted,
        denied=denied,
    )


def _coordinate(account: Account, mine: Sequence[Stepped], now: datetime) -> tuple[int, int]:
    """Hand all decisions of each candle to the coordinator, oldest candle first."""
    by_close: dict[datetime, list[Proposal]] = defaultdict(list)
    for answer in mine:
        for bar in answer.bars:
            by_close[bar.closed_at].extend(bar.proposals)
    accepted = denied = 0
    for closed_at in sorted(by_close):
        outcomes = coordinate(account, by_close[closed_at], market_at=closed_at, now=now)
        accepted += sum(outcome.is_accepted for outcome in outcomes)
        denied += sum(bool(outcome.code) for outcome in outcomes)
    return accepted, denied


def _fills_seen(dues: Sequence[DueBot]) -> dict[int, int]:
    return {due.bot.book_id: due.last_fill_id for due in dues}
