"""Switch who trades when market time says so: in the trader, so that neither Celery nor Redis has a say in it."""

from __future__ import annotations

from datetime import datetime
from typing import Final

import structlog

from portfolio.jobs import modes
from portfolio.trader.crash_points import crash_point
from portfolio.trader.lease import fenced
from portfolio.trader.session import Session

log = structlog.get_logger()
# A hand-over that waits for the exchange, or for a bot to be flat, is looked after, but not with every look.
_AGAIN_SECONDS: Final = 1.0


class Rota:
    """Looks whose turn it is, and passes the account on; every step is in the tables before the next begins."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._told: tuple[int, str] | None = None
        self._acted = float("-inf")  # house: a moment before any, not money.

    async def look(self) -> bool:
        """Do what the mode calls for; answer whether something new is on its way."""
        session = self._session
        found = await session.database.run(modes.look, session.account_id)
        is_fresh = session.monotonic() >= self._acted + _AGAIN_SECONDS
        if not found.wants_action or not (is_fresh or session.pacer is not None):
            return False
        self._acted = session.monotonic()
        told = await session.database.run(act, session.account_id, session.epoch, now=session.now())
        crash_point("in_hand_over")
        if told is None or told == self._told:
            # It waits: for market time, or for an answer that stirs us when it comes.
            return False
        self._told = told
        log.info("mode.passing", account=session.account_id, epoch=told[0], phase=told[1])
        session.stir()
        return True


def act(account_id: int, epoch: int, *, now: datetime) -> tuple[int, str] | None:
    """Act as the trader that holds the lease; answer which hand-over stands where."""
    with fenced(account_id, epoch) as account:
        row = modes.act(account, now=now)
        return None if row is None else (row.epoch, row.phase)
