"""Take in what happened on the account: from the user stream at once, from the exchange's history without a gap."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable
from dataclasses import replace
from typing import Final

import structlog

from exchange.errors import AnswerNotOurs, ExchangeTrouble, Outcome
from exchange.ports import FlowReport, StreamGap, StreamOpen, UserEvent
from portfolio.trader import records
from portfolio.trader.crash_points import crash_point
from portfolio.trader.session import Session
from trading.orders import FINAL_STATUSES, OrderReport, TradeReport

log = structlog.get_logger()
_REMEMBERED_MAX: Final = 4096


class Intake:
    """The only way in for trades, reports and flows that nobody asked for."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._events: deque[OrderReport | TradeReport | FlowReport] = deque()
        self._ear = session.ear()
        # Trades and ends that are recorded: the stream repeats what an answer has told already.
        self._trades_known: dict[tuple[str, int], None] = {}
        self._ends_known: dict[str, None] = {}
        self._reading = asyncio.Lock()

    async def follow_stream(self) -> None:
        """Listen to the account for ever; after each opening the history fills what was missed."""
        async for event in self._session.port.user_events():
            if isinstance(event, StreamOpen):
                await self._after_opening()
            elif isinstance(event, StreamGap):
                log.warning("stream.gap", account=self._session.account_id, reason=event.reason[:200])
                self._session.is_stream_open = False
            else:
                self._hear(event)

    async def apply_stream(self) -> None:
        """Record what was heard, in the order it came, many events in one transaction."""
        while True:
            ripe = self._take_ripe()
            if not ripe:
                await self._session.wait(self._ear, 1.0)
                continue
            posted = await self._session.answers.run(
                records.record_events, self._session.account_id, self._session.epoch, ripe, now=self._session.now()
            )
            self.remember(ripe)
            for symbol in {symbol for symbol, _ in posted.orders_unknown}:
                log.error("trade.owner_unknown", account=self._session.account_id, symbol=symbol)
            self._session.stir()

    def remember(self, events: Iterable[UserEvent]) -> None:
        """Note that these are recorded, so that their echo costs nothing."""
        for event in events:
            if isinstance(event, TradeReport):
                self._trades_known[event.symbol, event.trade_id] = None
            elif isinstance(event, OrderReport) and event.status in FINAL_STATUSES:
                self._ends_known[event.client_order_id] = None
        for known in (self._trades_known, self._ends_known):
            while len(known) > _REMEMBERED_MAX:
                del known[next(iter(known))]  # type: ignore[arg-type]

    async def fill_gaps(self, symbols: Iterable[str]) -> int:
        """Read the history of these symbols from where it was left and post what is new; answer how many trades."""
        count = 0
        async with self._reading:
            for symbol in symbols:
                trades = await self._session.port.trades_since(symbol, self._session.cursors.get(symbol, -1) + 1)
                if trades:
                    count += await self._post(symbol, trades)
                    self._session.cursors[symbol] = trades[-1].trade_id
        if count:
            log.info("trades.caught_up", account=self._session.account_id, count=count)
            self._session.stir()
        return count

    async def _post(self, symbol: str, trades: list[TradeReport]) -> int:
        """Post trades of the history; the cursor moves only when each of them has an owner."""
        session = self._session
        newest = trades[-1].trade_id
        # What traded before the account was opened here is in its opening balances.
        trades = [trade for trade in trades if session.opened_at is None or trade.traded_at >= session.opened_at]
        posted = await session.answers.run(records.record_trades, session.account_id, session.epoch, trades, now=session.now())
        crash_point("after_gap_fill")
        self.remember(trades)
        count, is_whole = posted.count, True
        for number in sorted({number for _, number in posted.orders_unknown}):
            name = (await session.port.order_by_exchange_id(symbol, number)).client_order_id
            named = [replace(trade, client_order_id=name) for trade in trades if trade.exchange_order_id == number]
            again = await session.answers.run(records.record_trades, session.account_id, session.epoch, named, now=session.now())
            count += again.count
            if again.orders_unknown:
                is_whole = False
                log.error("trade.owner_unknown", account=session.account_id, order=name)
        if is_whole:
            await self._move_cursor(symbol, newest)
        return count

    async def _move_cursor(self, symbol: str, trade_id: int) -> None:
        session = self._session
        await session.database.run(records.move_cursor, session.account_id, session.epoch, symbol, trade_id, now=session.now())

    async def _after_opening(self) -> None:
        session = self._session
        symbols = await session.database.run(records.symbols_ever, session.account_id)
        while True:
            try:
                await self.fill_gaps(symbols)
                break
            except (ExchangeTrouble, AnswerNotOurs) as error:
                trouble = error if isinstance(error, ExchangeTrouble) else ExchangeTrouble(Outcome.UNKNOWN, str(error))
                await session.bear(trouble, "filling the gap after the stream opened")
        session.open_stream()
        session.stir()

    def _hear(self, event: UserEvent) -> None:
        if isinstance(event, TradeReport):
            if (event.symbol, event.trade_id) in self._trades_known:
                return
        elif isinstance(event, OrderReport):
            if event.client_order_id in self._ends_known:
                return
        elif not isinstance(event, FlowReport):
            # Balances alone say nothing that a trade or a flow does not explain; the sandwich compares them.
            return
        self._events.append(event)
        self._ear.set()

    def _take_ripe(self) -> list[OrderReport | TradeReport | FlowReport]:
        """Take what may be recorded now; what concerns an order in flight waits for the order's own answer."""
        ripe, unripe = [], []
        for event in self._events:
            if not isinstance(event, FlowReport) and event.client_order_id in self._session.in_flight:
                unripe.append(event)
            elif not self._is_known(event):
                ripe.append(event)
        self._events = deque(unripe)
        return ripe

    def _is_known(self, event: OrderReport | TradeReport | FlowReport) -> bool:
        if isinstance(event, TradeReport):
            return (event.symbol, event.trade_id) in self._trades_known
        return isinstance(event, OrderReport) and event.client_order_id in self._ends_known
