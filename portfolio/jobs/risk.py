"""Look at what account and books have lost today, and act: what is beyond its hard cap is latched and sold."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from portfolio.models import Account
from portfolio.selectors.worth import consistent_read
from portfolio.writers import risk
from portfolio.writers.store import open_desk
from trading.desk.desk import Desk
from trading.desk.dust import can_be_sold
from trading.desk.risk_rules import limits_of, standings
from trading.desk.standing_down import is_being_sold, stand_down
from trading.ledger import exactly, plain
from trading.risk import HARD_STOP, REPEATED_EXECUTION, RiskRoom, Standing


@dataclass(slots=True)
class RiskLook:
    """What a look found; the key None is the account."""

    account: Account
    market_at: datetime
    room: RiskRoom
    standings: dict[int | None, Standing]
    # Beyond the hard cap and not latched yet.
    beyond: list[int | None] = field(default_factory=list)
    # Latched, and still holding what could be sold and is not being sold.
    still_holding: list[int] = field(default_factory=list)
    # Books whose entries repeat without giving a position, with how often.
    repeating: dict[int, int] = field(default_factory=dict)
    # Positions that should have a stop and have none, by book and instrument (I-47).
    unprotected: list[tuple[int, int]] = field(default_factory=list)
    is_day_open: bool = True

    @property
    def wants_action(self) -> bool:
        """Say whether the account must be locked and something done."""
        return bool(self.beyond or self.still_holding or self.repeating) or not self.is_day_open


def look(account_id: int, *, now: datetime) -> RiskLook:
    """Look without locking anything."""
    with consistent_read():
        account = Account.objects.select_related("market").get(id=account_id)
        return _look(account, now=now, is_locked=False)[1]


def act(account: Account, *, now: datetime) -> RiskLook:
    """Do on a locked account what a look calls for: record the day's start, latch, cancel entries, sell.

    Safe to repeat at any moment: what is latched stays latched, what is being sold is not sold twice.
    """
    desk, found = _look(account, now=now, is_locked=True)
    for key in found.beyond:
        facts = _facts(found.standings[key])
        risk.latch(account, book_id=key, code=HARD_STOP, facts=facts, market_at=found.market_at, now=now)
    for book_id, count in found.repeating.items():
        facts = {"entries_without_position": count}
        risk.latch(account, book_id=book_id, code=REPEATED_EXECUTION, facts=facts, market_at=found.market_at, now=now)
    shut = set(found.beyond) | {key for key, code in found.room.latches.items() if code == HARD_STOP}
    for book_id in desk.books:
        if None in shut or book_id in shut:
            stand_down(desk, book_id, reason=HARD_STOP)
    desk.write()
    return found


def market_time(account: Account) -> datetime | None:
    """Return how far the account's market has come, as far as anybody here knows."""
    known = [moment for moment in (account.synced_through_at, account.market.market_time_at) if moment is not None]
    return max(known, default=None)


@exactly
def _look(account: Account, *, now: datetime, is_locked: bool) -> tuple[Desk, RiskLook]:
    market_at = market_time(account) or now
    desk = open_desk(account, market_at=market_at, now=now, is_locked=is_locked)
    room = desk.risk
    assert room is not None
    found = RiskLook(account, market_at, room, standings(desk, room), is_day_open=room.is_day_open)
    codes = room.latches
    found.beyond = [key for key, row in found.standings.items() if row.is_beyond_hard and codes.get(key) != HARD_STOP]
    for book_id in desk.books:
        is_shut = HARD_STOP in (codes.get(None), codes.get(book_id))
        for position in desk.positions_of(book_id):
            if is_shut and can_be_sold(desk, position) and not is_being_sold(desk, position):
                found.still_holding.append(book_id)
            if position.is_unprotected:
                found.unprotected.append((book_id, position.instrument_id))
    for (book_id, _), count in room.barren.items():
        if count >= limits_of(room, book_id).repeats_max and codes.get(book_id) is None:
            found.repeating[book_id] = max(count, found.repeating.get(book_id, 0))
    return desk, found


def _facts(standing: Standing) -> dict[str, Any]:
    return {
        "lost_today": plain(standing.loss),
        "hard_cap": plain(standing.hard_cap),
        "equity": plain(standing.equity),
        "day_start": plain(standing.start.equity),
    }
