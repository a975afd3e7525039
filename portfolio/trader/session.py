"""What the parts of one trader share between taking the lease and losing it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

import structlog

from exchange.errors import HALTING, ExchangeTrouble
from exchange.pacing import Pacer
from exchange.ports import TradingPort
from exchange.profiles import VenueProfile
from portfolio.trader import records
from portfolio.trader.database import Database
from portfolio.trader.lease import LEASE_SECONDS, SEND_MARGIN_SECONDS

log = structlog.get_logger()
_PAUSE_SECONDS_MAX: Final = 5.0


class AccountHalted(Exception):
    """Raised when only a person can help: the key is dead, or the exchange has closed the account."""


@dataclass(slots=True)
class Session:
    """One hold of the lease."""

    account_id: int
    epoch: int
    uid: str
    process: str
    port: TradingPort
    profile: VenueProfile
    pacer: Pacer | None
    database: Database
    clock: Callable[[], datetime]
    # Trade id per symbol up to which the exchange's history has been read without a gap.
    cursors: dict[str, int] = field(default_factory=dict)
    # Orders between T2 and T3: what the stream says of them waits until the answer is recorded.
    in_flight: set[str] = field(default_factory=set)
    is_recovered: bool = False
    is_stream_open: bool = False
    is_reconcile_wanted: bool = False
    lease_until: float = 0.0
    _waiting: set[asyncio.Event] = field(default_factory=set)

    def keep_lease(self) -> None:
        """Note that the lease was just renewed."""
        self.lease_until = time.monotonic() + LEASE_SECONDS

    def send_before_ms(self, sent_at: datetime) -> int:
        """Return the wall time after which an order marked as being sent must not be written any more."""
        window_ms = int(self.profile.send_window_seconds * 1000)
        lease_ms = int((self.lease_until - time.monotonic() - SEND_MARGIN_SECONDS) * 1000)
        return int(sent_at.timestamp() * 1000) + min(window_ms, lease_ms)

    def stir(self) -> None:
        """Wake every part that waits: something has changed."""
        for event in self._waiting:
            event.set()

    def ear(self) -> asyncio.Event:
        """Return an event of one's own that `stir` sets."""
        event = asyncio.Event()
        self._waiting.add(event)
        return event

    async def halt(self, reason: str, *, is_complete: bool = False) -> None:
        """Stop entries, or the whole account."""
        log.error("account.halted", account=self.account_id, reason=reason, complete=is_complete)
        await self.database.run(records.halt, self.account_id, self.epoch, reason, now=self.clock(), is_complete=is_complete)

    async def bear(self, trouble: ExchangeTrouble, doing: str) -> None:
        """Take trouble with the exchange as it comes: halt if nothing helps, else wait a little."""
        if trouble.outcome in HALTING:
            await self.halt(str(trouble.outcome), is_complete=True)
            raise AccountHalted(f"{doing}: {trouble.message}") from trouble
        log.warning("exchange.trouble", doing=doing, outcome=str(trouble.outcome), message=trouble.message[:200])
        await asyncio.sleep(min(trouble.retry_after_seconds or 0.5, _PAUSE_SECONDS_MAX))

    def facts(self) -> dict[str, Any]:
        """Return what a heartbeat tells."""
        return {
            "account": self.account_id,
            "epoch": self.epoch,
            "cursors": dict(self.cursors),
            "is_recovered": self.is_recovered,
            "is_stream_open": self.is_stream_open,
            "in_flight": len(self.in_flight),
        }


async def wait_for_stir(event: asyncio.Event, seconds: float) -> None:
    """Wait until something changes, at most so long."""
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        pass
    event.clear()
