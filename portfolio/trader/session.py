"""What the parts of one trader share between taking the lease and losing it."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

import structlog

from exchange.errors import HALTING, ExchangeTrouble
from exchange.pacing import Pacer
from exchange.ports import TradingPort
from exchange.profiles import VenueProfile
from portfolio.selectors.leases import SEND_MARGIN_SECONDS
from portfolio.trader import records
from portfolio.trader.database import Database
from portfolio.trader.lease import LEASE_SECONDS

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
    deploy: str
    process: str
    port: TradingPort
    profile: VenueProfile
    pacer: Pacer | None
    # Four connections, so that an order never waits behind a chore: claims of orders, what became of them, chores, checks.
    claims: Database
    answers: Database
    database: Database
    auditor: Database
    # This machine's own clock; what concerns orders is dated by `now`, the exchange's.
    clock: Callable[[], datetime]
    # Durations and pauses come through these two alone, so that a simulation can own the time.
    monotonic: Callable[[], float] = time.monotonic
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    # On a real exchange: what traded before this moment is in the opening balances already.
    opened_at: datetime | None = None
    # Trade id per symbol up to which the exchange's history has been read without a gap.
    cursors: dict[str, int] = field(default_factory=dict)
    # Set by the guard: market time goes on when it has looked and has had nothing to do.
    look_before_going_on: Callable[[], Awaitable[bool]] | None = None
    # Orders between T2 and T3: what the stream says of them waits until the answer is recorded.
    in_flight: set[str] = field(default_factory=set)
    # Reason codes of everything that forbids new entries at this moment (I-46); exits, stops and cancels always go.
    entry_stops: set[str] = field(default_factory=set)
    # Whether the exchange tells of deposits and withdrawals afterwards, and why it did not when it was asked last.
    tells_flows: bool = False
    flows_trouble: str = ""
    # Symbols that the exchange does not trade at this moment, or does not list any more.
    blocked: set[str] = field(default_factory=set)
    # Assets whose pool will soon pay no more fees.
    pools_low: list[str] = field(default_factory=list)
    # Orders that nobody has answered for, and for how many seconds: what an operator is shown.
    unresolved: dict[str, int] = field(default_factory=dict)
    # After a crash loop nothing goes out but cancels and what a person has asked for.
    is_safe_mode: bool = False
    is_recovered: bool = False
    is_stream_open: bool = False
    # Since when the stream is whole; each gap moves it.
    stream_open_since: float = 0.0
    is_reconcile_wanted: bool = False
    # The exchange refused an order for its filters or its symbol: ours are old.
    is_listing_wanted: bool = False
    # When the exchange last refused our clock; more than three in five minutes stop entries (E16).
    time_refusals: deque[float] = field(default_factory=lambda: deque(maxlen=16))
    # The newest close of a candle that this trader heard of, and when.
    bar_heard: tuple[datetime, float] | None = None
    is_stopping: bool = False
    lease_until: float = 0.0
    # In the order of asking, which a simulation repeats.
    _waiting: dict[asyncio.Event, str] = field(default_factory=dict)

    def keep_lease(self) -> None:
        """Note that the lease was just renewed."""
        self.lease_until = self.monotonic() + LEASE_SECONDS

    def now(self) -> datetime:
        """Return the time by the exchange's clock, which is what its windows are measured on."""
        return self.clock() - timedelta(milliseconds=self.port.clock_ahead_ms)

    def send_before_ms(self, claimed: float) -> int:
        """Return this machine's time after which an order claimed at a monotonic moment must not be written any more."""
        spent = self.monotonic() - claimed
        left = min(self.profile.send_window_seconds - spent, self.lease_until - self.monotonic() - SEND_MARGIN_SECONDS)
        return int((self.clock().timestamp() + left) * 1000)

    def hear_bar(self, market_at: datetime) -> None:
        """Note that a candle has closed."""
        if self.bar_heard is None or self.bar_heard[0] != market_at:
            self.bar_heard = (market_at, self.monotonic())

    def seconds_since_bar(self, market_at: datetime) -> float | None:
        """Return how long ago a candle closed, where anybody can tell: a market that is paced has a clock of its own."""
        if self.pacer is None:
            return (self.now() - market_at).total_seconds()
        if self.bar_heard is None or self.bar_heard[0] != market_at:
            return None
        return self.monotonic() - self.bar_heard[1]

    def open_stream(self) -> None:
        """Note that from here on the stream is whole."""
        self.is_stream_open, self.stream_open_since = True, self.monotonic()

    async def wait(self, event: asyncio.Event, seconds: float) -> None:
        """Wait until something changes, at most so long."""
        try:
            async with asyncio.timeout(seconds):
                await event.wait()
        except TimeoutError:
            pass
        event.clear()

    def stir(self, word: str = "") -> None:
        """Wake every part that waits: something has changed. A word that has listeners of its own wakes those as well."""
        for event, wanted in self._waiting.items():
            if wanted in ("", word):
                event.set()

    def ear(self, word: str = "") -> asyncio.Event:
        """Return an event of one's own that `stir` sets; with a word, only this word does."""
        event = asyncio.Event()
        self._waiting[event] = word
        return event

    async def halt(self, reason: str, *, is_complete: bool = False) -> None:
        """Stop entries, or the whole account."""
        log.error("account.halted", account=self.account_id, reason=reason, complete=is_complete)
        await self.database.run(records.halt, self.account_id, self.epoch, reason, now=self.clock(), is_complete=is_complete)

    async def lift(self, reason: str) -> None:
        """End a halt of entries that this process has set for a reason that is gone."""
        await self.database.run(records.lift, self.account_id, self.epoch, reason, now=self.clock())

    async def bear(self, trouble: ExchangeTrouble, doing: str) -> None:
        """Take trouble with the exchange as it comes: halt if nothing helps, else wait a little."""
        if trouble.outcome in HALTING:
            await self.halt(str(trouble.outcome), is_complete=True)
            raise AccountHalted(f"{doing}: {trouble.message}") from trouble
        log.warning("exchange.trouble", doing=doing, outcome=str(trouble.outcome), message=trouble.message[:200])
        await self.sleep(min(trouble.retry_after_seconds or 0.5, _PAUSE_SECONDS_MAX))

    def flow_history(self) -> str:
        """Say whether what comes or leaves while nobody listens is known afterwards."""
        return self.flows_trouble or ("told" if self.tells_flows else "untold")

    def facts(self) -> dict[str, Any]:
        """Return what a heartbeat tells."""
        return {
            "account": self.account_id,
            "epoch": self.epoch,
            "cursors": dict(self.cursors),
            "is_recovered": self.is_recovered,
            "is_safe_mode": self.is_safe_mode,
            "is_stream_open": self.is_stream_open,
            "in_flight": len(self.in_flight),
            "entry_stops": sorted(self.entry_stops),
            "unresolved": dict(self.unresolved),
            "blocked": sorted(self.blocked),
            "pools_low": self.pools_low,
            "flow_history": self.flow_history(),
            "clock_ahead_ms": self.port.clock_ahead_ms,
            "silent_seconds": int(self.port.silent_seconds()),
            "weight_used_ratio": round(self.port.weight_used_ratio(), 4),
            "events_unknown": dict(self.port.events_unknown),
        }
