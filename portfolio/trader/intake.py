"""Take in what happened on the account: from the user stream at once, from the exchange's history without a gap."""

from __future__ import annotations

import asyncio
from collections import defaultdict, deque
from collections.abc import Iterable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Final

import structlog

from exchange.errors import AnswerNotOurs, ExchangeTrouble, Outcome
from exchange.ports import FlowReport, StreamGap, StreamOpen, UserEvent
from portfolio.trader import metrics, notes, records
from portfolio.trader.crash_points import crash_point
from portfolio.trader.session import Session
from trading.orders import FINAL_STATUSES, OrderReport, TradeReport

log = structlog.get_logger()
_REMEMBERED_MAX: Final = 4096
# Trades of the history in one transaction: the account is locked while they are posted.
TRADES_AT_ONCE: Final = 100
# What an answer or the history has told, a stream that works repeats within this time (U07).
ECHO_SECONDS: Final = 10.0


class Intake:
    """The only way in for trades, reports and flows that nobody asked for."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._events: deque[OrderReport | TradeReport | FlowReport] = deque()
        self._ear = session.ear()
        # Trades and ends that are recorded: the stream repeats what an answer has told already.
        self._trades_known: dict[tuple[str, int], None] = {}
        self._ends_known: dict[str, None] = {}
        # Trades that the stream has told, and those that it still owes us, with the moment since when.
        self._heard: dict[tuple[str, int], None] = {}
        self._owed: dict[tuple[str, int], float] = {}
        self._reading = asyncio.Lock()

    async def follow_stream(self) -> None:
        """Listen to the account for ever; after each opening the history fills what was missed."""
        async for event in self._session.port.user_events():
            if isinstance(event, StreamOpen):
                await self._after_opening()
            elif isinstance(event, StreamGap):
                log.warning("stream.gap", account=self._session.account_id, reason=event.reason[:200])
                metrics.count_disconnect("user")
                self._session.is_stream_open = False
                self._owed.clear()
            else:
                self._hear(event)

    async def apply_stream(self) -> None:
        """Record what was heard, in the order it came, many events in one transaction."""
        while True:
            await self._mind_silence()
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
        for known in (self._trades_known, self._ends_known, self._heard):
            while len(known) > _REMEMBERED_MAX:
                del known[next(iter(known))]  # type: ignore[arg-type]

    def expect_echo(self, trades: Iterable[TradeReport]) -> None:
        """Note trades that we learned of without the stream: if it works, it tells them too."""
        if self._session.is_stream_open:
            for trade in trades:
                if (trade.symbol, trade.trade_id) not in self._heard:
                    self._owed.setdefault((trade.symbol, trade.trade_id), self._session.monotonic())

    async def fill_gaps(self, symbols: Iterable[str], *, again: Mapping[str, int] = MappingProxyType({})) -> int:
        """Read the history of these symbols from where it was left, or again from a trade, and post what is new.

        Answers how many trades were.
        """
        session = self._session
        async with self._reading:
            found: list[TradeReport] = []
            for symbol in symbols:
                unread = session.cursors.get(symbol, -1) + 1
                found += await session.port.trades_since(symbol, min(unread, again.get(symbol, unread)))
            if not found:
                return 0
            # In the order of the market: what was bought in one symbol may have paid for another.
            found.sort(key=lambda trade: (trade.traded_at, trade.trade_id))
            count = await self._post(found)
        if count:
            log.info("trades.caught_up", account=session.account_id, count=count)
            session.stir()
        return count

    async def _post(self, found: list[TradeReport]) -> int:
        """Post trades of the history; the cursors move only when each of them has an owner."""
        session = self._session
        # What traded before the account was opened here is in its opening balances.
        trades = [trade for trade in found if session.opened_at is None or trade.traded_at >= session.opened_at]
        missing, nameless = await session.answers.run(records.missing_trades, session.account_id, trades)
        names = await self._names_of(nameless)
        count, is_whole = 0, True
        for begin in range(0, len(missing), TRADES_AT_ONCE):
            batch = [
                replace(trade, client_order_id=names.get((trade.symbol, trade.exchange_order_id)))
                for trade in missing[begin : begin + TRADES_AT_ONCE]
            ]
            posted = await session.answers.run(records.record_trades, session.account_id, session.epoch, batch, now=session.now())
            crash_point("after_gap_fill")
            count += posted.count
            self.expect_echo(trade for trade in batch if (trade.symbol, trade.trade_id) in posted.trades)
            if posted.orders_unknown:
                is_whole = False
                log.error("trade.owner_unknown", account=session.account_id, orders=sorted(posted.orders_unknown)[:5])
        self.remember(trades)
        # Oldest first, so the last one of each symbol is the newest.
        newest = {trade.symbol: max(trade.trade_id, session.cursors.get(trade.symbol, -1)) for trade in found}
        session.cursors.update(newest)
        if is_whole:
            await session.database.run(notes.move_cursors, session.account_id, session.epoch, newest, now=session.now())
        return count

    async def _names_of(self, orders: set[tuple[str, str]]) -> dict[tuple[str, str], str]:
        """Ask the exchange what orders of these numbers are called."""
        names: dict[tuple[str, str], str] = {}
        numbers: defaultdict[str, list[str]] = defaultdict(list)
        for symbol, number in orders:
            numbers[symbol].append(number)
        for symbol, wanted in sorted(numbers.items()):
            told = await self._session.port.names_of(symbol, sorted(wanted))
            names |= {(symbol, number): name for number, name in told.items()}
        return names

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

    async def _mind_silence(self) -> None:
        """Open a new stream when this one is there and does not tell what has happened."""
        oldest = min(self._owed.values(), default=None)
        if oldest is None or self._session.monotonic() - oldest < ECHO_SECONDS:
            return
        log.error("stream.silent", account=self._session.account_id, trades_owed=len(self._owed))
        self._owed.clear()
        self._session.is_stream_open = False
        await self._session.port.reopen_stream("The stream does not tell what has happened.")

    def _hear(self, event: UserEvent) -> None:
        if isinstance(event, TradeReport):
            self._heard[event.symbol, event.trade_id] = None
            self._owed.pop((event.symbol, event.trade_id), None)
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
