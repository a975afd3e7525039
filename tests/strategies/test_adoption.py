"""A strategy that lost its state takes over what its book still holds."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from strategies import registry
from tests.trading.markets import ETH, random_walk
from trading import books, live_step
from trading.bars import to_panel
from trading.instruments import instrument_numbers
from trading.strategy import BUY, SELL, DecisionKind, OrderKind, Reason, Record, new_book

CANDLES = random_walk(seed=8, bars=600)
CLOSE = float(CANDLES.values[3, -1])


def book_with(*, stop: float, orders: int = 0) -> Record:
    book, numbers = new_book(), instrument_numbers(ETH)
    books.set_terms(book, 1000, 1000, 50)
    quantity = round(0.05 * 1e8)
    books.set_position(book, numbers, 0, quantity, quantity, round(CLOSE * quantity), round(stop * 1e8), CLOSE)
    books.set_money(book, 197_646_000_000, 180_000_000_000, 0, 0)
    for slot in range(orders):
        books.add_order(book, 0, slot, SELL if slot else BUY, OrderKind.LIMIT.value, round(CLOSE * 1e8), 10**6, 0)
    return book


def decide(name: str, book: Record) -> tuple[Any, dict[str, Any]]:
    definition, params = registry.definition(name), registry.make_params(name)
    panel = to_panel(CANDLES)
    warmed = live_step.warm(definition, params, panel, panel.shape[2] - 1)
    last = np.ascontiguousarray(panel[:, :, -1:])
    result = live_step.run_step(definition, params, warmed, last, CANDLES.times[-1:], 0, book)
    view = live_step.state_view(definition, result.state_bytes)
    return result.decisions[0], {field.removeprefix("coins.0."): value for field, value in view.items()}


@pytest.mark.parametrize("name", [name for name in registry.shipped_names() if name not in {"grid", "arbitrage"}])
def test_a_held_position_is_taken_over_with_its_stop(name: str) -> None:
    decision, state = decide(name, book_with(stop=CLOSE * 0.9))

    assert state["holding"] == 1
    assert state["stop"] >= round(CLOSE * 0.9, 2) - 0.01
    assert state["entry_price"] == pytest.approx(CLOSE)
    assert decision.kind in {DecisionKind.HOLD, DecisionKind.EXIT, DecisionKind.MOVE_STOP}
    assert decision.reason not in {Reason.SIGNAL_EXIT_TARGET, Reason.STOP_BREACHED}


def test_a_grid_clears_the_orders_of_a_range_it_forgot() -> None:
    decision, _ = decide("grid", book_with(stop=0.0, orders=3))

    assert (decision.kind, decision.reason) == (DecisionKind.CANCEL, Reason.GRID_REBUILD)


def test_a_grid_lays_its_range_round_what_it_holds() -> None:
    decision, state = decide("grid", book_with(stop=0.0))

    assert state["gaps"] == 10
    assert decision.kind in {DecisionKind.PLACE, DecisionKind.ENTER}
