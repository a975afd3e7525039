"""Every fold agrees with TA-Lib, and never looks ahead."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import talib

from tests.trading.markets import random_walk, real_candles
from trading import indicators
from trading.bars import Candles, Floats

H, L, C, V = 1, 2, 3, 4


def fold(function: Callable[..., Any], columns: list[Floats], *terms: float, cells: int = 600) -> Floats:
    memory = np.zeros(cells)
    return np.array([function(memory, *(float(column[k]) for column in columns), *terms) for k in range(len(columns[0]))])


def part(function: Callable[..., Any], place: int) -> Callable[..., Any]:
    def chosen(*arguments: Any) -> Any:
        return function(*arguments)[place]

    return chosen


ORACLES: dict[str, tuple[Callable[..., Any], tuple[int, ...], tuple[float, ...], Callable[[Floats], Any]]] = {
    "sma": (indicators.sma, (C,), (20,), lambda v: talib.SMA(v[C], 20)),
    "sma_volume": (indicators.sma, (V,), (20,), lambda v: talib.SMA(v[V], 20)),
    "ema": (indicators.ema, (C,), (21,), lambda v: talib.EMA(v[C], 21)),
    "ema_long": (indicators.ema, (C,), (100,), lambda v: talib.EMA(v[C], 100)),
    "rsi": (indicators.rsi, (C,), (14,), lambda v: talib.RSI(v[C], 14)),
    "rsi_2": (indicators.rsi, (C,), (2,), lambda v: talib.RSI(v[C], 2)),
    "atr": (indicators.atr, (H, L, C), (14,), lambda v: talib.ATR(v[H], v[L], v[C], 14)),
    "adx": (indicators.adx, (H, L, C), (14,), lambda v: talib.ADX(v[H], v[L], v[C], 14)),
    "lower_band": (part(indicators.bollinger, 0), (C,), (20, 2.0), lambda v: talib.BBANDS(v[C], 20, 2.0, 2.0)[2]),
    "upper_band": (part(indicators.bollinger, 2), (C,), (20, 2.0), lambda v: talib.BBANDS(v[C], 20, 2.0, 2.0)[0]),
    "deviation": (indicators.deviation, (C,), (20,), lambda v: talib.STDDEV(v[C], 20)),
    "macd_signal": (part(indicators.macd, 1), (C,), (12, 26, 9), lambda v: talib.MACD(v[C], 12, 26, 9)[1]),
    "macd_gap": (part(indicators.macd, 2), (C,), (12, 26, 9), lambda v: talib.MACD(v[C], 12, 26, 9)[2]),
    "highest": (indicators.highest, (H,), (22,), lambda v: talib.MAX(v[H], 22)),
    "lowest": (indicators.lowest, (L,), (22,), lambda v: talib.MIN(v[L], 22)),
}


def agree(name: str, candles: Candles) -> None:
    function, columns, terms, oracle = ORACLES[name]
    mine = fold(function, [candles.values[column] for column in columns], *terms)
    theirs = np.asarray(oracle(candles.values))

    # The deviation is a difference of large numbers in TA-Lib: it is the less exact one.
    scale = np.maximum(1.0, np.abs(theirs)) if name != "deviation" else candles.values[C]
    assert np.array_equal(np.isnan(mine), np.isnan(theirs))
    assert np.nanmax(np.abs(mine - theirs) / scale) < 1e-9


@pytest.mark.parity("P2")
@pytest.mark.parametrize("name", ORACLES)
def test_a_fold_agrees_with_talib_on_random_candles(name: str) -> None:
    agree(name, random_walk(seed=3, bars=1500))


@pytest.mark.parity("P2")
@pytest.mark.parametrize("name", ORACLES)
def test_a_fold_agrees_with_talib_on_real_candles(name: str, shared_data: Path) -> None:
    agree(name, real_candles(shared_data, bars=3000))


@pytest.mark.parametrize("name", [name for name in ORACLES if name not in {"rsi", "rsi_2", "adx"}])
def test_a_fold_agrees_with_talib_in_a_dead_market(name: str) -> None:
    candles = random_walk(seed=4, bars=300)
    candles.values[:4] = 100.0
    agree(name, candles)


def test_a_dead_market_has_no_strength_and_no_direction() -> None:
    dead = np.full(100, 50.0)

    assert np.nanmax(fold(indicators.adx, [dead, dead, dead], 14)) == 0.0
    assert np.nanmax(fold(indicators.rsi, [dead], 14)) == 0.0


@pytest.mark.parity("P3")
@pytest.mark.parametrize("name", ORACLES)
def test_the_future_cannot_change_the_past(name: str) -> None:
    function, columns, terms, _ = ORACLES[name]
    values = random_walk(seed=5, bars=400).values
    full = fold(function, [values[column] for column in columns], *terms)

    for cut in (1, 57, 211, 399):
        prefix = fold(function, [values[column][:cut] for column in columns], *terms)
        assert np.array_equal(prefix, full[:cut], equal_nan=True)


def test_a_percentile_rank_counts_what_is_not_above() -> None:
    values = np.array([5.0, 1.0, 3.0, 3.0, 9.0, 0.0])

    ranks = fold(indicators.percentile_rank, [values], 4)

    assert ranks[3:].tolist() == [0.75, 1.0, 0.25]


def test_the_half_life_of_a_decay_is_what_it_was_made_with() -> None:
    random = np.random.default_rng(1)
    level = np.zeros(5000)
    for k in range(1, len(level)):
        # Each bar undoes a tenth: half is undone after ln 2 / -ln 0.9 = 6.58 bars.
        level[k] = 0.9 * level[k - 1] + random.normal()

    answers = fold(indicators.half_life, [level], 200, True)

    assert float(np.nanmedian(answers)) == pytest.approx(6.58, rel=0.15)
    assert np.isinf(fold(indicators.half_life, [np.arange(300.0) ** 2], 200, True)[-1])
