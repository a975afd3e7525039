"""Send what the coordinator has written, once, and the cancels that are asked for."""

from __future__ import annotations

import asyncio
from collections import defaultdict, deque
from collections.abc import Awaitable, Coroutine, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

import structlog

from exchange.errors import HALTING, AnswerNotOurs, ExchangeTrouble, Outcome
from exchange.ports import OrderTicket, Submitted
from portfolio.trader import metrics, records
from portfolio.trader.crash_points import crash_point
from portfolio.trader.intake import Intake
from portfolio.trader.records import Agenda, Outgoing, Recorded, Watched
from portfolio.trader.resolver import Resolver
from portfolio.trader.session import Session
from trading.desk.answers import Answer
from trading.orders import FINAL_STATUSES, OrderReport, TradeReport

log = structlog.get_logger()
_ORDER_PAUSE_SECONDS: Final = 10.0
# Requests of each kind on the wire at one time; ccxt signs about two hundred a second on one core.
SENDS_AT_ONCE: Final = 8
CANCELS_AT_ONCE: Final = 16
# So many answers share one transaction and one desk; more would keep the coordinator waiting for the account.
_ANSWERS_AT_ONCE: Final = 32
# An exchange that takes the cancel may lose the answer: after this long it is asked again.
CANCEL_AGAIN_SECONDS: Final = 2.0
# After these the exchange wants no order for a while.
_SILENCING: Final = (Outcome.BACKOFF_ORDERS, Outcome.BACKOFF_WEIGHT, Outcome.BANNED, Outcome.BLOCKED)
ENTRY_STALE: Final = "ENTRY_STALE"
FUNDS_REFUSED: Final = "FUNDS_REFUSED"
SYMBOL_BLOCKED: Final = "SYMBOL_BLOCKED"
# On a real exchange the market moves on: an entry that could not be sent for so long was decided for another market.
STALE_SECONDS: Final = 30.0
# Without money for one order there is none for the next: one attempt for each symbol in so long (E19).
FUNDS_PAUSE_SECONDS: Final = 60.0


