"""Strategies that measure what they lose: capital that leaves the book is no loss, and what is lost still stops them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from strategies import registry
from tests.trading.markets import ETH, random_walk
from trading import books, live_step
from trading.bars import Candles, to_panel
from trading.instruments import instrument_numbers
from trading.live_step import Decision
from trading.strategy import (
    DecisionKind,
    Reason,
    Record,
    StrategyDefinition,
    new_book,
    record_dtype,
)

CAPITAL = 1000.0
GRID = {"share": 1.0, "recentre": "none", "hard_stop": 0.0, "half_width": 0.3, "pause_adx": 0}


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


@pytest.mark.parametrize(("name", "before", "now"), [("grid", "highest_equity", "highest_gain")])
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
