"""One bot of a simulated account: its market walked by the compiled loop, its purse in whole units."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from trading.accounts.plan import AccountBot, PlanImpossible
from trading.bars import Floats, Times
from trading.instruments import Instrument, amount
from trading.kernels import asking
from trading.kernels.backtest import Costs, Fill, Simulation, count_reasons, prepare_backtest, readable_fill
from trading.kernels.runner import JOURNAL_MARGIN
from trading.ledger import UNIT, ZERO
from trading.strategy import BUY, CLOSE, NO_SLOT, DecisionKind, OrderKind, Reason, Record

_FLOAT_UNIT: Final = 1e-8
# More lots than anybody owns: all of them.
_ALL_LOTS: Final = 2**60
_READ_OFTEN: Final = ("asked", "cursor", "cash", "cash_locked", "base_owned", "base_locked", "fill_count", "order_count")

Bytes = npt.NDArray[np.uint8]


class Saved(NamedTuple):
    """What a walk changes, as it was before: bytes, and of them what figures are made from."""

    content: tuple[Bytes, ...]
    fill_count: int
    cash: int
    owned: int


@dataclass(slots=True, eq=False)
class Member:
    """A bot with its market, its orders and its money; `number` is its book, and by it its rank."""

    number: int
    bot: AccountBot
    simulation: Simulation
    # Capital put in and not taken out again.
    net_flows: Decimal = ZERO
    # What a plan still moves: above zero into the book, below zero out of it.
    pending: Decimal = ZERO
    percent: Decimal = ZERO
    target: Decimal = ZERO
    # Refusals of the coordinator by code, and why sales were made that no strategy asked for, by number of the fill.
    refusals: Counter[str] = field(default_factory=Counter)
    sale_reasons: dict[int, str] = field(default_factory=dict)
    # Counts changes of orders and money that were made from outside a walk.
    changes: int = 0
    # The same memory as bytes and as columns: records are slow to copy whole, and slow to read by attribute.
    _content: tuple[Bytes, ...] = field(init=False)
    _cells: dict[str, Times] = field(init=False)
    # Less than this is dust, for figures.
    sale_min: float = field(init=False)

    def __post_init__(self) -> None:
        """Look at the memory of the walk from outside; it stays in its place for good."""
        tape = self.simulation.tape
        changing: tuple[Record, ...] = (self.world, self.simulation.state, tape.book, tape.reasons, tape.denials)
        self._content = tuple(one.view(np.uint8) for one in changing)
        self._cells = {name: self.world[name] for name in _READ_OFTEN}
        self.sale_min = max(float(self.instrument.min_notional), _FLOAT_UNIT)

    @property
    def world(self) -> Record:
        """Return the world of its market."""
        return self.simulation.world

    @property
    def instrument(self) -> Instrument:
        """Return its market."""
        return self.bot.instrument

    @property
    def is_asking(self) -> bool:
        """Say whether decisions wait for the coordinator."""
        return self._cell("asked") > 0

    @property
    def asked_at(self) -> int:
        """Answer the market time of the decisions that wait."""
        return int(self.simulation.tape.times[self._cell("cursor")])

    @property
    def cash(self) -> Decimal:
        """Return the cash that no order has reserved."""
        return amount(self._cell("cash"))

    @property
    def cash_reserved(self) -> Decimal:
        """Return the cash that orders have reserved."""
        return amount(self._cell("cash_locked"))

    @property
    def quantity(self) -> Decimal:
        """Return what it owns of the base asset."""
        return amount(self._cell("base_owned"))

    @property
    def quantity_reserved(self) -> Decimal:
        """Return what orders have reserved of it."""
        return amount(self._cell("base_locked"))

    @property
    def allocation(self) -> Decimal:
        """Return what its orders are sized by."""
        return amount(int(self.world[0].allocation))

    @property
    def fill_count(self) -> int:
        """Count its fills."""
        return self._cell("fill_count")

    def walk(self, until: int) -> None:
        """Walk all base bars that open before `until`, or to the first decision that needs leave."""
        simulation = self.simulation
        simulation.run(int(np.searchsorted(simulation.tape.times, until)))

    def save(self) -> Saved:
        """Copy what a walk changes."""
        cash = self._cell("cash") + self._cell("cash_locked")
        return Saved(tuple(one.copy() for one in self._content), self.fill_count, cash, self._cell("base_owned"))

    def restore(self, saved: Saved) -> None:
        """Go back to what was saved; fills and samples beyond it are written anew by the next walk."""
        for mine, before in zip(self._content, saved.content, strict=True):
            mine[:] = before

    def mark(self, at: int) -> Decimal:
        """Return the close of the last base bar that had closed at a market time."""
        tape = self.simulation.tape
        last = int(np.searchsorted(tape.times, at)) - 1
        return self.instrument.price(int(tape.ticks[CLOSE, max(0, last)]))

    def worth(self, at: int) -> Decimal:
        """Return what the book is worth at the mark."""
        return self.cash + self.cash_reserved + self.quantity * self.mark(at)

    def put_in(self, units: int) -> None:
        """Add units of quote to the book, or take them out."""
        world = self.world[0]
        world.cash += units
        world.is_told = 0
        self.net_flows += amount(units)
        self.changes += 1

    def size_by(self, capital: Decimal) -> None:
        """Have its next orders sized by so much."""
        world = self.world[0]
        world.allocation = int(max(capital, ZERO) // UNIT)
        world.is_told = 0
        self.changes += 1

    def take_over(self, giver: Member, stop_ticks: int, value: Decimal) -> None:
        """Take all that another book owns of the same market at its mark, and guard it by the same stop."""
        mine, its = self.world[0], giver.world[0]
        mine.base_owned += its.base_owned
        mine.cost += int(value // UNIT)
        its.base_owned = its.cost = 0
        giver.net_flows -= value
        self.net_flows += value
        for world in (mine, its):
            world.is_told = 0
        giver.changes += 1
        own = self.stop_ticks or stop_ticks
        if own > 0:
            self._do(DecisionKind.MOVE_STOP, stop_ticks=own, reason=Reason.STOP_PROTECTIVE)
        self.changes += 1

    @property
    def stop_ticks(self) -> int:
        """Answer the price of its live stop, or zero."""
        stops = [int(order["ticks"]) for order in self.orders() if order["kind"] == OrderKind.STOP]
        return stops[0] if stops else 0

    def orders(self) -> Record:
        """Return its live orders."""
        live: Record = self.world["orders"][0, : self._cell("order_count")]
        return live

    def cancel(self, *, entries_only: bool) -> None:
        """Call off its buys, or all its orders."""
        asking.call_off(self.world, int(entries_only))
        self.changes += 1

    def sell_out(self, reason: str) -> None:
        """Call off everything and sell all whole lots at the open of the next base bar."""
        self.cancel(entries_only=False)
        first = self.fill_count
        self._do(DecisionKind.EXIT, lots=_ALL_LOTS)
        self.sale_reasons.update(dict.fromkeys(range(first, self.fill_count), reason))

    @property
    def is_buying(self) -> bool:
        """Say whether an order of it would buy."""
        return bool((self.orders()["side"] == BUY).any())

    def is_sellable(self, at: int) -> bool:
        """Say whether the exchange would take what it owns; dust it would not."""
        instrument = self.instrument
        lots = instrument.lots_floor(self.quantity)
        quantity = instrument.quantity(lots)
        return lots > 0 and quantity >= instrument.min_quantity and quantity * self.mark(at) >= instrument.min_notional

    def size(self) -> None:
        """Size the decisions that wait, all of them before one is carried out."""
        self._make_room()
        asking.size_asked(self.world, self.simulation.tape)

    def answered(self) -> None:
        """Walk on: what waited has been carried out or refused."""
        self.world[0].asked = 0
        self.changes += 1

    def carry_out(self, k: int) -> int:
        """Carry out one of the sized decisions; answer why not, or NONE."""
        self.changes += 1
        return int(asking.carry_out(self.world, self.simulation.tape, k))

    def fills(self) -> tuple[Fill, ...]:
        """Return its fills as the exchange would report them."""
        journal = self.simulation.tape.journal[: self.fill_count]
        return tuple(readable_fill(row, self.instrument) for row in journal)

    def denials(self) -> dict[str, int]:
        """Count what was denied, by code: by sizing and market, and by the coordinator."""
        return dict(sorted((Counter(count_reasons(self.simulation.tape.denials)) + self.refusals).items()))

    def closes_at(self, moments: Times) -> Floats:
        """Return, for each moment, the close of the last base bar that had closed."""
        tape = self.simulation.tape
        last = np.maximum(np.searchsorted(tape.times, moments) - 1, 0)
        closes: Floats = tape.ticks[CLOSE, last] * float(self.instrument.tick_size)
        return closes

    def worth_at(self, moments: Times, closes: Floats, before: Saved) -> tuple[Floats, Floats]:
        """Return what its coins, and what all of the book was worth at moments since `before`; samples, never money."""
        cash, owned = before.cash, before.owned
        journal = self.simulation.tape.journal[before.fill_count : self.fill_count]
        if not len(journal):
            held = owned * _FLOAT_UNIT * closes
            return held, cash * _FLOAT_UNIT + held
        done = np.searchsorted(journal["time"], moments)
        cash_then = np.append(cash, journal["cash_after"])[done]
        held_then = np.append(owned, journal["base_after"])[done] * _FLOAT_UNIT * closes
        return held_then, cash_then * _FLOAT_UNIT + held_then

    def _cell(self, name: str) -> int:
        return int(self._cells[name][0])

    def _do(self, kind: DecisionKind, *, lots: int = 0, stop_ticks: int = 0, reason: Reason = Reason.NONE) -> None:
        self._make_room()
        order = self.simulation.tape.sized[0]
        order.kind, order.symbol, order.slot, order.side = int(kind), 0, NO_SLOT, -BUY
        order.lots, order.limit_ticks, order.stop_ticks = lots, 0, stop_ticks
        order.reason, order.deny = int(reason), int(Reason.NONE)
        asking.come_to_open(self.world, self.simulation.tape)
        self.carry_out(0)

    def _make_room(self) -> None:
        if self.fill_count + JOURNAL_MARGIN > len(self.simulation.tape.journal):
            self.simulation.lengthen_journal()


def join(number: int, bot: AccountBot, *, begin: int, end: int, costs: Costs) -> Member:
    """Warm a bot up to its first bar after the beginning; it has no money yet."""
    last = int(np.searchsorted(bot.candles.times, end))
    candles = type(bot.candles)(bot.candles.interval_ms, bot.candles.times[:last], bot.candles.values[:, :last].copy())
    simulation = prepare_backtest(
        definition=bot.definition,
        params=bot.params,
        candles=candles,
        interval_ms=bot.interval_ms,
        instrument=bot.instrument,
        costs=costs,
        allocation=Decimal(1),
        anchor=bot.anchor,
        start=begin,
    )
    world = simulation.world[0]
    needed = bot.definition.warmup_bars(bot.params)
    if world.first_bar < needed:
        raise PlanImpossible(f"{bot.key} needs {needed} candles before the beginning to warm up, not {int(world.first_bar)}")
    world.allocation = world.cash = 0
    world.asks = 1
    return Member(number, bot, simulation)
