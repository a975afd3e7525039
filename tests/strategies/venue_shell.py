"""A small paper shell on the venue's own engine: the other reading of the rules that a backtest matches by."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import count
from typing import Any

import numpy as np

from tests.strategies.cases import ALLOCATION
from trading import books, live_step
from trading.costs import rate_ppm
from trading.instruments import instrument_numbers, units
from trading.kernels.backtest import Costs, Simulation
from trading.paths import bar_path, path_time
from trading.sizing import SIZED_DTYPE, size_decisions
from trading.strategy import MAX_DECISIONS, NO_SLOT, DecisionKind, OrderKind, Reason, new_book
from venue.accounts import Account
from venue.errors import ApiError
from venue.listings import listing
from venue.matching.engine import Engine
from venue.matching.terms import Terms
from venue.orders import Order, OrderRequest, Trade


@dataclass
class VenueShell:
    """Runs a prepared simulation's strategy on the venue's engine instead of the backtest's matching."""

    simulation: Simulation
    costs: Costs
    symbol: str = "ETHUSDT"
    trades: list[Trade] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.terms = Terms(
            half_spread_ppm=rate_ppm(self.costs.half_spread),
            slippage_ppm=rate_ppm(self.costs.slippage),
            participation_ppm=rate_ppm(self.costs.participation),
            maker_fee_ppm=rate_ppm(self.costs.maker_fee),
            taker_fee_ppm=rate_ppm(self.costs.taker_fee),
        )
        self.engine = Engine([listing(self.symbol)], self.terms, wall_ms=lambda: 0)
        self.account = Account(1, "test", "key", "secret", 0)
        self.engine.accounts[1] = self.account
        self.account.balance("USDT").free = units(ALLOCATION)
        self.book = self.engine.books[self.symbol]
        self.tick = self.book.listing.tick
        self.known: dict[int, tuple[OrderKind, int, int]] = {}
        self.told = 0
        self.client_ids = count(1)
        self.state = live_step.state_to_bytes(self.simulation.definition, self.simulation.state)

    def run(self) -> None:
        """Walk every base bar: open, decide, walk the path."""
        tape = self.simulation.tape
        for b in range(int(self.simulation.world[0].cursor), len(tape.times)):
            opened, high, low, close = (int(price) * self.tick for price in tape.ticks[:, b])
            self.engine.now = int(tape.times[b])
            self.book.open_bar(opened, int(tape.volume_lots[b]) * self.book.listing.step)
            self._move(opened, opened, lambda _level: self.engine.now)
            if tape.closes[b] >= self.simulation.world[0].first_bar:
                self._decide(int(tape.closes[b]))
            path = bar_path(opened, high, low, close)
            for segment in range(3):
                self._walk(b, segment, path[segment], path[segment + 1])

    def _walk(self, b: int, segment: int, start: int, end: int) -> None:
        open_time, interval = int(self.simulation.tape.times[b]), int(self.simulation.world[0].bar_length)

        def when(level: int) -> int:
            travelled = max(0, (level - start) if end >= start else (start - level))
            return path_time(open_time, interval, segment, travelled, abs(end - start))

        self._move(start, end, when)

    def _move(self, start: int, end: int, when: Any) -> None:
        self.engine.move(self.symbol, start, end, when)
        self.trades += self.engine.take_journal().trades

    def _decide(self, bar: int) -> None:
        simulation = self.simulation
        book = new_book()
        self._fill_book(book, float(simulation.tape.panel[3, 0, bar]))
        panel = np.ascontiguousarray(simulation.tape.panel[:, :, bar : bar + 1])
        times = simulation.strategy_times[bar : bar + 1]
        result = live_step.run_step(simulation.definition, simulation.params, self.state, panel, times, 0, book)
        self.state = result.state_bytes
        sized = np.zeros(MAX_DECISIONS, dtype=SIZED_DTYPE)
        size_decisions(result.records, result.count, book, instrument_numbers(simulation.instrument), sized)
        for order in sized[: result.count]:
            if order.deny == Reason.NONE:
                self._execute(order)

    def _fill_book(self, book: Any, close: float) -> None:
        quote, base = self.account.balance("USDT"), self.account.balance("ETH")
        books.set_terms(book, self.terms.taker_fee_ppm, self.terms.maker_fee_ppm, self.terms.half_spread_ppm)
        stop = max((order.stop_price for order in self.account.open_orders.values()), default=0)
        numbers = instrument_numbers(self.simulation.instrument)
        books.set_position(book, numbers, 0, base.free + base.locked, base.free, 0, stop, close)
        books.set_money(book, units(ALLOCATION), quote.free, quote.locked, quote.free + quote.locked - units(ALLOCATION))
        for order in self.account.open_orders.values():
            kind, slot, _ = self.known[order.order_id]
            side = 1 if order.is_buy else -1
            books.add_order(book, 0, slot, side, kind.value, order.price or order.stop_price, order.remaining, order.executed)
        for trade in self.trades[self.told :]:
            kind, slot, reason = self.known[trade.order_id]
            side = 1 if trade.side == "BUY" else -1
            books.add_fill(book, 0, slot, side, kind.value, reason, trade.quantity, trade.price, trade.fee)
        self.told = len(self.trades)

    def _execute(self, sized: Any) -> None:
        kind = DecisionKind(int(sized.kind))
        lots, stop = int(sized.lots) * self.book.listing.step, int(sized.stop_ticks) * self.tick
        limit, reason = int(sized.limit_ticks) * self.tick, int(sized.reason)
        if kind == DecisionKind.ENTER:
            before = len(self.trades)
            self._send(OrderKind.ENTRY, reason, side="BUY", type="LIMIT", time_in_force="IOC", quantity=lots, price=limit)
            if len(self.trades) > before and stop:
                self._protect(stop, reason)
        elif kind == DecisionKind.EXIT:
            self._cancel(lambda order: not order.is_buy)
            self._send(OrderKind.EXIT, reason, side="SELL", type="MARKET", quantity=lots)
            if stop:
                self._protect(stop, reason)
        elif kind == DecisionKind.PLACE:
            side = "BUY" if sized.side > 0 else "SELL"
            self._send(OrderKind.LIMIT, reason, slot=int(sized.slot), side=side, type="LIMIT_MAKER", quantity=lots, price=limit)
        elif kind == DecisionKind.CANCEL:
            self._cancel(lambda order: self.known[order.order_id][1] == sized.slot)
        elif kind == DecisionKind.MOVE_STOP:
            self._protect(stop, reason)

    def _protect(self, stop: int, reason: int) -> None:
        self._cancel(lambda order: order.stop_price > 0)
        step = self.book.listing.step
        free = self.account.balance("ETH").free // step * step
        if free and not self._send(OrderKind.STOP, reason, side="SELL", type="STOP_LOSS", quantity=free, stop_price=stop):
            # The price is through it: what it was to guard is sold.
            passed = Reason.STOP_WOULD_TRIGGER.value
            self._send(OrderKind.STOP, passed, side="SELL", type="MARKET", quantity=free)

    def _cancel(self, wanted: Any) -> None:
        for order in [order for order in self.account.open_orders.values() if wanted(order)]:
            self.engine.cancel(self.account, self.symbol, order_id=order.order_id, client_order_id=None, new_client_id="x")

    def _send(self, kind: OrderKind, reason: int, *, slot: int = NO_SLOT, **terms: Any) -> bool:
        """Send an order; answer whether the exchange takes it."""
        request = OrderRequest(symbol=self.symbol, client_order_id=f"c{next(self.client_ids)}", **terms)
        order: Order
        try:
            order, trades = self.engine.place(self.account, request)
        except ApiError:
            return False
        self.known[order.order_id] = (kind, slot, reason)
        self.trades += trades
        self.engine.take_journal()
        return True
