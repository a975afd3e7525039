"""Strategies that measure what they lose: capital that leaves the book is no loss, and what is lost still stops them."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest

from strategies import registry, scalping_rules
from tests.trading.markets import ETH, random_walk
from trading import books, live_step
from trading.bars import Candles, to_panel
from trading.instruments import instrument_numbers
from trading.live_step import Decision
from trading.strategy import (
    BUY,
    SELL,
    DecisionKind,
    OrderKind,
    Reason,
    Record,
    StrategyDefinition,
    View,
    new_book,
    record_dtype,
)

CAPITAL = 1000.0
GRID = {"share": 1.0, "recentre": "none", "hard_stop": 0.0, "half_width": 0.3, "pause_adx": 0}
SCALPING = {"bars_per_hour": 1, "vwap_bars": 48, "cost_gate": 2, "target_atr": 2, "correlation_most": 1.0}
BARS_PER_DAY = 24
ENTERS, SHUT = Reason.SIGNAL_ENTRY_PULLBACK, Reason.RISK_DAILY_LOSS_CAP


def book_of(close: float, *, equity: float = CAPITAL, gain: float = 0.0, held: float = 0.0) -> Record:
    """Fill a book as both shells do; what is not held is cash."""
    book, numbers = new_book(), instrument_numbers(ETH)
    books.clear_book(book)
    books.set_terms(book, 1000, 1000, 50)
    quantity, cash = round(held / close * 1e8), round((equity - held) * 1e8)
    books.set_position(book, numbers, 0, quantity, quantity, 0, 0, close)
    books.set_money(book, round(equity * 1e8), cash, 0, round((gain - held) * 1e8))
    return book


class Stepper:
    """Steps a strategy bar by bar, its state in bytes between two bars, with whatever book a test thinks of."""

    def __init__(self, name: str, values: dict[str, Any], candles: Candles, bar: int) -> None:
        self.definition: StrategyDefinition = registry.definition(name)
        self.params = registry.make_params(name, values)
        self.candles, self.bar = candles, bar
        self.state = live_step.warm(self.definition, self.params, to_panel(candles), bar)

    @property
    def close(self) -> float:
        return float(self.candles.values[3, self.bar])

    def step(self, book: Record) -> Decision:
        """Step over the next bar and answer the first decision."""
        panel = np.ascontiguousarray(to_panel(self.candles)[:, :, self.bar : self.bar + 1])
        times = self.candles.times[self.bar : self.bar + 1]
        result = live_step.run_step(self.definition, self.params, self.state, panel, times, 0, book)
        self.state = result.state_bytes
        self.bar += 1
        return result.decisions[0]

    def told(self, **figures: float) -> Decision:
        """Step over the next bar with a book of these figures."""
        return self.step(book_of(self.close, **figures))


def running_grid(**values: Any) -> Stepper:
    """Have a grid of 1,000 lay its range round the price."""
    grid = Stepper("grid", GRID | values, random_walk(seed=8, bars=600), 500)
    assert grid.told().kind == DecisionKind.ENTER
    grid.told(held=400.0)
    return grid


def test_a_grid_whose_capital_is_recalled_keeps_its_coins() -> None:
    """It leaves its slot with the policy `carry`, or its share is made smaller."""
    grid = running_grid()

    said = [grid.told(equity=300.0, held=300.0) for _ in range(50)]

    assert {one.kind for one in said} <= {DecisionKind.PLACE, DecisionKind.HOLD}
    # Then its turn comes again, with more than before.
    assert grid.told(equity=5000.0, held=300.0).kind in {DecisionKind.PLACE, DecisionKind.HOLD}


@pytest.mark.parametrize("figures", [{"equity": 899.0, "held": 400.0}, {"equity": 200.0, "held": 200.0}, {"equity": 2000.0}])
def test_a_grid_that_lost_its_share_sells_everything_whatever_capital_moved(figures: dict[str, float]) -> None:
    grid = running_grid()

    assert grid.told(**figures, gain=-99.0).kind != DecisionKind.EXIT
    said = grid.told(**figures | {"held": 150.0}, gain=-101.0)

    assert (said.kind, said.reason) == (DecisionKind.EXIT, Reason.STOP_DRAWDOWN)


def test_a_grid_counts_its_loss_from_its_best() -> None:
    grid = running_grid()
    grid.told(equity=1080.0, gain=80.0, held=400.0)
    # What it gained is taken away from it: that is no loss either.
    assert grid.told(equity=300.0, gain=80.0, held=300.0).kind != DecisionKind.EXIT

    said = grid.told(equity=200.0, gain=-21.0, held=200.0)

    assert (said.kind, said.reason) == (DecisionKind.EXIT, Reason.STOP_DRAWDOWN)


def test_a_grid_that_holds_more_than_its_range_was_laid_with_loses_a_share_of_what_it_holds() -> None:
    """Nothing is sold for a smaller share, so a range that is laid afterwards is smaller than what is in the coin."""
    grid = Stepper("grid", GRID, random_walk(seed=8, bars=600), 500)
    grid.step(smaller(book_of(grid.close, equity=800.0, held=800.0)))

    said = grid.step(smaller(book_of(grid.close, equity=760.0, gain=-40.0, held=760.0)))
    assert said.kind != DecisionKind.EXIT
    said = grid.step(smaller(book_of(grid.close, equity=715.0, gain=-85.0, held=715.0)))

    assert (said.kind, said.reason) == (DecisionKind.EXIT, Reason.STOP_DRAWDOWN)


def smaller(book: Record) -> Record:
    """Have a book sized by less than it holds."""
    book[0].allocation = 200.0
    return book


@cache
def before_an_entry() -> tuple[bytes, int]:
    """Return the state of a scalper with a thousand, and the bar at which it wants to enter, in the middle of a day."""
    scalper = scalping()
    while scalper.bar < len(scalper.candles):
        state, bar = scalper.state, scalper.bar
        if scalper.told().reason == ENTERS and bar % BARS_PER_DAY > 4:
            return state, bar
    raise AssertionError("The market tempted nobody")


def scalping() -> Stepper:
    return Stepper("scalping", SCALPING, random_walk(seed=11, bars=2000), 700)


@pytest.mark.parametrize(
    ("equity", "gain", "says"),
    [
        pytest.param(1000.0, 0.0, ENTERS, id="nothing happened"),
        pytest.param(200.0, 0.0, ENTERS, id="capital was recalled"),
        pytest.param(981.0, -19.0, ENTERS, id="less than the share was lost"),
        pytest.param(979.0, -21.0, SHUT, id="more than the share was lost"),
        pytest.param(181.0, -19.0, ENTERS, id="less was lost, and capital recalled"),
        pytest.param(179.0, -21.0, SHUT, id="more was lost, and capital recalled"),
        pytest.param(1979.0, -21.0, ENTERS, id="capital came, of which it is a smaller share"),
        pytest.param(1959.0, -41.0, SHUT, id="capital came, and more was lost"),
    ],
)
def test_a_scalper_is_shut_for_the_day_by_what_it_lost_alone(equity: float, gain: float, says: Reason) -> None:
    scalper = scalping()
    scalper.state, scalper.bar = before_an_entry()

    assert scalper.told(equity=equity, gain=gain).reason == says


def refused(*told: dict[str, float] | None) -> bool:
    """Say whether the loss of a day with these bars refuses entries at its end; None is a bar at which nothing is shown."""
    definition, params = registry.definition("scalping"), registry.make_params("scalping")
    state, numbers = live_step.new_state(definition, params), instrument_numbers(ETH)
    for figures in told:
        book = book_of(3000.0, **figures or {"held": 500.0})
        if figures is None:
            books.veil(book, numbers, 1, View.NOTHING)
        scalping_rules.count_day(state[0], book[0], BARS_PER_DAY, 1)
    return scalping_rules.refusal(state[0], book[0], 0, params[0], 0) == Reason.RISK_DAILY_LOSS_CAP


def test_capital_that_came_in_a_day_goes_on_counting_when_it_has_left_again() -> None:
    day: list[dict[str, float]] = [{}, {"equity": 3000.0}, {"equity": 450.0, "gain": -50.0}]

    assert not refused(*day)
    assert refused(*day, {"equity": 439.0, "gain": -61.0})


def test_a_day_that_begins_while_nothing_is_shown_begins_with_the_next_candle() -> None:
    assert not refused(None, {"gain": -500.0})
    assert refused(None, {"gain": -500.0}, {"equity": 979.0, "gain": -521.0})


def test_a_candle_at_which_nothing_is_shown_leaves_the_day_as_it_was() -> None:
    assert refused({}, None, {"equity": 979.0, "gain": -21.0})
    assert not refused({}, None, {"equity": 981.0, "gain": -19.0})


def test_a_day_begins_with_what_was_gained_until_then() -> None:
    day = [{}, *[{"equity": 985.0, "gain": -15.0}] * BARS_PER_DAY]

    assert not refused(*day, {"equity": 970.0, "gain": -30.0})
    assert refused(*day, {"equity": 960.0, "gain": -40.0})


class Coin:
    """A scalper's memory of one coin, told of a buy, of a sale, or of nothing."""

    def __init__(self) -> None:
        self.params = registry.make_params("scalping")
        self.state = live_step.new_state(registry.definition("scalping"), self.params)

    def told(self, *, side: int = 0, price: float = 3000.0, held: float = 0.0, view: View = View.WHOLE) -> None:
        book = book_of(price, held=held)
        if side:
            kind = OrderKind.LIMIT if side == BUY else OrderKind.EXIT
            books.add_fill(book, 0, 0, side, kind.value, 0, round(100.0 / 3000.0 * 1e8), round(price * 1e8), 0)
        books.veil(book, instrument_numbers(ETH), 1, view)
        scalping_rules.take_in(self.state[0].coins[0], book[0], 0, self.params[0])

    @property
    def losses(self) -> int:
        return int(self.state[0].coins[0].losses)


