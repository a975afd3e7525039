"""Find out by reading what became of orders, and prove absence before believing it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

import structlog

from exchange.errors import AnswerNotOurs, ExchangeTrouble, Outcome
from portfolio.trader import records
from portfolio.trader.intake import Intake
from portfolio.trader.records import Watched
from portfolio.trader.session import Session
from trading.orders import FINAL_STATUSES, OrderReport

if TYPE_CHECKING:
    from portfolio.trader.sandwich import Sandwich

log = structlog.get_logger()
# Every live order is looked at within ten seconds (I-43).
LOOK_SECONDS: Final = 8.0
# What is unknown, ending or short of fills is looked at this often.
URGENT_SECONDS: Final = 1.0
ESCALATE_SECONDS: Final = 660.0


class Resolver:
    """Looks at every order that the exchange has, or may have."""

    def __init__(self, session: Session, intake: Intake, sandwich: Sandwich) -> None:
        self._session = session
        self._intake = intake
        self._sandwich = sandwich
        self._looked_at = 0.0
        self._urgent_at = 0.0
        self._adopted_cancelled: set[str] = set()

    async def look_when_due(self) -> None:
        """Look at what is due: unknown orders every second, all of them every few."""
        now = time.monotonic()
        if now - self._looked_at >= LOOK_SECONDS:
            await self.look_at_all()
        elif now - self._urgent_at >= URGENT_SECONDS:
            self._urgent_at = now
            for order in await self._watched():
                if order.is_unknown or order.is_ending or order.executed_quantity > order.filled_quantity:
                    await self.look_at(order)

    async def look_at_all(self) -> None:
        """Compare every live order with the exchange's list; ask about each one that is not on it."""
        self._looked_at = self._urgent_at = time.monotonic()
        watched = await self._watched()
        listed = {report.client_order_id: report for report in await self._session.port.open_orders()}
        for order in watched:
            report = listed.get(order.client_order_id)
            if report is None:
                await self.look_at(order)
            elif order.is_unknown or report.executed_quantity != order.executed_quantity:
                await self.record(order, report)
        await self._watch_the_dead(listed, {order.client_order_id for order in watched})

    async def look_at(self, order: Watched) -> None:
        """Read one order; only for one that may never have existed does "not found" begin to mean anything."""
        if order.client_order_id in self._session.in_flight:
            return
        try:
            report = await self._session.port.order_by_client_id(order.symbol, order.client_order_id)
        except AnswerNotOurs as error:
            log.warning("order.answer_not_ours", order=order.client_order_id, error=str(error))
        except ExchangeTrouble as trouble:
            if trouble.outcome != Outcome.NOT_VISIBLE:
                raise
            if order.is_unknown:
                await self._consider_absent(order)
            else:
                # It was seen alive: a read that does not show it is a bad read (E30).
                log.warning("order.not_visible", order=order.client_order_id, status=order.status)
        else:
            await self.record(order, report)

    async def record(self, order: Watched, report: OrderReport) -> None:
        """Record what the exchange says, and fetch the trades that it speaks of."""
        session = self._session
        recorded = await session.database.run(
            records.record_answer, session.account_id, session.epoch, order.order_id, report, (), now=session.clock()
        )
        if recorded.is_missing_fills:
            await self._intake.fill_gaps([recorded.symbol])
        elif not recorded.is_live:
            self._intake.remember([report])
        session.stir()

    async def _consider_absent(self, order: Watched) -> None:
        """Call an order absent when it is too old to appear, three reads miss it, and the balances agree."""
        session = self._session
        await session.database.run(
            records.record_unknown,
            session.account_id,
            session.epoch,
            order.order_id,
            "UNKNOWN",
            "Not visible yet.",
            now=session.clock(),
        )
        age = await self._age_seconds(order)
        if age <= session.profile.settle_seconds:
            return
        if any(report.client_order_id == order.client_order_id for report in await session.port.open_orders(order.symbol)):
            return
        # A trade of it in the history names its order by number; the intake asks for the name and posts it.
        await self._intake.fill_gaps([order.symbol])
        if not session.is_stream_open or not await self._sandwich.agrees():
            if age > ESCALATE_SECONDS:
                log.error("order.unresolved", order=order.client_order_id, age_seconds=int(age))
            return
        watched = {row.order_id: row for row in await self._watched()}
        if order.order_id in watched and watched[order.order_id].filled_quantity == 0:
            log.warning("order.absent", order=order.client_order_id, age_seconds=int(age))
            await session.database.run(
                records.record_absence, session.account_id, session.epoch, order.order_id, now=session.clock()
            )
            session.stir()

    async def _age_seconds(self, order: Watched) -> float:
        """Return how long ago the order was sent, by the exchange's clock."""
        server_ms = await self._session.port.server_time_ms()
        assert order.sent_at is not None
        return server_ms / 1000 - order.sent_at.timestamp()

    async def _watch_the_dead(self, listed: dict[str, OrderReport], living: set[str]) -> None:
        """Adopt an order that lives although we had called it dead, and cancel what is left of it."""
        dead = {
            order.client_order_id: order
            for order in await self._session.database.run(records.dead_orders, list(listed.keys() - living))
        }
        for name, order in dead.items():
            await self.record(order, listed[name])
        for order in await self._session.database.run(records.adopted_orders, self._session.account_id):
            if order.client_order_id in listed and listed[order.client_order_id].status not in FINAL_STATUSES:
                log.error("order.adopted", order=order.client_order_id)
                try:
                    await self.record(order, await self._session.port.cancel(order.symbol, order.client_order_id))
                except (ExchangeTrouble, AnswerNotOurs) as error:
                    log.warning("cancel.failed", order=order.client_order_id, message=str(error)[:200])

    async def _watched(self) -> list[Watched]:
        return await self._session.database.run(records.watched_orders, self._session.account_id)
