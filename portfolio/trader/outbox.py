"""Send what the coordinator has written, once, and the cancels that are asked for."""

from __future__ import annotations

import time
from typing import Final

import structlog

from exchange.errors import AnswerNotOurs, ExchangeTrouble, Outcome
from portfolio.trader import metrics, records
from portfolio.trader.crash_points import crash_point
from portfolio.trader.intake import Intake
from portfolio.trader.records import Outgoing, Watched
from portfolio.trader.resolver import Resolver
from portfolio.trader.session import Session

log = structlog.get_logger()
_ORDER_PAUSE_SECONDS: Final = 10.0


class Outbox:
    """The way out. A row is claimed before its first byte leaves, and no row is ever claimed twice."""

    def __init__(self, session: Session, intake: Intake, resolver: Resolver) -> None:
        self._session = session
        self._intake = intake
        self._resolver = resolver
        self._silent_until = 0.0

    async def send_ready(self) -> bool:
        """Send everything that is READY, in the order of arbitration; answer whether there was anything."""
        if time.monotonic() < self._silent_until:
            return False
        batch = await self._session.database.run(records.ready_orders, self._session.account_id)
        for outgoing in batch:
            await self._send(outgoing)
            if time.monotonic() < self._silent_until:
                break
        return bool(batch)

    async def send_cancels(self) -> None:
        """Send every cancel that is due."""
        now = self._session.clock()
        for order in await self._session.database.run(records.cancels_due, self._session.account_id, now=now):
            await self._cancel(order)

    async def _send(self, outgoing: Outgoing) -> None:
        session, ticket = self._session, outgoing.ticket
        crash_point("before_sending")
        now = session.clock()
        if not await session.database.run(records.mark_sending, outgoing.order_id, epoch=session.epoch, now=now):
            return
        crash_point("after_sending")
        session.in_flight.add(ticket.client_order_id)
        try:
            submitted = await session.port.submit(ticket, send_before_ms=session.send_before_ms(now))
        except ExchangeTrouble as trouble:
            await self._record_trouble(outgoing, trouble)
        except AnswerNotOurs as error:
            log.warning("order.answer_not_ours", order=ticket.client_order_id, error=str(error))
            await self._record_trouble(outgoing, ExchangeTrouble(Outcome.UNKNOWN, str(error)))
        else:
            crash_point("after_answer")
            recorded = await session.database.run(
                records.record_answer,
                session.account_id,
                session.epoch,
                outgoing.order_id,
                submitted.report,
                submitted.trades,
                now=session.clock(),
            )
            crash_point("after_recorded")
            self._intake.remember([*submitted.trades, *([] if recorded.is_live else [submitted.report])])
            metrics.count_order(ticket.side, submitted.report.status.value)
            metrics.observe_round_trip((session.clock() - now).total_seconds())
            if recorded.is_missing_fills:
                await self._intake.fill_gaps([recorded.symbol])
        finally:
            session.in_flight.discard(ticket.client_order_id)
            session.stir()

    async def _record_trouble(self, outgoing: Outgoing, trouble: ExchangeTrouble) -> None:
        session, code = self._session, str(trouble.outcome)
        record = records.record_rejection if trouble.is_proven_refusal else records.record_unknown
        log.warning("order.not_accepted", order=outgoing.ticket.client_order_id, outcome=code, message=trouble.message[:200])
        metrics.count_order(outgoing.ticket.side, code.lower())
        await session.database.run(
            record, session.account_id, session.epoch, outgoing.order_id, code, trouble.message, now=session.clock()
        )
        crash_point("after_trouble")
        if trouble.outcome == Outcome.REJECTED_FUNDS:
            session.is_reconcile_wanted = True
        elif trouble.outcome == Outcome.REJECTED_TIME:
            await session.port.server_time_ms()
        elif trouble.outcome in (Outcome.BACKOFF_ORDERS, Outcome.BACKOFF_WEIGHT, Outcome.BANNED, Outcome.BLOCKED):
            self._silent_until = time.monotonic() + (trouble.retry_after_seconds or _ORDER_PAUSE_SECONDS)
        elif trouble.outcome in (Outcome.REJECTED_ACCOUNT, Outcome.KEY_INVALID):
            await session.bear(trouble, "sending an order")

    async def _cancel(self, order: Watched) -> None:
        session = self._session
        crash_point("before_cancel")
        if not await session.database.run(
            records.record_cancel_sent, session.account_id, session.epoch, order.order_id, now=session.clock()
        ):
            return
        crash_point("after_cancel_marked")
        try:
            report = await session.port.cancel(order.symbol, order.client_order_id)
        except (ExchangeTrouble, AnswerNotOurs) as error:
            await self._after_failed_cancel(order, error)
            return
        crash_point("after_cancel_answer")
        await self._resolver.record(order, report)

    async def _after_failed_cancel(self, order: Watched, error: ExchangeTrouble | AnswerNotOurs) -> None:
        """Read instead of guessing: a cancel that failed says nothing about whether the order lives."""
        outcome = error.outcome if isinstance(error, ExchangeTrouble) else Outcome.UNKNOWN
        log.warning("cancel.failed", order=order.client_order_id, outcome=str(outcome), message=str(error)[:200])
        if outcome in (Outcome.REJECTED_ACCOUNT, Outcome.KEY_INVALID):
            assert isinstance(error, ExchangeTrouble)
            await self._session.bear(error, "cancelling an order")
        if outcome != Outcome.STILL_LIVE:
            await self._resolver.look_at(order)
