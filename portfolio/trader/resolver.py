"""Find out by reading, and only by reading, what became of every order that was sent."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Final

import structlog

from exchange.errors import AnswerNotOurs, ExchangeTrouble, Outcome
from portfolio.trader import identity, records
from portfolio.trader.intake import Intake
from portfolio.trader.records import Recorded, Watched
from portfolio.trader.session import Session
from trading import resolution
from trading.orders import FINAL_STATUSES, ExchangeStatus, OrderReport, Side
from trading.resolution import Doubt, Look, Verdict

if TYPE_CHECKING:
    from portfolio.trader.sandwich import Sandwich

log = structlog.get_logger()
# Every live order is looked at within ten seconds (I-43).
LOOK_SECONDS: Final = 8.0
# What is ending or short of fills is looked at this often.
URGENT_SECONDS: Final = 1.0
# A whole look reads balances twice; its continuity allows for fifteen seconds.
_WHOLE_SECONDS: Final = 10.0
# So many that were called absent are looked for in one round.
_DEAD_AT_ONCE: Final = 20
ORDER_UNRESOLVED: Final = "ORDER_UNRESOLVED"


class Resolver:
    """Looks at every order that the exchange has, or may have, or was thought never to have had."""

    def __init__(self, session: Session, intake: Intake, sandwich: Sandwich) -> None:
        self._session = session
        self._intake = intake
        self._sandwich = sandwich
        self._looked_at = self._urgent_at = self._unknown_at = self._whole_at = -resolution.WATCH_SECONDS
        self._doubts: dict[str, Doubt] = {}
        # Age at the first look and the moment of it: a clock that is set forward makes no order older.
        self._first_ages: dict[str, tuple[float, float]] = {}
        self._dead_due: dict[str, float] = {}
        self._escalated: set[str] = set()
        # Whether a halt for an unresolved order may stand, also one of an earlier life.
        self._may_be_halted = True

    async def look_when_due(self) -> None:
        """Look at what is due: unknown orders every two seconds, what is ending every second, all of them every few."""
        session, now = self._session, self._session.monotonic()
        if now - self._looked_at >= LOOK_SECONDS:
            await self.look_at_all()
            return
        if now - self._urgent_at < URGENT_SECONDS:
            return
        self._urgent_at = now
        watched = [order for order in await self._watched() if order.client_order_id not in session.in_flight]
        unknown = [order for order in watched if order.is_unknown]
        await self._forget_resolved(unknown)
        if now - self._unknown_at >= resolution.look_again_seconds(len(unknown)):
            await self._look_at_unknown(unknown)
        for order in watched:
            if not order.is_unknown and (order.is_ending or order.executed_quantity > order.filled_quantity):
                await self.look_at(order)

    async def look_at_all(self) -> None:
        """Compare every live order with the exchange's list; an order that the list omits is asked about by name (E31)."""
        self._looked_at = self._urgent_at = self._session.monotonic()
        watched = [order for order in await self._watched() if order.client_order_id not in self._session.in_flight]
        listed = {report.client_order_id: report for report in await self._session.port.open_orders()}
        missing = []
        for order in watched:
            report = listed.get(order.client_order_id)
            if report is None:
                missing.append(order)
            elif order.is_unknown or report.executed_quantity != order.executed_quantity:
                await self.record(order, report)
        for order in missing:
            if not order.is_unknown:
                await self.look_at(order)
        await self._look_at_unknown([order for order in missing if order.is_unknown])
        await self._watch_the_dead(listed, {order.client_order_id for order in watched})

    async def look_at(self, order: Watched) -> bool:
        """Read one order by name and record what it says; answer whether the exchange shows it."""
        try:
            report = await self._session.port.order_by_client_id(order.symbol, order.client_order_id)
        except AnswerNotOurs as error:
            log.error("order.answer_not_ours", order=order.client_order_id, error=str(error))  # noqa: TRY400 - the words are enough.
            return True
        except ExchangeTrouble as trouble:
            if trouble.outcome == Outcome.TERMINAL_EMPTY and order.filled_quantity == order.executed_quantity == 0:
                await self.record(order, _ended_without_a_trade(order, self._session))
                return True
            if trouble.outcome != Outcome.NOT_VISIBLE:
                raise
            if not order.is_unknown:
                # It was seen alive: a read that does not show it is a bad read (E30).
                log.warning("order.not_visible", order=order.client_order_id, status=order.status)
            return False
        await self.record(order, report)
        return True

    async def record(self, order: Watched, report: OrderReport) -> None:
        """Record what the exchange says, and fetch the trades that it speaks of."""
        session = self._session
        recorded = await session.answers.run(
            records.record_answer, session.account_id, session.epoch, order.order_id, report, (), now=session.now()
        )
        await self.after_recorded(report, recorded)

    async def after_recorded(self, report: OrderReport, recorded: Recorded) -> None:
        """Fetch the trades that a recorded report speaks of; note an end that needs no second telling."""
        if recorded.is_missing_fills:
            await self._intake.fill_gaps([recorded.symbol])
        elif not recorded.is_live and report.status in FINAL_STATUSES:
            self._intake.remember([report])
        self._session.stir()

    async def _look_at_unknown(self, orders: Sequence[Watched]) -> None:
        """Look for orders that nobody has answered for; reads alone decide, and nothing is ever sent again."""
        session = self._session
        self._unknown_at = session.monotonic()
        unseen = [order for order in orders if not await self.look_at(order)]
        for order in unseen:
            await self._note_unknown(order)
        bounds = session.profile.bounds()
        ages = {order.client_order_id: self._age_seconds(order) for order in unseen}
        is_ripe = any(resolution.could_be_absent(age, self._doubts.get(name, Doubt()), bounds) for name, age in ages.items())
        if unseen and (is_ripe or session.monotonic() - self._whole_at >= _WHOLE_SECONDS):
            await self._look_whole(unseen)

    async def _look_whole(self, orders: Sequence[Watched]) -> None:
        """Add the other reads to the one by name: the list, the history, and balances that the ledger explains."""
        session = self._session
        self._whole_at = session.monotonic()
        listed = {report.client_order_id: report for report in await session.port.open_orders()}
        # A trade of it in the history names its order by number; the intake asks for the name and posts it.
        is_agreed = await self._sandwich.agrees()
        still = {order.order_id: order for order in await self._watched()}
        for order in orders:
            now = still.get(order.order_id)
            if now is None or not now.is_unknown or now.filled_quantity:
                continue
            if order.client_order_id in listed:
                await self.record(order, listed[order.client_order_id])
                continue
            age = self._age_seconds(order)
            look = Look(
                age_seconds=age,
                misses_by_name=True,
                misses_in_list=True,
                misses_in_history=True,
                is_history_whole=True,
                is_stream_unbroken=session.is_stream_open and session.stream_open_since <= session.monotonic() - age,
                is_agreed=is_agreed,
            )
            await self._conclude(order, look)

    async def _conclude(self, order: Watched, look: Look) -> None:
        session, name, bounds = self._session, order.client_order_id, self._session.profile.bounds()
        self._doubts[name] = self._doubts.get(name, Doubt()).after(look, bounds)
        verdict = resolution.judge(self._doubts[name], look, bounds)
        if verdict == Verdict.ABSENT:
            log.warning("order.absent", order=name, age_seconds=int(look.age_seconds))
            await session.answers.run(
                records.record_absence, session.account_id, session.epoch, order.order_id, now=session.now()
            )
            session.stir()
        elif verdict == Verdict.ESCALATE and name not in self._escalated:
            self._escalated.add(name)
            self._may_be_halted = True
            log.error("order.unresolved", order=name, age_seconds=int(look.age_seconds))
            await session.halt(ORDER_UNRESOLVED)

    async def _note_unknown(self, order: Watched) -> None:
        session = self._session
        self._first_ages.setdefault(
            order.client_order_id, ((session.now() - _sent_at(order)).total_seconds(), session.monotonic())
        )
        age = self._age_seconds(order)
        if age >= resolution.SHOWN_SECONDS:
            session.unresolved[order.client_order_id] = int(age)
        if order.status == records.SENDING:
            await session.answers.run(
                records.record_unknown,
                session.account_id,
                session.epoch,
                order.order_id,
                "UNKNOWN",
                "Not visible yet.",
                now=session.now(),
            )

    async def _forget_resolved(self, unknown: Sequence[Watched]) -> None:
        names = {order.client_order_id for order in unknown}
        self._escalated &= names
        if self._may_be_halted and not names:
            self._may_be_halted = False
            await self._session.lift(ORDER_UNRESOLVED)
        for memory in (self._doubts, self._first_ages, self._session.unresolved):
            for name in memory.keys() - names:
                del memory[name]

    def _age_seconds(self, order: Watched) -> float:
        """Return how long ago the order was sent, by the exchange's clock, and no more than has passed since it was seen."""
        session = self._session
        age = (session.now() - _sent_at(order)).total_seconds()
        first = self._first_ages.get(order.client_order_id)
        return age if first is None else min(age, first[0] + session.monotonic() - first[1])

    async def _watch_the_dead(self, listed: dict[str, OrderReport], living: set[str]) -> None:
        """Look for orders that were called dead: one that turns up is taken in, and what is left of it is cancelled."""
        session = self._session
        await identity.halt_if_not_alone(session, listed.keys() - living)
        dead = await session.database.run(records.dead_orders, session.account_id, list(listed.keys() - living))
        for order in dead:
            log.error("order.adopted", order=order.client_order_id)
            await self.record(order, listed[order.client_order_id])
        since = session.now() - timedelta(seconds=resolution.WATCH_SECONDS)
        absent = await session.database.run(records.absent_orders, session.account_id, since=since)
        now = session.monotonic()
        due = [order for order in absent if self._dead_due.get(order.client_order_id, now) <= now]
        for order in due[:_DEAD_AT_ONCE]:
            pause = resolution.watch_again_seconds((session.now() - _sent_at(order)).total_seconds())
            self._dead_due[order.client_order_id] = now + (pause or resolution.WATCH_SECONDS)
            if await self.look_at(order):
                log.error("order.adopted", order=order.client_order_id)
        for name in self._dead_due.keys() - {order.client_order_id for order in absent}:
            del self._dead_due[name]
        await self._cancel_adopted(listed)

    async def _cancel_adopted(self, listed: dict[str, OrderReport]) -> None:
        for order in await self._session.database.run(records.adopted_orders, self._session.account_id):
            if order.client_order_id in listed and listed[order.client_order_id].status not in FINAL_STATUSES:
                try:
                    await self.record(order, await self._session.port.cancel(order.symbol, order.client_order_id))
                except (ExchangeTrouble, AnswerNotOurs) as error:
                    log.warning("cancel.failed", order=order.client_order_id, message=str(error)[:200])

    async def _watched(self) -> list[Watched]:
        return await self._session.answers.run(records.watched_orders, self._session.account_id)


def _sent_at(order: Watched) -> datetime:
    assert order.sent_at is not None
    return order.sent_at


def _ended_without_a_trade(order: Watched, session: Session) -> OrderReport:
    """Say of an order that the exchange has put into its archive what that proves (E35)."""
    return OrderReport(
        client_order_id=order.client_order_id,
        exchange_order_id="",
        symbol=order.symbol,
        side=Side(order.side),
        status=ExchangeStatus.CANCELED,
        quantity=order.quantity,
        executed_quantity=Decimal(0),
        executed_quote=Decimal(0),
        market_at=session.now(),
    )
