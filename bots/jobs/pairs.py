"""Advance pairs of bots: one strategy decides for two accounts, and both legs of what it wants are ordered, or neither."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Final

import structlog
from django.db import transaction

from bots import writers
from bots.jobs.due import DueBot, DuePair, find_due_pairs, load_pair
from bots.jobs.settling import claim_of, draw_equity, halt
from bots.jobs.stepping import Failed, SteppedPair, step_pair
from portfolio.jobs.allocations import tend
from portfolio.jobs.pairs import coordinate_pair
from portfolio.models import Account
from portfolio.selectors import books_exact
from portfolio.writers import accounts
from trading.proposals import Proposal

log = structlog.get_logger(__name__)

# As of a lone account; here two of them may change.
ATTEMPTS: Final = 5


def advance_pairs(*, account_id: int, clock: Callable[[], datetime]) -> int:
    """Step the pairs with a side in an account over the candles that both accounts are through; answer how many.

    Safe to repeat: who comes too early finds nothing due and whoever loses the claim does nothing. What changed under
    every attempt is left to the sweep.
    """
    count = 0
    for due in find_due_pairs(account_id):
        if _advance(due, clock):
            count += 1
        else:
            log.info("pair.left", leader=due.leader_id, accounts=due.account_ids)
    return count


def _advance(due: DuePair, clock: Callable[[], datetime]) -> bool:
    for account_id in due.account_ids:
        # As for any bot: what is dealt out anew counts for the decisions of this candle.
        tend(account_id=account_id, market_at=due.closes[-1], now=clock())
    for _ in range(ATTEMPTS):
        seen = Account.objects.select_related("market").in_bulk(due.account_ids)
        loaded, follower_state = load_pair(due)
        assert loaded.follower is not None
        home, away = loaded.bot.book_id, loaded.follower.book_id
        cursors = {home: loaded.last_fill_id, away: 0 if follower_state is None else follower_state.last_fill_id}
        exact = books_exact([home, away], cursors)
        markets = seen[due.account_ids[0]].market, seen[due.account_ids[1]].market
        answer = step_pair(loaded, (exact[home], exact[away]), markets)
        is_done = _commit(seen, due, answer, clock())
        if is_done is not None:
            for account_id in due.account_ids:
                draw_equity(seen[account_id], now=clock())
                accounts.wake_trader(account_id, "advanced")
            return is_done
    return False


def _commit(seen: Mapping[int, Account], due: DuePair, answer: SteppedPair | Failed, now: datetime) -> bool | None:
    """Write the step under both accounts' locks; None if one of them changed since it was read, False if others had it."""
    with transaction.atomic():
        # Always in this order: two transactions that want the same two accounts never wait for each other.
        locked = {account_id: accounts.lock(account_id) for account_id in sorted(due.account_ids)}
        if any(account.version != seen[account_id].version for account_id, account in locked.items()):
            return None
        leader, follower = answer.due.bot, answer.due.follower
        assert follower is not None
        if isinstance(answer, Failed):
            for bot in (leader, follower):
                halt(answer, bot, now=now)
            return True
        if len(writers.claim_bars([claim_of(answer.due, leader), claim_of(answer.due, follower)])) < 2:
            transaction.set_rollback(True)
            return False
        writers.save_states([answer.state, answer.follower_state])
        for bar in answer.bars:
            proposals = _by_account(answer.due, due.account_ids, bar.proposals)
            coordinate_pair(due.account_ids, proposals, market_at=bar.closed_at, now=now)
    return True


def _by_account(due: DueBot, account_ids: tuple[int, int], proposals: tuple[Proposal, ...]) -> dict[int, list[Proposal]]:
    found: dict[int, list[Proposal]] = defaultdict(list)
    for proposal in proposals:
        found[account_ids[proposal.book_id != due.bot.book_id]].append(proposal)
    return dict(found)
