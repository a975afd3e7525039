"""What came to the account, or left it, while nobody listened: read from the exchange's history, booked where it is missing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Final

import structlog

from exchange.errors import ExchangeTrouble
from exchange.ports import RecordedFlow
from portfolio.trader.crash_points import crash_point
from portfolio.trader.lease import fenced
from portfolio.trader.session import Session
from portfolio.writers import flow_history

log = structlog.get_logger()
# The exchange lets an account read its withdrawals ten times a minute.
AGAIN_SECONDS: Final = 15.0
# Without any need it is read so often, so that what is in books and balances is known by its number.
LOOK_SECONDS: Final = 6 * 3600.0
# A flow may show late; what is known already is told apart by its number.
_OVERLAP: Final = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class _Reading:
    flows: Sequence[RecordedFlow]
    until: datetime


class FlowHistory:
    """Reads the exchange's history of deposits and withdrawals, where it tells of them."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._reading: _Reading | None = None
        self._tried: float | None = None
        self._looked: float | None = None
        # Read since books and balances last agreed.
        self._is_fresh = False

    async def look(self) -> None:
        """Read it if nobody has for long; the balances have to be read after it, so that they prove what it tells."""
        session = self._session
        if self._looked is not None and session.monotonic() - self._looked < LOOK_SECONDS:
            return
        known = await session.database.run(flow_history.cursor, session.account_id) if session.tells_flows else None
        self._looked = session.monotonic()
        # A trader that begins again and again need not ask again and again.
        if known is None or (session.now() - known.read_at).total_seconds() >= LOOK_SECONDS:
            await self._read()

    async def explain(self, totals: Mapping[str, Decimal]) -> int:
        """Book what it tells of and the books lack, if balances that were just read call for it; answer how much that was."""
        session = self._session
        reading = await self._read()
        if reading is None:
            return 0
        count = await session.answers.run(
            _book, session.account_id, session.epoch, reading.flows, dict(totals), now=session.now()
        )
        crash_point("after_flows_booked")
        if count:
            log.info("flows.caught_up", account=session.account_id, count=count)
            session.stir()
        return count

    async def agree(self) -> None:
        """Note that books and balances agree, and so that what was read before is in both."""
        session, reading = self._session, self._reading
        if reading is None or not self._is_fresh:
            return
        self._is_fresh = False
        await session.database.run(
            _note, session.account_id, session.epoch, reading.flows, until=reading.until, now=session.now()
        )

    async def _read(self) -> _Reading | None:
        """Read from where everything was known; what was read a moment ago is good enough."""
        session = self._session
        if not session.tells_flows:
            return None
        if self._tried is not None and session.monotonic() - self._tried < AGAIN_SECONDS:
            return self._reading
        self._tried = session.monotonic()
        until = await self._market_now()
        known = await session.database.run(flow_history.cursor, session.account_id)
        since = until - flow_history.WINDOW if known is None else min(known.through_at, until) - _OVERLAP
        try:
            found = await session.port.flows(since, until)
        except ExchangeTrouble as trouble:
            # Without it a difference stays what it is: entries wait for a person. A key without the right is a key all the same.
            session.flows_trouble = str(trouble)[:200]
            log.warning("flows.unread", account=session.account_id, outcome=str(trouble.outcome), message=trouble.message[:200])
            return None
        session.flows_trouble = ""
        self._reading, self._is_fresh = _Reading(found, until), True
        return self._reading

    async def _market_now(self) -> datetime:
        """Return the time by which the exchange dates its history: the local venue's is its market's."""
        session = self._session
        if session.pacer is None:
            return session.now()
        return datetime.fromtimestamp((await session.pacer.clock()).market_ms / 1000, UTC)


def _book(account_id: int, epoch: int, recorded: Sequence[RecordedFlow], totals: Mapping[str, Decimal], *, now: datetime) -> int:
    with fenced(account_id, epoch) as account:
        return flow_history.book(account, recorded, totals, now=now)


def _note(account_id: int, epoch: int, recorded: Sequence[RecordedFlow], *, until: datetime, now: datetime) -> None:
    with fenced(account_id, epoch) as account:
        flow_history.note(account, recorded, until=until, now=now)
