"""Stand before the outbox: what must not live any more is asked to be cancelled before anything new is sent."""

from __future__ import annotations

import structlog

from portfolio.trader import records
from portfolio.trader.crash_points import crash_point
from portfolio.trader.session import Session

log = structlog.get_logger()


class Guard:
    """Looked at on every stir and at least once a second, before each round of sending."""

    def __init__(self, session: Session) -> None:
        self._session = session

    async def look(self, *, is_kill_pending: bool) -> None:
        """Ask for the cancels of a killed account."""
        if not is_kill_pending:
            return
        session = self._session
        asked = await session.answers.run(records.cancel_after_kill, session.account_id, session.epoch, now=session.now())
        if asked:
            log.warning("kill.cancels_requested", account=session.account_id, count=asked)
            crash_point("during_kill")
