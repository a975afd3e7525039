"""Let market time go on: on the local venue only when everything is done, on a real exchange it goes by itself."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

import structlog

from exchange.errors import ExchangeTrouble
from exchange.pacing import MarketState, Pacer, VenueUnreachable
from portfolio.trader import agreement, records
from portfolio.trader.crash_points import crash_point
from portfolio.trader.intake import Intake
from portfolio.trader.sandwich import Sandwich
from portfolio.trader.session import Session

log = structlog.get_logger()
HOLD_SECONDS: Final = 10.0
POLL_SECONDS: Final = 0.25
# Twelve bars of the strategies' five minutes.
RECONCILE_EVERY: Final = timedelta(hours=1)
_COMPLAIN_SECONDS: Final = 20.0
# A broker may lose a doorbell, and a worker that starts slowly throws an old one away (R05).
_RING_AGAIN_SECONDS: Final = 10.0
_PATIENCE_SECONDS: Final = 0.02
_BACKOFF_SECONDS: Final = 0.3


class Pace:
    """Follows the market's clock and keeps the account in step with it."""

    def __init__(self, session: Session, intake: Intake, sandwich: Sandwich) -> None:
        self._session = session
        self._intake = intake
        self._sandwich = sandwich
        self._ear = session.ear()
        self._reconciled_at: datetime | None = None
        self._is_registered = False

    async def join(self) -> None:
        """Have the market wait for this account from now on.

        Called before the account is told to be active: whoever waits for that may let the market go on, and no bar may be missed.
        """
        if self._session.pacer is not None and not self._is_registered:
            await self._session.pacer.register()
            self._is_registered = True

    async def run(self) -> None:
        """Follow for ever."""
        if self._session.pacer is None:
            await self._follow_candles()
        else:
            await self._follow_holds(self._session.pacer)

    async def _follow_holds(self, pacer: Pacer) -> None:
        done_ms = -1
        while True:
            try:
                await self.join()
                hold = await pacer.wait_hold(after_ms=done_ms, timeout_seconds=HOLD_SECONDS)
                if hold is not None and hold.hold_ms is not None:
                    await self._finish_hold(pacer, hold, hold.hold_ms)
                    done_ms = hold.hold_ms
            except VenueUnreachable as error:
                log.warning("venue.unreachable", account=self._session.account_id, error=str(error)[:200])
                self._is_registered = False
                await self._session.sleep(_BACKOFF_SECONDS)
            except ExchangeTrouble as trouble:
                await self._session.bear(trouble, "finishing a hold")

    async def _finish_hold(self, pacer: Pacer, hold: MarketState, hold_ms: int) -> None:
        """Do everything that belongs to this moment of the market, then let it go on."""
        session = self._session
        market_at = moment(hold_ms)
        began = complained = rung = session.monotonic()
        await self._sync(market_at, expected=(hold.trades or {}).get(session.uid))
        while True:
            if session.monotonic() - complained > _COMPLAIN_SECONDS:
                complained = session.monotonic()
                log.warning("hold.waits", account=session.account_id, market_at=str(market_at), seconds=int(complained - began))
            quiet = await self._find_quiet(market_at)
            if quiet is not None:
                if session.look_before_going_on is not None and await session.look_before_going_on():
                    continue
                await self._reconcile_when_due(market_at)
                # What reconciliation found, and what the guard began by its own clock meanwhile, is on its way, or it has
                # ended already and calls for what comes next: then that look was one too early.
                if await self._find_quiet(market_at) != quiet:
                    continue
                crash_point("before_ack")
                posted = quiet.trades_posted
                behind = await pacer.acknowledge(hold_ms=hold_ms, trades={session.uid: posted})
                if behind is None:
                    log.debug(
                        "hold.finished", market_at=str(market_at), microseconds=int(1e6 * (self._session.monotonic() - began))
                    )
                    return
                log.info("hold.behind", account=session.account_id, posted=posted, venue=behind.trades.get(session.uid))
                await self._catch_up(behind.trades.get(session.uid, 0))
                continue
            await self._session.wait(self._ear, POLL_SECONDS)
            if session.monotonic() - rung > _RING_AGAIN_SECONDS:
                rung = session.monotonic()
                await session.database.run(agreement.ring_for_bots, session.account_id, market_at)

    async def _find_quiet(self, market_at: datetime) -> agreement.Quiet | None:
        session = self._session
        return await session.database.run(agreement.find_quiet, session.account_id, market_at)

    async def _follow_candles(self) -> None:
        """On a real exchange nobody waits: each closed candle finds every fill up to it posted."""
        done: datetime | None = None
        while True:
            market_at = await self._session.database.run(agreement.market_time, self._session.account_id)
            if market_at is not None and (done is None or market_at > done):
                try:
                    await self._sync(market_at, expected=None)
                    done = market_at
                except ExchangeTrouble as trouble:
                    await self._session.bear(trouble, "catching up with a candle")
            await self._session.wait(self._ear, 1.0)

    async def _sync(self, market_at: datetime, *, expected: int | None) -> None:
        """Post every fill up to a market time, note that, and ring for the bots."""
        session = self._session
        session.hear_bar(market_at)
        if expected is None:
            await self._intake.fill_gaps(await session.database.run(records.symbols_in_play, session.account_id))
        crash_point("before_synced")
        mark = agreement.mark_synced
        while not await session.database.run(mark, session.account_id, session.epoch, market_at, expected=expected or 0):
            await self._catch_up(expected or 0)

    async def _catch_up(self, expected: int) -> None:
        """Have as many trades posted as the exchange has booked; the stream brings most of them a moment later."""
        session = self._session
        for look in range(6):
            if await session.database.run(records.trades_posted, session.account_id) >= expected:
                return
            if look == 0:
                await self._session.wait(self._ear, _PATIENCE_SECONDS)
            elif look == 1:
                await self._intake.fill_gaps(await session.database.run(records.symbols_in_play, session.account_id))
            else:
                await self._intake.fill_gaps(await session.database.run(records.symbols_ever, session.account_id))
                await self._session.sleep(_PATIENCE_SECONDS * look)
        log.warning("trades.missing", account=session.account_id, expected=expected)
        await self._search_everywhere()

    async def _search_everywhere(self) -> None:
        """Read every symbol of the market: somebody has traded by hand where no bot ever did."""
        session = self._session
        assets = (await session.port.balances()).totals().keys()
        symbols = await session.database.run(records.symbols_to_search, session.account_id, assets)
        await self._intake.fill_gaps(symbols)

    async def _reconcile_when_due(self, market_at: datetime) -> None:
        if self._reconciled_at is None:
            self._reconciled_at = market_at
        if market_at - self._reconciled_at >= RECONCILE_EVERY:
            self._reconciled_at = market_at
            await self._sandwich.compare("cycle")


def moment(milliseconds: int) -> datetime:
    """Turn market milliseconds into a moment."""
    seconds, rest = divmod(milliseconds, 1000)
    return datetime.fromtimestamp(seconds, UTC).replace(microsecond=rest * 1000)
