"""Run the trader of one account: take the lease, recover, work; whenever anything is lost, begin again from there."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Final

import structlog
from django.conf import settings

from exchange import connect
from exchange.errors import ExchangeTrouble, KeyRefused, Outcome
from exchange.pacing import Pacer, VenueUnreachable
from portfolio.models import Account, Reconciliation
from portfolio.services import kill
from portfolio.trader import identity, keys, lease, life, notes, records
from portfolio.trader.courier import Courier
from portfolio.trader.crash_points import crash_point
from portfolio.trader.database import Database, DatabaseGone, listen
from portfolio.trader.guard import Guard
from portfolio.trader.intake import Intake
from portfolio.trader.keys import AwaitsReopening, UnableToTrade
from portfolio.trader.lease import LeaseHeld, LeaseLost
from portfolio.trader.outbox import Outbox
from portfolio.trader.pace import Pace
from portfolio.trader.resolver import Resolver
from portfolio.trader.sandwich import Sandwich
from portfolio.trader.session import AccountHalted, Session
from portfolio.trader.upkeep import Upkeep

log = structlog.get_logger()
Clock = Callable[[], datetime]

RECONCILE_SECONDS: Final = 30.0
BEAT_SECONDS: Final = lease.RENEW_SECONDS
KILL_FILE: Final = "KILL"
_RETRY_SECONDS: Final = 0.2
_RETRY_SECONDS_MAX: Final = 5.0
# A session that lasted so long was a good one: the next trouble is a new trouble.
_STEADY_SECONDS: Final = 60.0
_HALTED_SECONDS: Final = 300.0
# A supervisor kills after ten seconds.
_DRAIN_SECONDS: Final = 8.0


def run(*, account_id: int, clock: Clock) -> None:
    """Trade until told to stop."""
    asyncio.run(_run_until_stopped(Trader(account_id=account_id, clock=clock)))


class Trader:
    """One account's trader through all its sessions."""

    def __init__(self, *, account_id: int, clock: Clock) -> None:
        self._account_id = account_id
        self._clock = clock
        self._database = Database()
        self._claims, self._answers, self._auditor = Database(), Database(), Database()
        self._work: Work | None = None
        self._life: int | None = None
        name = settings.TRADEAPP_PROCESS
        self._process = name if name.startswith("trader") else f"trader {account_id}"

    async def run(self) -> None:
        """Hold session after session; what ends one is waited out, then everything is recovered anew."""
        pause = _RETRY_SECONDS
        while True:
            began = time.monotonic()
            try:
                if self._life is None:
                    self._life = await self._database.run(life.begin, self._account_id, self._process, now=self._clock())
                await self._hold_session()
            except* (DatabaseGone, VenueUnreachable, ExchangeTrouble, LeaseHeld, AwaitsReopening) as group:
                error = first(group)
                log.warning("trader.begins_again", account=self._account_id, error=str(error)[:300], seconds=pause)
                is_dead_key = isinstance(error, ExchangeTrouble) and error.outcome == Outcome.KEY_INVALID
                await asyncio.sleep(_HALTED_SECONDS if is_dead_key else pause)
            except* AccountHalted as group:
                log.error("trader.halted", account=self._account_id, error=str(first(group))[:300])  # noqa: TRY400
                await asyncio.sleep(_HALTED_SECONDS)
            pause = min(2 * pause, _RETRY_SECONDS_MAX) if time.monotonic() - began < _STEADY_SECONDS else _RETRY_SECONDS

    async def end(self) -> None:
        """Note that this life ends as it should."""
        if self._life is not None:
            try:
                await self._database.run(life.end, self._life, now=self._clock())
            except DatabaseGone:
                log.warning("trader.end_not_noted", account=self._account_id)

    async def close(self) -> None:
        """Let go of the database."""
        for database in (self._claims, self._answers, self._auditor, self._database):
            await database.close()

    async def drain(self) -> None:
        """Send nothing new, and wait until the answers to what is on the wire are recorded, but not for ever."""
        if self._work is None:
            return
        try:
            async with asyncio.timeout(_DRAIN_SECONDS):
                await self._work.drain()
        except TimeoutError:
            # What nobody has answered for stays as it is: the next start finds out, nobody guesses.
            log.warning("trader.drain_ended", account=self._account_id)

    async def _hold_session(self) -> None:
        await self._database.run(keys.demand_open_books, self._account_id)
        epoch = await self._database.run(lease.acquire, self._account_id, now=self._clock())
        session = await self._open(epoch)
        self._work = Work(session)
        try:
            await self._work.run()
        finally:
            self._work = None
            await session.port.close()
            if session.pacer is not None:
                await session.pacer.close()
            await self._release(epoch)

    async def _open(self, epoch: int) -> Session:
        account, key, secret = await self._database.run(keys.account_and_key, self._account_id)
        market = account.market
        terms = connect.profile(exchange=market.exchange, is_local=bool(market.control_url))
        session = Session(
            account_id=self._account_id,
            epoch=epoch,
            uid=account.venue_uid,
            deploy=account.deploy,
            process=self._process,
            port=keys.open_port(account, key, secret),
            profile=terms,
            pacer=Pacer(control_url=market.control_url, client=f"tradeapp-{account.deploy}") if market.control_url else None,
            claims=self._claims,
            answers=self._answers,
            database=self._database,
            auditor=self._auditor,
            clock=self._clock,
            opened_at=None if market.control_url else account.opened_at,
            cursors=await self._database.run(records.read_cursors, self._account_id),
            # A testnet has coins of its own, and no such history.
            tells_flows=terms.tells_flows and account.mode != Account.Mode.TESTNET,
        )
        session.keep_lease()
        life.settle_memory()
        return session

    async def _release(self, epoch: int) -> None:
        try:
            await self._database.run(lease.release, self._account_id, epoch, now=self._clock())
        except DatabaseGone:
            # Then the lease ends by its time, or by this process being gone.
            log.warning("lease.not_released", account=self._account_id)


