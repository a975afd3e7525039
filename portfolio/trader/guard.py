"""Stand before the outbox: what must not live any more is cancelled, what has lost too much is sold, before anything new is sent.

The guard needs the database alone. What it finds is durable before it acts, and each act is safe to repeat, so that a trader
that dies in the middle goes on where it was.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

import structlog

from portfolio.jobs import risk
from portfolio.jobs.risk import RiskLook
from portfolio.trader import records
from portfolio.trader.crash_points import crash_point
from portfolio.trader.lease import fenced
from portfolio.trader.rota import Rota
from portfolio.trader.session import Session

log = structlog.get_logger()
LOOK_SECONDS: Final = 0.4
LOOK_SECONDS_MAX: Final = 0.9
# Looking takes a tenth of a busy machine's time at most, as long as there is a look in every second.
_SHARE: Final = 10.0
# A sale that was refused is asked for again, but not with every look.
_AGAIN_SECONDS: Final = 5.0


class Guard:
    """Cancels after a kill before each round of sending; looks at the losses twice a second and at each hold of the market."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._acted: float | None = None
        self._unprotected: list[tuple[int, int]] = []
        self._rota = Rota(session)
        session.look_before_going_on = self.look_at_all

    async def look(self, *, is_kill_pending: bool) -> bool:
        """Ask for the cancels of a killed account; answer whether there is something new to send."""
        if not is_kill_pending:
            return False
        session = self._session
        asked = await session.answers.run(records.cancel_after_kill, session.account_id, session.epoch, now=session.now())
        if asked:
            log.warning("kill.cancels_requested", account=session.account_id, count=asked)
            crash_point("during_kill")
        return bool(asked)

    async def run(self) -> None:
        """Look for ever."""
        session = self._session
        while True:
            began = session.monotonic()
            await self.look_at_all()
            pause = _SHARE * (session.monotonic() - began)
            await session.sleep(min(max(pause, LOOK_SECONDS), LOOK_SECONDS_MAX))

    async def look_at_all(self) -> bool:
        """Look at the losses, then at whose turn it is; answer whether anything was done."""
        was_lost = await self.look_at_losses()
        return await self._rota.look() or was_lost

    async def look_at_losses(self) -> bool:
        """Compare what was lost today with the caps and act on it; answer whether anything was done."""
        session = self._session
        found = await session.database.run(risk.look, session.account_id, now=session.now())
        self._tell_unprotected(found)
        if not found.wants_action or not self._is_due(found):
            return False
        self._acted = session.monotonic()
        done = await session.database.run(act, session.account_id, session.epoch, now=session.now())
        crash_point("after_hard_stop")
        for key in done.beyond:
            standing = done.standings[key]
            log.error("risk.hard_stop", account=session.account_id, book=key, lost=str(standing.loss), cap=str(standing.hard_cap))
        for book_id, count in done.repeating.items():
            log.error("risk.repeated_execution", account=session.account_id, book=book_id, entries=count)
        session.stir()
        return bool(done.beyond or done.still_holding)

    def _is_due(self, found: RiskLook) -> bool:
        """Say whether to act now: what is new at once, what was tried before after a while."""
        is_new = bool(found.beyond or found.repeating) or not found.is_day_open
        return is_new or self._acted is None or self._session.monotonic() >= self._acted + _AGAIN_SECONDS

    def _tell_unprotected(self, found: RiskLook) -> None:
        if found.unprotected != self._unprotected:
            self._unprotected = found.unprotected
            for book_id, instrument_id in found.unprotected:
                log.error("position.unprotected", account=self._session.account_id, book=book_id, instrument=instrument_id)


def act(account_id: int, epoch: int, *, now: datetime) -> RiskLook:
    """Act as the trader that holds the lease."""
    with fenced(account_id, epoch) as account:
        return risk.act(account, now=now)