@dataclass(slots=True)
class _Waiting:
    """An answer that waits for its transaction."""

    answer: Answer
    done: asyncio.Future[Recorded] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class Outbox:
    """The way out. A row is claimed before its first byte leaves, and no row is ever claimed twice."""

    def __init__(self, session: Session, intake: Intake, resolver: Resolver) -> None:
        self._session = session
        self._intake = intake
        self._resolver = resolver
        self._silent_until = 0.0
        self._funds_missed: dict[str, float] = {}
        # In the order of sending.
        self._sending: dict[asyncio.Task[None], None] = {}
        self._cancelling: dict[int, asyncio.Task[None]] = {}
        self._sends_on_wire = self._cancels_on_wire = 0
        self._answered = asyncio.Event()
        self._waiting: deque[_Waiting] = deque()
        self._recording = asyncio.Lock()
        self._failed: BaseException | None = None

    async def send(self, agenda: Agenda) -> bool:
        """Send cancels, then new orders in the order of arbitration; answer whether something new was claimed."""
        if self._failed is not None:
            raise self._failed
        await self._send_cancels(agenda)
        await self._withdraw(agenda)
        return await self._send_ready(agenda)

    async def drain(self) -> None:
        """Wait until the answer to everything that is on the wire is recorded."""
        while running := [*self._sending, *self._cancelling.values()]:
            await asyncio.wait(running)
        if self._failed is not None:
            raise self._failed

    async def _send_ready(self, agenda: Agenda) -> bool:
        claimed_any = False
        in_flight = self._session.in_flight
        ready = [row for row in agenda.ready if row.is_flatten or not self._session.is_safe_mode]
        sendable = [outgoing for outgoing in ready if outgoing.ticket.client_order_id not in in_flight]
        while sendable:
            if self._session.is_stopping or self._is_silent():
                break
            room = SENDS_AT_ONCE - self._sends_on_wire
            if room <= 0:
                await self._wait_for_room()
                continue
            batch, sendable = sendable[:room], sendable[room:]
            claimed_any |= await self._claim(batch)
        return claimed_any

    async def _claim(self, batch: Sequence[Outgoing]) -> bool:
        """Claim orders in one commit, then write each to the wire without waiting for the one before."""
        session = self._session
        crash_point("before_sending")
        claimed = session.monotonic()
        # Named before the row moves: the stream may tell of an order before its own answer does.
        names = {outgoing.ticket.client_order_id for outgoing in batch}
        session.in_flight |= names
        try:
            ours = await session.claims.run(
                records.mark_sending, [outgoing.order_id for outgoing in batch], epoch=session.epoch, now=session.now()
            )
        except BaseException:
            session.in_flight -= names
            raise
        crash_point("after_sending")
        for outgoing in batch:
            if outgoing.order_id in ours:
                self._sends_on_wire += 1
                self._start(self._send(outgoing, claimed))
            else:
                session.in_flight.discard(outgoing.ticket.client_order_id)
        return bool(ours)

    async def _send(self, outgoing: Outgoing, claimed: float) -> None:
        session, ticket = self._session, outgoing.ticket
        if outgoing.decided_at is not None:
            metrics.observe_bar_to_order(session.seconds_since_bar(outgoing.decided_at))
        try:
            submitted = await self._submit(ticket, claimed)
        except ExchangeTrouble as trouble:
            await self._record_trouble(outgoing, trouble)
        except AnswerNotOurs as error:
            log.error("order.answer_not_ours", order=ticket.client_order_id, error=str(error))  # noqa: TRY400 - the words are enough.
            await self._record_trouble(outgoing, ExchangeTrouble(Outcome.UNKNOWN, str(error)))
        else:
            crash_point("after_answer")
            recorded = await self._record(Answer(outgoing.order_id, submitted.report, submitted.trades))
            crash_point("after_recorded")
            self._note(ticket, submitted.report, submitted.trades, recorded)
            metrics.observe_round_trip(session.monotonic() - claimed)
            if recorded.is_missing_fills:
                await self._read_on(self._intake.fill_gaps([recorded.symbol]))
        finally:
            session.in_flight.discard(ticket.client_order_id)

    async def _submit(self, ticket: OrderTicket, claimed: float) -> Submitted:
        try:
            return await self._session.port.submit(ticket, send_before_ms=self._session.send_before_ms(claimed))
        finally:
            self._sends_on_wire -= 1
            self._answered.set()

    async def _wait_for_room(self) -> None:
        """Wait for an answer; on its way into the books it takes no room on the wire, for a kill waits for no ledger."""
        self._answered.clear()
        await self._answered.wait()
        if self._failed is not None:
            raise self._failed

    async def _record_trouble(self, outgoing: Outgoing, trouble: ExchangeTrouble) -> None:
        session, code, symbol = self._session, str(trouble.outcome), outgoing.ticket.symbol
        log.warning("order.not_accepted", order=outgoing.ticket.client_order_id, outcome=code, message=trouble.message[:200])
        metrics.count_order(outgoing.ticket.side, code.lower())
        # Before the ledger is told: what is claimed meanwhile must know of it.
        if trouble.outcome == Outcome.REJECTED_FUNDS:
            self._funds_missed[symbol] = session.monotonic()
        elif trouble.outcome in _SILENCING:
            self._silent_until = session.monotonic() + (trouble.retry_after_seconds or _ORDER_PAUSE_SECONDS)
        await self._record(
            Answer(outgoing.order_id, None, is_refused=trouble.is_proven_refusal, code=code, message=trouble.message)
        )
        crash_point("after_trouble")
        if trouble.outcome == Outcome.REJECTED_FUNDS:
            session.is_reconcile_wanted = True
        elif trouble.outcome in (Outcome.REJECTED_FILTER, Outcome.REJECTED_MARKET):
            session.is_listing_wanted = True
        elif trouble.outcome == Outcome.REJECTED_TIME:
            session.time_refusals.append(session.monotonic())
        elif trouble.outcome in HALTING:
            await session.bear(trouble, "sending an order")

    async def _send_cancels(self, agenda: Agenda) -> None:
        due = [order for order, sent_at in agenda.cancels if self._is_due(order, sent_at)]
        while due:
            room = CANCELS_AT_ONCE - self._cancels_on_wire
            if room <= 0:
                await self._wait_for_room()
                continue
            batch, due = due[:room], due[room:]
            await self._claim_cancels(batch)

    async def _claim_cancels(self, batch: Sequence[Watched]) -> None:
        session = self._session
        crash_point("before_cancel")
        ours = await session.claims.run(
            records.record_cancels_sent,
            session.account_id,
            session.epoch,
            [order.order_id for order in batch],
            now=session.now(),
        )
        crash_point("after_cancel_marked")
        for order in batch:
            if order.order_id in ours:
                task = asyncio.create_task(self._cancel(order))
                self._cancelling[order.order_id] = task
                self._cancels_on_wire += 1
                task.add_done_callback(self._finished)

    async def _cancel(self, order: Watched) -> None:
        try:
            report = await self._send_cancel(order)
        except (ExchangeTrouble, AnswerNotOurs) as error:
            await self._after_failed_cancel(order, error)
        else:
            crash_point("after_cancel_answer")
            recorded = await self._record(Answer(order.order_id, report))
            await self._read_on(self._resolver.after_recorded(report, recorded))
        finally:
            self._cancelling.pop(order.order_id, None)

    async def _read_on(self, reading: Awaitable[object]) -> None:
        """Read what an answer left open; if it cannot be read now, the resolver comes back to it (E09, E46)."""
        try:
            await reading
        except ExchangeTrouble as trouble:
            await self._session.bear(trouble, "reading what an answer left open")

    async def _send_cancel(self, order: Watched) -> OrderReport:
        try:
            return await self._session.port.cancel(order.symbol, order.client_order_id)
        finally:
            self._cancels_on_wire -= 1
            self._answered.set()

    async def _after_failed_cancel(self, order: Watched, error: ExchangeTrouble | AnswerNotOurs) -> None:
        """Read instead of guessing: a cancel that failed says nothing about whether the order lives."""
        outcome = error.outcome if isinstance(error, ExchangeTrouble) else Outcome.UNKNOWN
        log.warning("cancel.failed", order=order.client_order_id, outcome=str(outcome), message=str(error)[:200])
        if isinstance(error, ExchangeTrouble) and outcome in HALTING:
            await self._session.bear(error, "cancelling an order")
        if outcome != Outcome.STILL_LIVE:
            try:
                await self._resolver.look_at(order)
            except ExchangeTrouble as trouble:
                # The order stays as it is; the resolver looks again.
                await self._session.bear(trouble, "reading an order whose cancel failed")

    async def _withdraw(self, agenda: Agenda) -> None:
        """Withdraw entries that must not go out any more; only what was never sent may be taken back."""
        session, kept = self._session, []
        reasons: defaultdict[str, list[int]] = defaultdict(list)
        for outgoing in agenda.ready:
            reason = self._obstacle(outgoing) if outgoing.is_entry else ""
            if reason:
                reasons[reason].append(outgoing.order_id)
            else:
                kept.append(outgoing)
        for reason, order_ids in reasons.items():
            log.warning("orders.withdrawn", account=session.account_id, reason=reason, count=len(order_ids))
            await session.answers.run(records.withdraw, session.account_id, session.epoch, order_ids, reason, now=session.now())
        agenda.ready = kept

    def _obstacle(self, entry: Outgoing) -> str:
        """Say what forbids an entry at this moment, if anything does."""
        session, missed = self._session, self._funds_missed.get(entry.ticket.symbol)
        if entry.ticket.client_order_id in session.in_flight:
            return ""
        if session.entry_stops:
            return min(session.entry_stops)
        if entry.ticket.symbol in session.blocked:
            return SYMBOL_BLOCKED
        if missed is not None and session.monotonic() < missed + FUNDS_PAUSE_SECONDS:
            return FUNDS_REFUSED
        is_paced = session.pacer is not None
        is_stale = (session.now() - entry.created_at).total_seconds() > STALE_SECONDS
        return ENTRY_STALE if is_stale and not is_paced else ""

    def _is_silent(self) -> bool:
        """Say whether the exchange wants no new order now: claimed, it could only be refused by ourselves."""
        return self._session.monotonic() < self._silent_until or self._session.port.silent_seconds() > 0

    def _is_due(self, order: Watched, sent_at: datetime | None) -> bool:
        if order.order_id in self._cancelling or self._session.is_stopping or self._session.port.silent_seconds() > 0:
            return False
        return sent_at is None or (self._session.now() - sent_at).total_seconds() >= CANCEL_AGAIN_SECONDS

    def _note(self, ticket: OrderTicket, report: OrderReport, trades: Sequence[TradeReport], recorded: Recorded) -> None:
        """Have the intake know what the stream is about to repeat."""
        self._intake.expect_echo(trades)
        self._intake.remember([*trades, *([report] if report.status in FINAL_STATUSES and not recorded.is_live else [])])
        metrics.count_order(ticket.side, report.status.value)

    async def _record(self, answer: Answer) -> Recorded:
        """Record an answer together with those that came while the last transaction ran."""
        waiting = _Waiting(answer)
        self._waiting.append(waiting)
        async with self._recording:
            if not waiting.done.done():
                await self._record_waiting()
        return await waiting.done

    async def _record_waiting(self) -> None:
        session = self._session
        batch = [self._waiting.popleft() for _ in range(min(len(self._waiting), _ANSWERS_AT_ONCE))]
        try:
            recorded = await session.answers.run(
                records.record_answers, session.account_id, session.epoch, [row.answer for row in batch], now=session.now()
            )
        except BaseException as error:
            for row in batch:
                row.done.set_exception(error)
                # Each waiter raises it; one that was cancelled meanwhile must not complain of not having asked.
                row.done.exception()
            raise
        for row in batch:
            row.done.set_result(recorded[row.answer.order_id])

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._sending[task] = None
        task.add_done_callback(self._finished)

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._sending.pop(task, None)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._failed = self._failed or error
        self._session.stir()