class Work:
    """Everything a trader does at the same time during one session."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._intake = Intake(session)
        self._sandwich = Sandwich(session, self._intake)
        self._resolver = Resolver(session, self._intake, self._sandwich)
        self._outbox = Outbox(session, self._intake, self._resolver)
        self._pace = Pace(session, self._intake, self._sandwich)
        self._guard = Guard(session)
        self._upkeep = Upkeep(session)
        self._courier = Courier(session)
        self._ear = session.ear()

    async def run(self) -> None:
        """Recover, then work until something is lost."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._keep_lease())
            group.create_task(self._listen())
            group.create_task(self._intake.follow_stream())
            group.create_task(self._intake.apply_stream())
            await self._recover()
            group.create_task(self._look_at_orders())
            group.create_task(self._guard.run())
            group.create_task(self._pace.run())
            group.create_task(self._reconcile_from_time_to_time())
            group.create_task(self._upkeep.run())
            group.create_task(self._courier.run())
            await self._work()

    async def drain(self) -> None:
        """Send nothing new and wait for the answers to what is on the wire."""
        self._session.is_stopping = True
        await self._outbox.drain()

    async def _recover(self) -> None:
        """Make ledger and exchange agree before the first new order; a first start is a recovery of nothing."""
        session = self._session
        account, epoch = session.account_id, session.epoch
        await session.database.run(records.begin_recovery, account, epoch, now=session.now())
        session.is_safe_mode = await session.database.run(life.is_safe_mode, account)
        if await session.database.run(life.is_older_than_marked, account):
            raise UnableToTrade(
                "This database is older than what this machine has seen of it: it was restored from a backup behind our back. "
                "Restore it with `python -m tradeapp restore`, so that order names stay unique."
            )
        await self._check_exchange()
        crash_point("in_recovery")
        while not session.is_stream_open:
            await self._session.wait(self._ear, 1.0)
        await self._intake.fill_gaps(await session.database.run(records.symbols_ever, account))
        await self._resolver.look_at_all()
        while await self._sandwich.compare("startup") == Reconciliation.Outcome.UNSTABLE:
            await self._session.wait(self._ear, 0.5)
        await self._pace.join()
        crash_point("before_active")
        state = await session.database.run(records.end_recovery, account, epoch, now=session.now())
        session.is_recovered = True
        log.info("trader.recovered", account=account, epoch=epoch, state=state)
        await self._beat()

    async def _check_exchange(self) -> None:
        session = self._session
        if session.pacer is not None:
            epoch = (await session.pacer.clock()).epoch
            known = await session.database.run(_market_epoch, session.account_id)
            if epoch != known:
                raise UnableToTrade(
                    f"The venue runs another market ({epoch}) than the one this account lives on ({known}). "
                    "Start the venue with the account's own market, or open a new paper account."
                )
        # First of all the limits of requests: an earlier life may have used more of this minute than an unknown limit allows.
        await self._upkeep.read_listings()
        await self._upkeep.measure_clock()
        connect.check_permissions(await session.port.key_permissions())
        await identity.refuse_other_account(session)

    async def _work(self) -> None:
        """Send and cancel, whenever something stirs and at least once a second."""
        session = self._session
        while True:
            try:
                agenda = await session.claims.run(records.agenda, session.account_id)
                if await self._guard.look(is_kill_pending=agenda.is_kill_pending):
                    # Its cancels go before anything is read or looked at.
                    continue
                if await self._outbox.send(agenda):
                    # An answer may have brought more: a stop to attach, an exit that waited.
                    continue
            except ExchangeTrouble as trouble:
                await session.bear(trouble, "working the orders")
            await self._session.wait(self._ear, 1.0)

    async def _look_at_orders(self) -> None:
        """Look at what was sent, beside the sending: no new order waits for a list of the old ones."""
        session, ear = self._session, self._session.ear()
        while True:
            try:
                await self._resolver.look_when_due()
            except ExchangeTrouble as trouble:
                await session.bear(trouble, "looking at the orders")
            await session.wait(ear, 1.0)

    async def _listen(self) -> None:
        async for word in listen(f"trader_{self._session.account_id}"):
            self._session.stir(word)

    async def _keep_lease(self) -> None:
        session = self._session
        kill_file = Path(settings.TRADEAPP_DATA_DIR) / KILL_FILE
        while True:
            await session.database.run(lease.renew, session.account_id, session.epoch, now=session.clock())
            session.keep_lease()
            await self._beat()
            for _ in range(4):
                if kill_file.exists():
                    await session.database.run(
                        kill,
                        session.account_id,
                        by=None,
                        reason=f"The file {KILL_FILE} is in the data directory.",
                        now=session.clock(),
                    )
                    session.stir()
                await asyncio.sleep(BEAT_SECONDS / 4)

    async def _beat(self) -> None:
        session = self._session
        session.is_safe_mode = await session.database.run(life.is_safe_mode, session.account_id)
        facts = {"pid": os.getpid(), **session.facts()}
        await session.database.run(notes.beat, session.process, facts, now=session.clock())

    async def _reconcile_from_time_to_time(self) -> None:
        session, ear = self._session, self._session.ear()
        due = session.monotonic() + RECONCILE_SECONDS
        while True:
            await self._session.wait(ear, 1.0)
            if not session.is_reconcile_wanted and session.monotonic() < due:
                continue
            session.is_reconcile_wanted = False
            try:
                await self._sandwich.compare("cycle")
            except ExchangeTrouble as trouble:
                await session.bear(trouble, "reconciling")
            due = session.monotonic() + RECONCILE_SECONDS


async def _run_until_stopped(trader: Trader) -> None:
    """Turn the first signal into a clean end: nothing new is sent, what has begun is recorded."""
    loop = asyncio.get_running_loop()
    task = loop.create_task(trader.run())
    stops: set[asyncio.Task[None]] = set()

    async def stop() -> None:
        try:
            await trader.drain()
        finally:
            task.cancel()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, lambda: stops.add(loop.create_task(stop())))
    try:
        await task
    except asyncio.CancelledError:
        await trader.end()
        log.info("trader.stopped")
    except BaseExceptionGroup as group:
        if isinstance(first(group), (UnableToTrade, KeyRefused, LeaseLost)):
            # It stops because it must not go on: that is no crash.
            await trader.end()
        raise
    finally:
        await trader.close()


def _market_epoch(account_id: int) -> str:
    return Account.objects.values_list("market__epoch", flat=True).get(id=account_id)


def first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """Return the first real exception of nested groups."""
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
