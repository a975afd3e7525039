"""What is let in at the door: candles, symbols, prices and quantities."""

from __future__ import annotations

import math
from decimal import Decimal

import numpy as np
import pytest

from tests.trading.markets import BTC, ETH, FIRST_OPEN, FIVE_MINUTES, random_walk, without
from trading.bars import (
    BadCandles,
    BadInterval,
    Bar,
    Candles,
    aggregate,
    interval_milliseconds,
    panel_with_gaps,
    validate_bar,
)
from trading.instruments import OffGrid, UnknownSymbol, amount, find_instrument, instrument_numbers, units

GOOD = Bar(FIRST_OPEN, 100.0, 102.0, 99.0, 101.0, 5.0)


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        (GOOD._replace(close=math.nan), "finite"),
        (GOOD._replace(high=math.inf), "finite"),
        (GOOD._replace(high=98.0), "below its low"),
        (GOOD._replace(low=100.5), "outside its range"),
        (GOOD._replace(low=-1.0), "above zero"),
        (GOOD._replace(volume=-0.1), "negative volume"),
    ],
)
def test_a_candle_that_cannot_be_true_is_refused(wrong: Bar, why: str) -> None:
    validate_bar(GOOD)
    with pytest.raises(BadCandles, match=why):
        validate_bar(wrong)


@pytest.mark.parametrize(
    ("order", "why"), [([0, 2, 1], "older than"), ([0, 1, 1], "twice"), ([], "No candles")], ids=["unsorted", "double", "none"]
)
def test_candles_come_once_and_in_order(order: list[int], why: str) -> None:
    candles = random_walk(seed=1, bars=3)

    with pytest.raises(BadCandles, match=why):
        Candles(FIVE_MINUTES, candles.times[order], candles.values[:, order])


def test_candles_lie_on_their_grid() -> None:
    candles = random_walk(seed=1, bars=3)

    with pytest.raises(BadCandles, match="grid"):
        Candles(FIVE_MINUTES, candles.times + 1, candles.values)


def test_a_coarse_candle_is_made_of_the_parts_there_are() -> None:
    minutes = random_walk(seed=2, bars=15, interval_ms=60_000)

    coarse = aggregate(without(minutes, 0, 7), FIVE_MINUTES)

    assert coarse.times.tolist() == [FIRST_OPEN + k * FIVE_MINUTES for k in range(3)]
    assert coarse.values[0].tolist() == [minutes.values[0, 1], minutes.values[0, 5], minutes.values[0, 10]]
    assert coarse.values[1, 1] == minutes.values[1, [5, 6, 8, 9]].max()
    assert coarse.values[3].tolist() == minutes.values[3, [4, 9, 14]].tolist()
    assert coarse.values[4, 2] == pytest.approx(minutes.values[4, 10:].sum())


def test_five_minutes_do_not_add_up_to_a_fraction() -> None:
    with pytest.raises(BadInterval, match="add up"):
        aggregate(random_walk(seed=1, bars=5), 60_000)


def test_a_missing_candle_is_a_gap_in_the_panel() -> None:
    times, panel = panel_with_gaps(without(random_walk(seed=1, bars=6), 2, 3))

    assert np.diff(times).tolist() == [FIVE_MINUTES] * 5
    assert np.isnan(panel[3, 0]).tolist() == [False, False, True, True, False, False]


def test_an_unknown_interval_gets_a_hint() -> None:
    assert interval_milliseconds("15m") == 900_000
    with pytest.raises(BadInterval, match="Did you mean 15m"):
        interval_milliseconds("15min")


@pytest.mark.parametrize("text", ["BTC/USDT", "BTC-USDT", "BTCUSDT", "btc_usdt"])
def test_every_spelling_of_a_symbol_is_understood(text: str) -> None:
    assert find_instrument(text, [ETH, BTC]) is BTC


def test_an_unknown_symbol_gets_a_hint() -> None:
    with pytest.raises(UnknownSymbol, match="Did you mean BTC/USDT"):
        find_instrument("BTCUSD", [ETH, BTC])


def test_lots_and_ticks_are_exact() -> None:
    assert BTC.lots(Decimal("0.00451")) == 451
    assert BTC.quantity(451) == Decimal("0.00451")
    assert BTC.lots_floor(Decimal("0.0045199")) == 451
    assert BTC.ticks(Decimal("65000.01")) == 6_500_001
    for wrong in (Decimal("0.000001"), Decimal("NaN"), Decimal("Infinity")):
        with pytest.raises(OffGrid):
            BTC.lots(wrong)


def test_units_are_exact_both_ways() -> None:
    assert units(Decimal("9882.31")) == 988_231_000_000
    assert amount(1) == Decimal("0.00000001")
    with pytest.raises(OffGrid):
        units(Decimal("0.000000001"))


def test_the_numbers_of_an_instrument_are_whole() -> None:
    numbers = instrument_numbers(BTC)[0]

    assert (int(numbers.min_lots), int(numbers.units_per_lot), int(numbers.quote_units_per_tick_lot)) == (1, 1000, 10)
    assert int(numbers.min_notional_units) == 500_000_000
