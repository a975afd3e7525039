"""One bot of a simulated account: its markets walked by the compiled loop, its purse in whole units."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cached_property
from operator import mul
from typing import Final

import numpy as np

from trading.accounts.plan import AccountBot
from trading.accounts.walks import Saved, Walk
from trading.instruments import UNITS_PER_ONE, Instrument, amount, units, whole_units
from trading.kernels import asking
from trading.kernels.backtest import Fill, count_reasons, readable_fill
from trading.kernels.panel_world import PanelTape
from trading.kernels.roughness import DEEPER
from trading.kernels.runner import JOURNAL_MARGIN, WALKED
from trading.kernels.world import ORDER_DTYPE, buy_cost
from trading.ledger import UNIT, ZERO
from trading.risk import HUNDREDTH
from trading.strategy import BUY, MAX_DECISIONS, NO_SLOT, DecisionKind, OrderKind, Reason, Record, View

FLOAT_UNIT: Final = 1e-8
# More lots than anybody owns: all of them.
_ALL_LOTS: Final = 2**60
_TRADING: Final = (DecisionKind.ENTER, DecisionKind.EXIT, DecisionKind.PLACE)
_NOTHING: Final = np.zeros(0, dtype=ORDER_DTYPE)
# Later than anything happens.
NEVER: Final = 2**62


@dataclass(eq=False)
class Member:
    """A bot with its markets, its orders and its money; `number` is its book, and by it its rank."""

    number: int
    bot: AccountBot
    walked: Walk
    # Capital put in and not taken out again.
    net_flows: Decimal = ZERO
    # What a plan still moves: above zero into the book, below zero out of it.
    pending: Decimal = ZERO
    percent: Decimal = ZERO
    target: Decimal = ZERO
    # Refusals of the coordinator by code, and why sales were made that no strategy asked for, by number of the order.
    refusals: Counter[str] = field(default_factory=Counter)
    sale_reasons: dict[int, str] = field(default_factory=dict)
    # Counts changes of orders and money that were made from outside a walk.
    changes: int = 0
    # When it stopped: because it asks, or because the next bar meets its orders.
    event: int = NEVER
    is_asking: bool = False
    # From when on and until when it is refused entries while it walks alone, because it is another's turn.
    away: tuple[int, int] = (0, 0)

    def __post_init__(self) -> None:
        """Look at the memory of the walk from outside; it stays in its place for good."""
        self.simulation = self.walked.simulation
        self.worlds = self.walked.worlds
        self.instruments = self.bot.instruments
        self._cells = self.walked.now
        world = self.worlds[0]
        self.is_late = bool(world["latency_ms"] > 0)
        # Whether orders may trade that rest nowhere.
        self.may_wait = self.is_late or bool(world["rest_rule"] != DEEPER)
        self.in_quote = bool(world["fee_in_quote"])
        self._sent_before: Record = self.simulation.tape.sized[:0]
        self._until = -1
        self._stop = 0
        share, whole = (self.bot.position_cap_percent * HUNDREDTH).as_integer_ratio()
        self._cap_share = share, whole * UNITS_PER_ONE
        # The marks of one moment: they are asked for again and again.
        self._marked_at = -1
        self._marks: list[int] = []
        self._tick_units = [units(one.tick_size) for one in self.instruments]

    @cached_property
    def quote(self) -> str:
        """Return what its markets are paid in."""
        return self.bot.quote

    @property
    def asked(self) -> int:
        """Count the decisions that wait for the coordinator."""
        return int(self._cells["asked"][0])

    @property
    def cash(self) -> Decimal:
        """Return the cash that no order has reserved."""
        return amount(self.cash_units)

    @property
    def cash_units(self) -> int:
        """Count the units of quote that no order has reserved."""
        return int(self._cells["cash"][0]) - self._kept_back()

    @property
    def cash_reserved(self) -> Decimal:
        """Return the cash that orders have reserved."""
        return amount(int(self._cells["cash_locked"][0]) + self._kept_back())

    def quantity(self, market: int) -> Decimal:
        """Return what it owns of the base asset of a market."""
        return amount(int(self._cells["base_owned"][market]))

    def quantity_reserved(self, market: int) -> Decimal:
        """Return what orders have reserved of it."""
        return amount(int(self._cells["base_locked"][market]))

    @property
    def allocation(self) -> Decimal:
        """Return what its orders are sized by."""
        return amount(int(self._cells["allocation"][0]))

    @property
    def position_cap(self) -> float:
        """Return what it may hold of one market, in quote."""
        # A quotient of whole numbers is rounded but once, and made much faster than an amount.
        share, whole = self._cap_share
        return int(self._cells["allocation"][0]) * share / whole

    @property
    def fill_count(self) -> int:
        """Count its fills."""
        return int(self._cells["fill_count"][0])

    @property
    def filled_at(self) -> int:
        """Answer when its newest fill was; zero before the first."""
        return int(self.simulation.tape.journal[self.fill_count - 1]["time"]) if self.fill_count else 0

    def walk(self, until: int) -> None:
        """Walk all base bars that open before `until`, or to the first that needs leave or meets an order."""
        times, cells = self.simulation.tape.times, self.walked.now
        if until != self._until:
            self._until, self._stop = until, int(times.searchsorted(until))
        self.simulation.run(self._stop)
        # What was on its way may have arrived and come to nothing.
        self.changes += self.may_wait
        self.is_asking = bool(cells["asked"][0])
        self.event = NEVER if cells["status"][0] == WALKED else int(times[cells["cursor"][0]])

    def walk_alone(self, until: int) -> None:
        """Walk so, but be turned away on the way where it is not its turn."""
        since, away_until = self.away
        cells = self.walked.now
        cells["away_from"][0], cells["away_until"][0] = since, away_until
        self.walk(until)
        cells["away_until"][0] = 0

    def pass_on(self) -> None:
        """Let it walk over the bar that meets its orders, and show the others what there was before."""
        self.walked.shown_content[:] = self.walked.content[0]
        if self.is_late:
            self._sent_before = self.simulation.tape.sized[: int(self.worlds[0]["sent"])].copy()
        self.walked.now["passes"][0] = 1

    def look_back(self, *, is_back: bool) -> None:
        """Have everybody read what was before it passed, or what is now."""
        self._cells = self.walked.back if is_back else self.walked.now
        self.changes += self.may_wait

    def save(self) -> Saved:
        """Copy what a walk changes."""
        cells = self.walked.now
        cash = int(cells["cash"][0]) + int(cells["cash_locked"][0])
        content = [one.copy() for one in self.walked.content]
        return Saved(content, int(cells["fill_count"][0]), cash, cells["base_owned"].copy())

    def restore(self, saved: Saved) -> None:
        """Go back to what was saved; fills and samples beyond it are written anew by the next walk."""
        for mine, before in zip(self.walked.content, saved.content, strict=True):
            mine[:] = before
        self.went_back()

    def went_back(self) -> None:
        """Take note that all it remembers is what it was before: its strategy is told its book anew."""
        self._is_moved()

    def mark(self, market: int, at: int) -> Decimal:
        """Return the close of the last base bar of a market that had closed at a market time."""
        return self.instruments[market].price(self._ticks(at)[market])

    def worth(self, at: int) -> Decimal:
        """Return what the book is worth at the marks."""
        return Decimal(self._worth(at)).scaleb(-16)

    def worth_units(self, at: int) -> int:
        """Return what it is worth in whole units of quote, rounded down."""
        return self._worth(at) // UNITS_PER_ONE

    def _worth(self, at: int) -> int:
        """Count its worth in units of units: whole numbers are added up much faster than amounts."""
        # What buys keep back that rest nowhere is cash all the same.
        money = (int(self._cells["cash"][0]) + int(self._cells["cash_locked"][0])) * UNITS_PER_ONE
        owned = self._cells["base_owned"].tolist()
        return money + sum(map(mul, owned, map(mul, self._tick_units, self._ticks(at)))) if any(owned) else money

    def put_in(self, moved: int) -> None:
        """Add units of quote to the book, or take them out."""
        self.walked.now["cash"][0] += moved
        self._count_capital(amount(moved))

    def size_by(self, capital: Decimal) -> None:
        """Have its next orders sized by so much."""
        self.size_by_units(int(max(capital, ZERO) // UNIT))

    def size_by_units(self, allocation: int) -> None:
        """Have its next orders sized by so many units of quote."""
        if allocation != self.walked.now["allocation"][0]:
            self.walked.now["allocation"][0] = allocation
            self._is_moved()

    def wait_for(self, missing: Decimal) -> None:
        """Remember what a plan still moves into the book (above zero) or out of it (below), and show no cash that leaves."""
        self.pending = missing
        self.walked.now["leaving"][0] = -whole_units(min(missing, ZERO))
        self._is_moved()

    def show(self, view: View, at: int) -> None:
        """Show its strategy no more of the book than this at a bar that closes now."""
        if view == View.WHOLE:
            return
        self.walked.now["veil"][0], self.walked.now["veiled_until"][0] = int(view), at
        self._is_moved()

    def take_over(self, giver: Member, its_market: int, stop_ticks: int, value: Decimal) -> None:
        """Take all that another book owns of a market at its mark, and guard it by the same stop."""
        market = self.market_of(giver.instruments[its_market])
        assert market is not None
        mine, its = self.worlds[market], giver.worlds[its_market]
        mine.base_owned += its.base_owned
        mine.cost += int(value // UNIT)
        its.base_owned = its.cost = 0
        giver._count_capital(-value)
        self._count_capital(value)
        own = self.stop_ticks(market) or stop_ticks
        if own > 0:
            self._do(DecisionKind.MOVE_STOP, market, stop_ticks=own, reason=Reason.STOP_PROTECTIVE)

    def market_of(self, instrument: Instrument) -> int | None:
        """Answer which of its markets this is, if it is one."""
        return self.instruments.index(instrument) if instrument in self.instruments else None

    def stop_ticks(self, market: int) -> int:
        """Answer the price of its live stop in a market, or zero."""
        stops = [int(order["ticks"]) for order in self.orders(market) if order["kind"] == OrderKind.STOP]
        return stops[0] if stops else 0

    def orders(self, market: int) -> Record:
        """Return its live orders in a market."""
        live: Record = self._worlds["orders"][market, : int(self._cells["order_count"][market])]
        return live

    def waiting(self, market: int) -> Record:
        """Return what may still trade in a market and rests nowhere: decisions on their way, and what is left of a market order.

        As orders with numbers that no order has yet; the price of one that takes whatever there is means nothing.
        """
        if not self.may_wait:
            return _NOTHING
        world = self._worlds[market]
        found = [
            (row["slot"], row["side"], row["limit_ticks"], row["lots"], row["reason"])
            for row in self._sent()
            if row["symbol"] == market and row["kind"] in _TRADING and row["deny"] == Reason.NONE
        ]
        if world["rest_lots"] > 0:
            found.append((NO_SLOT, world["rest_side"], world["rest_limit"], world["rest_lots"], world["rest_reason"]))
        orders = np.zeros(len(found), dtype=ORDER_DTYPE)
        first = int(self._worlds[0]["next_id"]) + market * len(self.simulation.tape.sized)
        for k, (slot, side, ticks, lots, reason) in enumerate(found):
            orders[k] = (first + k, slot, side, OrderKind.LIMIT, ticks, lots, 0, reason)
        return orders

    def open_sides(self) -> list[int]:
        """List on which side each of its orders is that may still trade, in all its markets."""
        if not (self.may_wait or any(self._cells["order_count"].tolist())):
            return []
        return [
            side
            for market in range(len(self.instruments))
            for orders in (self.orders(market), self.waiting(market))
            for side in orders["side"].tolist()
        ]

    def is_being_sold(self, market: int) -> bool:
        """Say whether what thin candles left of a sale is waiting for the next."""
        world = self._worlds[market]
        return bool(world["rest_lots"] > 0 and world["rest_side"] != BUY)

    @property
    def is_idle(self) -> bool:
        """Say whether it neither owns anything nor has an order that could trade."""
        return not (self.may_wait or self._held() or any(self._cells["order_count"].tolist()))

    def _ticks(self, at: int) -> list[int]:
        if at != self._marked_at:
            last = max(0, int(self.simulation.tape.times.searchsorted(at)) - 1)
            self._marks = self.walked.closes[:, last].tolist()
            self._marked_at = at
        return self._marks

    def _held(self) -> list[int]:
        return [market for market, owned in enumerate(self._cells["base_owned"].tolist()) if owned]

    @property
    def _worlds(self) -> Record:
        return self.worlds if self._cells is self.walked.now else self.walked.shown

    def _sent(self) -> Record:
        """Return the decisions that are on their way."""
        if self._cells is not self.walked.now:
            return self._sent_before
        on_their_way: Record = self.simulation.tape.sized[: int(self.worlds[0]["sent"])]
        return on_their_way

    def _kept_back(self) -> int:
        """Answer the units of quote that are needed by buys that rest nowhere."""
        if not self.may_wait:
            return 0
        needed = sum(
            int(buy_cost(self._worlds[market], int(one["lots"]), int(one["ticks"])))
            for market in range(len(self.instruments))
            for one in self.waiting(market)
            if one["side"] == BUY
        )
        return min(needed, int(self._cells["cash"][0]))

    def cancel(self, *, entries_only: bool) -> None:
        """Call off its buys, or all its orders."""
        asking.call_off(self.worlds, int(entries_only))
        for row in self._sent():
            if not entries_only or row["side"] == BUY:
                row["kind"] = DecisionKind.HOLD
        self.changes += 1

    def sell_out(self, reason: str) -> None:
        """Call off everything and sell all whole lots at the open of the next base bar."""
        self.cancel(entries_only=False)
        first = int(self.worlds[0]["next_id"])
        for market in range(len(self.instruments)):
            self._do(DecisionKind.EXIT, market, lots=_ALL_LOTS)
        self.sale_reasons.update(dict.fromkeys(range(first, int(self.worlds[0]["next_id"])), reason))

    @property
    def is_buying(self) -> bool:
        """Say whether an order of it would buy."""
        return any(
            (self.orders(market)["side"] == BUY).any() or (self.waiting(market)["side"] == BUY).any()
            for market in range(len(self.instruments))
        )

    def is_sellable(self, market: int, at: int) -> bool:
        """Say whether the exchange would take what it owns of a market; dust it would not."""
        instrument = self.instruments[market]
        lots = instrument.lots_floor(self.quantity(market))
        quantity = instrument.quantity(lots)
        return lots > 0 and quantity >= instrument.min_quantity and quantity * self.mark(market, at) >= instrument.min_notional

    def sellable(self, at: int) -> list[int]:
        """List its markets in which the exchange would take what it owns."""
        return [market for market in self._held() if self.is_sellable(market, at)]

    def size(self) -> None:
        """Size the decisions that wait, all of them before one is carried out."""
        self.make_room()
        asking.size_asked(self.worlds, self.simulation.tape)

    def answered(self) -> None:
        """Be free to walk on: what waited has been carried out or refused."""
        self.walked.now["asked"][0] = 0
        self.is_asking = False
        self.changes += 1

    def carry_out(self, k: int) -> int:
        """Carry out one of the sized decisions; answer why not, or NONE."""
        self.changes += 1
        return int(asking.carry_out(self.worlds, self.simulation.tape, k))

    def send(self, k: int, *, is_granted: bool) -> None:
        """Have one of the sized decisions go on its way to the exchange, or stay here for good."""
        clock, tape = self.worlds[0], self.simulation.tape
        if not is_granted:
            tape.sized[k]["kind"] = DecisionKind.HOLD
        clock["sent"] = k + 1
        clock["arrives_at"] = int(tape.times[int(clock["cursor"])]) + int(clock["latency_ms"])
        self.changes += 1

    def fills(self) -> tuple[Fill, ...]:
        """Return its fills as the exchange would report them."""
        journal = self.simulation.tape.journal[: self.fill_count]
        return tuple(readable_fill(row, self.instruments[int(row["symbol"])], in_quote=self.in_quote) for row in journal)

    def denials(self) -> dict[str, int]:
        """Count what was denied, by code: by sizing and market, and by the coordinator."""
        return dict(sorted((Counter(count_reasons(self.simulation.tape.denials)) + self.refusals).items()))

    def _count_capital(self, moved: Decimal) -> None:
        self.net_flows += moved
        # Up, so that what was gained is rounded down, as it is live.
        self.walked.now["capital"][0] = -whole_units(-self.net_flows)
        self._is_moved()

    def _is_moved(self) -> None:
        self.walked.now["is_told"][0] = 0
        self.changes += 1

    def _do(self, kind: DecisionKind, market: int, *, lots: int = 0, stop_ticks: int = 0, reason: Reason = Reason.NONE) -> None:
        self.make_room()
        tape = self.simulation.tape
        order = tape.sized[MAX_DECISIONS]
        order.kind, order.symbol, order.slot, order.side = int(kind), market, NO_SLOT, -BUY
        order.lots, order.limit_ticks, order.stop_ticks = lots, 0, stop_ticks
        order.reason, order.deny = int(reason), int(Reason.NONE)
        if isinstance(tape, PanelTape):
            asking.come_to_opens(self.worlds, tape)
        else:
            asking.come_to_open(self.worlds, tape)
        self.carry_out(MAX_DECISIONS)

    def make_room(self) -> None:
        """Have room for all fills that decisions or a bar can bring."""
        if self.fill_count + JOURNAL_MARGIN * len(self.instruments) > len(self.simulation.tape.journal):
            self.simulation.lengthen_journal()