def test_a_coin_that_is_handed_on_is_no_loss_in_a_row() -> None:
    coin = Coin()
    coin.told(side=BUY, held=100.0)
    coin.told(view=View.NOTHING)
    coin.told()

    coin.told(side=BUY, held=100.0)
    coin.told(side=SELL, price=3030.0)
    assert coin.losses == 0

    coin.told(side=BUY, held=100.0)
    coin.told(side=SELL, price=2970.0)
    assert coin.losses == 1


def test_a_coin_that_was_taken_over_ends_no_row_of_losses() -> None:
    coin = Coin()
    coin.told(side=BUY, held=100.0)
    coin.told(side=SELL, price=2970.0)
    coin.told(held=100.0)
    coin.told(side=SELL, price=2970.0)

    assert coin.losses == 1


def test_a_coin_that_was_sold_by_the_hand_over_is_counted_when_its_sale_is_told() -> None:
    coin = Coin()
    coin.told(side=BUY, held=100.0)
    coin.told(view=View.NOTHING)
    coin.told(side=SELL, price=2970.0)

    assert coin.losses == 1


@pytest.mark.parametrize(
    ("name", "before", "now"), [("grid", "highest_equity", "highest_gain"), ("scalping", "day_equity", "day_gain")]
)
def test_a_memory_that_still_measures_by_worth_is_refused(name: str, before: str, now: str) -> None:
    """Its best would be a worth: the first gain beside it would look like the loss of everything."""
    definition = registry.definition(name)
    fields: Any = definition.state_dtype.fields
    older = record_dtype(
        [(before if field == now else field, *fields[field][:1]) for field in definition.state_dtype.names or ()]
    )
    kept = live_step.state_to_bytes(replace(definition, state_dtype=older), np.zeros(1, dtype=older))

    assert now in fields
    with pytest.raises(live_step.StateSchemaChanged):
        live_step.state_from_bytes(definition, kept)
