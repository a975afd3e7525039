"""What must stay true while orders come and go: the clock, the filters, the books themselves. Each failing stops entries."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

import structlog

from exchange import clock
from exchange.errors import ExchangeTrouble
from portfolio import running
from portfolio.jobs import checkpoints
from portfolio.running import CODE_DIFFERS
from portfolio.trader import life, notes
from portfolio.trader.session import Session

log = structlog.get_logger()
CLOCK_SECONDS: Final = 30.0
LISTING_SECONDS: Final = 3600.0
# A refusal for a filter asks for new ones, but not more often than this.
_LISTING_AGAIN_SECONDS: Final = 60.0
# Older filters than this are nobody's word (I-46).
_LISTING_SECONDS_MAX: Final = 24 * 3600.0
VERIFY_SECONDS: Final = 30.0
FEE_SECONDS: Final = 20.0
ALARM_SECONDS: Final = 5.0
CODE_SECONDS: Final = 5.0
# More refusals of our clock than this in five minutes stop entries (E16).
_TIME_REFUSALS_MAX: Final = 3
_TIME_REFUSAL_SECONDS: Final = 300.0

# Longer than this behind, this process gets too little of its machine to follow a market (P06) ...
LAG_SECONDS_MAX: Final = 2.0
# ... and is believed to keep up again after so long without.
LAG_CALM_SECONDS: Final = 30.0
_LAG_LOOK_SECONDS: Final = 0.5

CLOCK_OFF: Final = "CLOCK_OFF"
LOOP_LAGS: Final = "LOOP_LAGS"
FILTERS_OLD: Final = "FILTERS_OLD"
LEDGER_BROKEN: Final = "LEDGER_BROKEN"


class Upkeep:
    """Chores by the clock, none of which an order waits for."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._due: dict[str, float] = {}
        self._listed_at = session.monotonic()
        self._refused_at = 0.0
        self._lagged_at: float | None = None
        # Reasons that this life has looked at.
        self._minded: set[str] = set()

    async def run(self) -> None:
        """Do what is due, for ever, and look whether this process keeps up."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._do_chores())
            group.create_task(self._watch_loop())

    async def _do_chores(self) -> None:
        ear = self._session.ear()
        chores = (
            ("clock", CLOCK_SECONDS, self._mind_clock),
            ("listings", LISTING_SECONDS, self.read_listings),
            ("verify", VERIFY_SECONDS, self._verify),
            ("fees", FEE_SECONDS, self._settle_fees),
            ("alarms", ALARM_SECONDS, self._watch),
            ("code", CODE_SECONDS, self.mind_code),
        )
        while True:
            await self._session.wait(ear, 1.0)
            self._call_early()
            for name, seconds, chore in chores:
                await self._do_when_due(name, seconds, chore)

    async def measure_clock(self) -> None:
        """Measure how far our clock is off; beyond a second nothing new is risked."""
        session = self._session
        ahead = await session.port.measure_clock()
        since = session.monotonic() - _TIME_REFUSAL_SECONDS
        is_refused = sum(refused_at > since for refused_at in session.time_refusals) > _TIME_REFUSALS_MAX
        if abs(ahead) > clock.ALARM_MS:
            log.error("clock.off", account=session.account_id, ahead_ms=ahead)
        await self._stop_entries_while(abs(ahead) > clock.HALT_MS or is_refused, CLOCK_OFF)

    async def read_listings(self) -> None:
        """Read filters and which symbols trade; both may change under resting orders (E21, E23, E40, E41)."""
        session = self._session
        session.is_listing_wanted = False
        listings = await session.port.instruments()
        session.blocked = await session.database.run(notes.refresh_listings, session.account_id, listings, now=session.clock())
        self._listed_at = session.monotonic()
        session.entry_stops.discard(FILTERS_OLD)
        if session.blocked:
            log.warning("symbols.blocked", account=session.account_id, symbols=sorted(session.blocked))

    async def mind_code(self) -> None:
        """Stop entries while another process decides by other code or settings than this one sends by (O08)."""
        session = self._session
        strangers = await session.database.run(running.strangers, now=session.clock())
        if strangers and CODE_DIFFERS not in session.entry_stops:
            log.error("code.differs", account=session.account_id, processes=strangers)
        await self._stop_entries_while(bool(strangers), CODE_DIFFERS)

    async def mind_lag(self, seconds: float) -> None:
        """Stop entries while this process is served late: a market that waits for nobody is then not the one it knows (P06)."""
        session = self._session
        if seconds > LAG_SECONDS_MAX:
            log.error("loop.lags", account=session.account_id, seconds=round(seconds, 1))
            self._lagged_at = session.monotonic()
        is_calm = self._lagged_at is None or session.monotonic() >= self._lagged_at + LAG_CALM_SECONDS
        # The local venue's market waits for its trader.
        await self._stop_entries_while(not is_calm and session.pacer is None, LOOP_LAGS)

    async def _watch_loop(self) -> None:
        session = self._session
        while True:
            began = session.monotonic()
            await session.sleep(_LAG_LOOK_SECONDS)
            await self.mind_lag(session.monotonic() - began - _LAG_LOOK_SECONDS)

    async def _stop_entries_while(self, is_wrong: bool, reason: str) -> None:
        """Stop entries for a reason, or let them go on; at the first look also what an earlier life has stopped."""
        session = self._session
        is_stopped = reason in session.entry_stops
        if is_wrong and not is_stopped:
            session.entry_stops.add(reason)
            await session.halt(reason)
        elif not is_wrong and (is_stopped or reason not in self._minded):
            session.entry_stops.discard(reason)
            await session.lift(reason)
        self._minded.add(reason)

    async def _mind_clock(self) -> None:
        await self.measure_clock()

    async def _verify(self) -> None:
        """Verify what is new in the books, and everything once a day; a broken invariant stops entries within a cycle."""
        session = self._session
        findings = await session.auditor.run(checkpoints.verify_new, session.account_id, now=session.clock())
        if findings:
            for finding in findings[:10]:
                log.error("books.broken", account=session.account_id, invariant=finding.invariant, message=finding.message)
            session.entry_stops.add(LEDGER_BROKEN)
            await session.halt(LEDGER_BROKEN)
            return
        session.entry_stops.discard(LEDGER_BROKEN)
        await session.auditor.run(life.mark_head, session.account_id)

    async def _settle_fees(self) -> None:
        """Charge what could not be charged before, and tell of a pool that will not last (2.3)."""
        session = self._session
        await session.answers.run(notes.settle_fees, session.account_id, session.epoch, now=session.clock())
        low = await session.database.run(notes.pools_running_low, session.account_id)
        if low != session.pools_low:
            session.pools_low = low
            log.log(40 if low else 20, "fee_pool.low", account=session.account_id, assets=low)

    async def _watch(self) -> None:
        """Have a person told of what no transaction tells of, and stop entries when nobody looks (O13)."""
        session = self._session
        await session.answers.run(notes.watch, session.account_id, session.epoch, now=session.clock())

    def _call_early(self) -> None:
        """Bring forward what an exchange's answer has asked for."""
        session, now = self._session, self._session.monotonic()
        if session.is_listing_wanted and now - self._listed_at >= _LISTING_AGAIN_SECONDS:
            self._due["listings"] = now
        if now - self._listed_at > _LISTING_SECONDS_MAX:
            session.entry_stops.add(FILTERS_OLD)
        if session.time_refusals and session.time_refusals[-1] > self._refused_at:
            self._refused_at = session.time_refusals[-1]
            self._due["clock"] = now

    async def _do_when_due(self, name: str, seconds: float, chore: Callable[[], Awaitable[None]]) -> None:
        now = self._session.monotonic()
        if now < self._due.setdefault(name, now + seconds):
            return
        self._due[name] = now + seconds
        try:
            await chore()
        except ExchangeTrouble as trouble:
            await self._session.bear(trouble, name)
