"""Everything of one history: the loop, the exchange, the store, and the traders that come and go."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from decimal import Decimal
from random import Random
from typing import Any, Final

from exchange.ports import OrderTicket
from tests.simulation.clock import VirtualLoop
from tests.simulation.exchange import Exchange, Pair
from tests.simulation.faults import QUOTE_FEES, TAKERS_GIVE_WAY, Faults
from tests.simulation.invariants import Violation
from tests.simulation.shells import Shell
from tests.simulation.trader import CRASHING, SimulatedTrader
from trading.desk.rows import ENTRIES
from trading.order_status import SENDING, UNKNOWN

D = Decimal
BALANCES: Final = {"USDT": D(7000), "BNB": D("1.5")}
# What writes for certain when it returns.
_FENCED: Final = frozenset(
    (
        "record_answer",
        "record_answers",
        "record_events",
        "record_trades",
        "record_absence",
        "record_unknown",
        "move_cursors",
        "halt",
    )
)
CURRENT: ContextVar[SimulatedTrader | None] = ContextVar("CURRENT", default=None)


class World:
    """What the parts of a history share."""

    def __init__(self, loop: VirtualLoop, shell: Shell, random: Random, faults: Faults) -> None:
        self.loop = loop
        self.shell = shell
        self.random = random
        self.faults = faults
        self.exchange = Exchange(
            [
                Pair("BTCUSDT", "BTC", "USDT", D("0.01"), D("0.00001"), D(50000)),
                Pair("ETHUSDT", "ETH", "USDT", D("0.01"), D("0.0001"), D(2500)),
                # Nobody trades it here; fees are paid in its base.
                Pair("BNBUSDT", "BNB", "USDT", D("0.1"), D("0.001"), D(400)),
            ],
            dict(BALANCES),
            random=random,
            clock=loop.time,
        )
        self.exchange.tell = self._tell
        self.exchange.lag_seconds = self._lag_seconds
        if faults.strikes(QUOTE_FEES):
            self.exchange.fees_in_quote = True
            shell.take_fees_in_quote()
        if faults.strikes(TAKERS_GIVE_WAY):
            shell.expire_takers_alone()
        self.traders: list[SimulatedTrader] = []
        self.stirs: list[Callable[[], None]] = []
        self.passed: Counter[str] = Counter()
        # Set by an exhaustive sweep: die at the k-th pass of a point.
        self.deadly: dict[tuple[str, int], bool] = {}
        # What becomes of the next order of a book, by the book's number, where a sweep says so.
        self.fates: dict[str, str] = {}
        self.diary: list[str] = []
        self.sent: Counter[str] = Counter()
        self.claimed_before_kill: set[str] = set()
        # Until then a request may still be on its way to the exchange.
        self.wire_busy_until = 0.0
        loop.set_task_factory(_owned_task)

    @property
    def trader(self) -> SimulatedTrader:
        """Return the newest trader."""
        return self.traders[-1]

    def note(self, text: str) -> None:
        """Write into the history's diary."""
        self.diary.append(f"{self.loop.time():9.3f} {text}")

    @contextmanager
    def owning(self, trader: SimulatedTrader) -> Iterator[None]:
        """Have every task that begins here, and all that they begin, belong to a trader."""
        token = CURRENT.set(trader)
        try:
            yield
        finally:
            CURRENT.reset(token)

    def start_trader(self) -> SimulatedTrader:
        """Start a process; it takes the lease."""
        trader = SimulatedTrader(self)
        self.traders.append(trader)
        self.note(f"trader {trader.epoch} starts")
        trader.start()
        return trader

    def stir(self) -> None:
        """Ring the doorbell: whoever listens looks."""
        for stir in self.stirs[-2:]:
            stir()

    def dies_at(self, point: str, trader: SimulatedTrader) -> bool:
        """Say whether a trader dies at this point."""
        if self.deadly.pop((point, self.passed[point]), False):
            self.faults.crashed_at[point] += 1
            self.note(f"trader {trader.epoch} dies at {point}")
            return True
        if self.faults.kills_at(point, is_recovering=not trader.is_recovered):
            self.note(f"trader {trader.epoch} dies at {point}")
            return True
        return False

    def note_sent(self, ticket: OrderTicket, trader: SimulatedTrader) -> None:
        """Check what is about to leave: a claimed order, for the first time (I-12, I-18)."""
        row = self.shell.order(ticket.client_order_id)
        self.sent[ticket.client_order_id] += 1
        self.note(f"trader {trader.epoch} sends {ticket.client_order_id} {ticket.side} {ticket.type} {ticket.quantity}")
        if self.sent[ticket.client_order_id] > 1:
            raise Violation(f"I-12 {ticket.client_order_id} was sent twice")
        if row.status not in (SENDING, UNKNOWN) or row.attempt != 1:
            raise Violation(f"I-18 {ticket.client_order_id} was sent while {row.status}, attempt {row.attempt}")
        is_late = self.shell.killed_at is not None and ticket.client_order_id not in self.claimed_before_kill
        if is_late and row.intent.kind in ENTRIES:
            raise Violation(f"I-45 {ticket.client_order_id} was sent after the kill")

    def before_call(self, name: str) -> None:
        """Strike where it hurts most: a kill between the last look at an order and its claim."""
        if name == "mark_sending" and self.shell.killed_at is None and self.faults.strikes("kill"):
            self.kill()

    def go_to(self, symbol: str, price: Decimal) -> None:
        """Have a market go to a price, and the account know it."""
        self.note(f"{symbol} goes to {price}")
        self.exchange.move(symbol, price)
        self.shell.set_mark(list(self.exchange.pairs).index(symbol) + 1, price)

    def kill(self) -> None:
        """Have a person kill the account; what was claimed before may still leave (I-45)."""
        self.note("kill")
        self.claimed_before_kill = {row.client_order_id for row in self.shell.tables().orders.values() if row.attempt}
        self.shell.kill(now=self.loop.now())
        self.stir()

    def check_fence(self, trader: SimulatedTrader, name: str, result: object) -> None:
        """Check that a trader whose lease has passed on has written nothing (I-34)."""
        if trader.epoch < self.trader.epoch and (name in _FENCED or (name == "mark_sending" and result)):
            raise Violation(f"I-34 trader {trader.epoch} wrote {name} while {self.trader.epoch} has the lease")

    def _tell(self, kind: str, what: object) -> None:
        for trader in self.traders[-2:]:
            if not trader.is_dead:
                trader.port.hear(kind, what)

    def _lag_seconds(self) -> float:
        if self.faults.strikes("lag_short"):
            return self.random.uniform(0.1, 7.0)
        if self.faults.strikes("lag_long"):
            return self.random.uniform(12.0, 60.0)
        return 0.0


def _owned_task(loop: asyncio.AbstractEventLoop, coroutine: Any, **kwargs: Any) -> asyncio.Task[Any]:
    task: asyncio.Task[Any] = asyncio.Task(coroutine, loop=loop, **kwargs)
    trader = CURRENT.get()
    if trader is not None:
        trader.tasks.append(task)
        if trader.is_dead:
            task.cancel()
    return task


def crash_point(name: str) -> None:
    """Stand in for the trader's own crash points: the history says where a trader dies."""
    trader = CURRENT.get()
    if trader is not None:
        trader.crash_point(name)


@contextmanager
def crash_points_are_ours() -> Iterator[None]:
    """Put the simulation's crash points in the place of the real ones."""
    before = [vars(module)["crash_point"] for module in CRASHING]
    for module in CRASHING:
        vars(module)["crash_point"] = crash_point
    try:
        yield
    finally:
        for module, original in zip(CRASHING, before, strict=True):
            vars(module)["crash_point"] = original
