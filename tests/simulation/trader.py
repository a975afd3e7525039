"""The real parts of the trader, put together as `portfolio.trader.process` does, over a simulated wire, database and clock."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, ParamSpec, TypeVar, cast

from exchange.errors import ExchangeTrouble
from exchange.profiles import VenueProfile
from portfolio.trader import guard, intake, lease, outbox, process, records, sandwich
from portfolio.trader.courier import Courier
from portfolio.trader.database import Database, DatabaseGone
from portfolio.trader.guard import Guard
from portfolio.trader.lease import LeaseLost
from portfolio.trader.pace import Pace
from portfolio.trader.process import Work, first
from portfolio.trader.session import AccountHalted, Session
from portfolio.trader.upkeep import Upkeep
from tests.simulation.port import SimulatedPort

if TYPE_CHECKING:
    from tests.simulation.world import World

P = ParamSpec("P")
R = TypeVar("R")
RENEW_SECONDS: Final = 2.0
DEPLOY: Final = "s1"
# Binance's bounds, with a visibility that a short history can wait out.
PROFILE: Final = VenueProfile(
    recv_window_ms=5000,
    send_window_seconds=2,
    request_deadline_seconds=10,
    clock_lead_seconds=1,
    processing_seconds=10,
    visibility_seconds=20,
    visibility_proven_seconds=8,
)


class SimulatedTrader:
    """One process: it can die at any step, or be stopped like by SIGSTOP and wake much later."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.epoch = world.shell.acquire()
        self.is_dead = False
        self.is_recovered = False
        self.awake = asyncio.Event()
        self.awake.set()
        self.port = SimulatedPort(self)
        self.tasks: list[asyncio.Task[Any]] = []
        self.ended = asyncio.Event()
        self.why = ""

    def start(self) -> None:
        """Start the process."""
        with self.world.owning(self):
            task = self.world.loop.create_task(self._run())
        task.add_done_callback(lambda _task: self.ended.set())

    def kill(self) -> None:
        """End the process: nothing it does from now on has an effect."""
        self.is_dead = True
        self.port._is_listening = False
        for task in self.tasks:
            task.cancel()

    def crash_point(self, name: str) -> None:
        """Die here, if the history says so."""
        self.world.passed[name] += 1
        if self.is_dead:
            raise asyncio.CancelledError
        if self.world.dies_at(name, self):
            self.why = name
            self.kill()
            raise asyncio.CancelledError

    async def step(self) -> None:
        """Wait while stopped; then go on, unless dead. Everything the process does passes here."""
        if self.is_dead:
            raise asyncio.CancelledError
        if not self.awake.is_set():
            await self.awake.wait()
        if self.world.random.random() < 0.1:
            await asyncio.sleep(0 if self.world.random.random() < 0.8 else 0.003)
        if self.is_dead:
            raise asyncio.CancelledError

    async def sleep(self, seconds: float) -> None:
        """Pause."""
        await asyncio.sleep(seconds)
        await self.step()

    async def _run(self) -> None:
        world = self.world
        claims, answers, chores, auditor = (cast("Database", SimulatedDatabase(self)) for _ in range(4))
        session = Session(
            account_id=world.shell.account_id,
            deploy=DEPLOY,
            epoch=self.epoch,
            uid="1",
            process="trader",
            port=self.port,
            profile=PROFILE,
            pacer=None,
            claims=claims,
            answers=answers,
            database=chores,
            auditor=auditor,
            clock=world.loop.now,
            monotonic=world.loop.time,
            sleep=self.sleep,
            cursors=world.shell.cursors(),
        )
        session.keep_lease()
        try:
            await SimulatedWork(session, self).run()
        except* (DatabaseGone, ExchangeTrouble, LeaseLost, AccountHalted) as group:
            self.why = self.why or type(first(group)).__name__
        finally:
            self.kill()


class SimulatedDatabase:
    """Runs what the trader asks for on the history's store, one after the other, and may be lost before or after a commit."""

    def __init__(self, trader: SimulatedTrader) -> None:
        self._trader = trader
        self._lock = asyncio.Lock()

    async def run(self, function: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run a function."""
        trader = self._trader
        async with self._lock:
            await trader.step()
            faults = trader.world.faults
            if faults.strikes("database_lost"):
                raise DatabaseGone("The connection was lost before the commit.")
            trader.world.before_call(function.__name__)
            result: R = trader.world.shell.call(function, args, kwargs)
            trader.world.check_fence(trader, function.__name__, result)
            if faults.strikes("commit_unknown"):
                raise DatabaseGone("The connection was lost during the commit.")
            if not trader.awake.is_set() or trader.is_dead:
                await trader.step()
            return result

    async def close(self) -> None:
        """Close nothing."""


class SimulatedWork(Work):
    """The trader's own work; what listens to PostgreSQL and to files is replaced."""

    def __init__(self, session: Session, trader: SimulatedTrader) -> None:
        super().__init__(session)
        self._trader = trader
        # Market pace, clocks, filters, caps and transfers are other tests' business.
        self._pace = cast("Pace", Idle())
        self._upkeep = cast("Upkeep", Idle())
        self._courier = cast("Courier", Idle())
        self._guard = cast("Guard", KillGuard(session, trader))

    async def _keep_lease(self) -> None:
        session = self._session
        while True:
            await session.database.run(lease.renew, session.account_id, session.epoch, now=session.clock())
            session.keep_lease()
            await session.sleep(RENEW_SECONDS)

    async def _listen(self) -> None:
        self._trader.world.stirs.append(self._session.stir)
        await asyncio.Event().wait()

    async def _beat(self) -> None:
        self._trader.is_recovered = self._session.is_recovered

    async def _check_exchange(self) -> None:
        await self._session.port.server_time_ms()

    async def _reconcile_from_time_to_time(self) -> None:
        session, ear = self._session, self._session.ear()
        due = session.monotonic() + process.RECONCILE_SECONDS
        while True:
            await session.wait(ear, 5.0)
            if not session.is_reconcile_wanted and session.monotonic() < due:
                continue
            session.is_reconcile_wanted = False
            try:
                await self._sandwich.compare("cycle")
            except ExchangeTrouble as trouble:
                await session.bear(trouble, "reconciling")
            due = session.monotonic() + process.RECONCILE_SECONDS


class Idle:
    """A part of the trader that has nothing to do here: the market keeps its own pace."""

    async def join(self) -> None:
        """Join nothing."""

    async def run(self) -> None:
        """Do nothing."""


class KillGuard:
    """The part of the guard that cancels after a kill."""

    def __init__(self, session: Session, trader: SimulatedTrader) -> None:
        self._session = session
        self._trader = trader

    async def run(self) -> None:
        """Do nothing."""

    async def look(self, *, is_kill_pending: bool) -> None:
        """Ask for the cancels of a killed account."""
        if is_kill_pending:
            session = self._session
            await session.answers.run(records.cancel_after_kill, session.account_id, session.epoch, now=session.now())
            self._trader.crash_point("during_kill")


# Modules that name `crash_point` in their own namespace: the simulation puts its own there.
CRASHING: Final = (guard, intake, outbox, process, records, sandwich)
