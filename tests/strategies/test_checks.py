"""The checks that run on every strategy: shipped ones keep every promise, and each kind of cheat is found."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from strategies import checks, registry, triple_ema
from tests.trading.markets import random_walk
from trading.bars import Floats, to_panel
from trading.compilation import interpreted
from trading.strategy import CLOSE, StrategyDefinition


def panel(definition: StrategyDefinition, bars: int = 620) -> Floats:
    markets = [random_walk(seed=40 + k, bars=bars) for k in range(definition.symbols_least)]
    return np.ascontiguousarray(np.concatenate([to_panel(market) for market in markets], axis=1))


@pytest.mark.parity("P3")
@pytest.mark.parametrize("name", registry.shipped_names())
def test_every_shipped_strategy_keeps_every_promise(name: str) -> None:
    definition = registry.definition(name)
    for finding in checks.check_strategy(definition, registry.make_params(name), panel(definition)):
        assert finding.is_kept, f"{finding.promise}: {finding.detail}"


def broken(step: Any = None, **changes: Any) -> list[checks.Finding]:
    """Check TripleEMA with one thing made worse, and answer the promises it breaks."""
    honest = registry.definition("triple_ema")
    definition = replace(honest, step=step or interpreted(triple_ema.step), **changes)
    params = registry.make_params("triple_ema", {"cost_gate": 0})
    return [one for one in checks.check_strategy(definition, params, panel(honest)) if not one.is_kept]


def test_a_step_that_reads_the_next_candle_is_found() -> None:
    def step(state: Any, candles: Floats, i: int, book: Any, params: Any, decisions: Any) -> int:
        count = triple_ema.step(state, candles.copy(), i, book, params, decisions)
        tomorrow = min(i + 1, candles.shape[2] - 1)
        decisions[0].facts[0] = candles[CLOSE, 0, tomorrow]
        return count

    promises = {finding.promise: finding.detail for finding in broken(step)}
    assert "depends on candles from bar 217 on" in promises["the future cannot change the past"]


def test_a_step_that_counts_the_candles_ahead_is_found() -> None:
    def step(state: Any, candles: Floats, i: int, book: Any, params: Any, decisions: Any) -> int:
        count = triple_ema.step(state, candles.copy(), i, book, params, decisions)
        decisions[0].facts[0] = candles.shape[2]
        return count

    assert any("how many candles follow" in finding.detail for finding in broken(step))


def test_a_memory_beside_the_state_is_found() -> None:
    calls = []

    def step(state: Any, candles: Floats, i: int, book: Any, params: Any, decisions: Any) -> int:
        calls.append(i)
        count = triple_ema.step(state, candles.copy(), i, book, params, decisions)
        decisions[0].facts[0] = len(calls)
        return count

    assert "the same candles give the same answers" in {finding.promise for finding in broken(step)}


def test_a_warm_up_that_is_too_short_is_found() -> None:
    findings = broken(warmup_bars=lambda _params: 60)

    assert [finding.promise for finding in findings] == ["after its warm-up it no longer matters where it began"]


def test_a_step_that_answers_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="answered 0 at bar 0"):
        broken(lambda *_arguments: 0)


def test_a_step_that_writes_into_its_candles_is_stopped() -> None:
    def step(state: Any, candles: Floats, i: int, book: Any, params: Any, decisions: Any) -> int:
        candles[CLOSE, 0, i] = 1.0
        return 1

    with pytest.raises(ValueError, match="read-only"):
        broken(step)
