"""The file that `strategies new` writes: a strategy that trades, with a test of its own."""

STRATEGY = '''"""{title}: buys a close above the average of the last bars, and sells a close below it."""

import math
from dataclasses import dataclass
from typing import Annotated

from strategies import answers, lifecycle
from trading.indicators import ATR_CELLS, SMA_RING, atr, sma
from trading.strategy import CLOSE, HIGH, LOW, OrderKind, Plot, Range, Reason, StrategyDefinition, record_dtype

PERIOD_MOST = 200


@dataclass(frozen=True, slots=True)
class Params:
    """What an operator may set."""

    period: Annotated[int, Range(5, PERIOD_MOST, 1, "Bars of the average.")] = 50
    stop_atr: Annotated[float, Range(1.0, 5.0, 0.25, "Hard stop in ATRs below the entry.")] = 2.0
    share: Annotated[float, Range(0.01, 1.0, 0.01, "Largest position, of the allocation.")] = 0.10
    cooldown: Annotated[int, Range(0, 50, 1, "Bars to wait after a position.")] = 3


# Everything the strategy remembers has to be here: what is kept anywhere else is lost at a restart.
STATE = record_dtype(
    [
        *lifecycle.LIFECYCLE_FIELDS,
        *lifecycle.PLAN_FIELDS,
        ("average_memory", "f8", (SMA_RING + PERIOD_MOST,)),
        ("range_memory", "f8", (ATR_CELLS,)),
        ("average", "f8"),
        ("range_now", "f8"),
    ]
)


def start(params, state):
    """Begin with a state of zeroes."""


def step(state, panel, i, book, params, decisions):
    """Decide at the close of bar i; write the decisions, and answer how many."""
    me, money, p = state[0], book[0], params[0]
    lifecycle.take_in(me, money, 0, p.cooldown)
    if answers.is_missing(panel, 0, i):
        return answers.nothing(decisions)
    high, low, close = panel[HIGH, 0, i], panel[LOW, 0, i], panel[CLOSE, 0, i]
    lifecycle.count_bar(me, high)
    me.average = sma(me.average_memory, close, p.period)
    me.range_now = atr(me.range_memory, high, low, close, 14)
    if math.isnan(me.average + me.range_now) or money.equity <= 0.0:
        return answers.hold(decisions, Reason.SIGNAL_WARMING_UP.value, close, me.average, me.range_now, 0.0)
    if me.holding == 1:
        mended = lifecycle.mend_stop(me, money, 0, decisions, close)
        if mended:
            return mended
        if close < me.average:
            return answers.leave(decisions, Reason.SIGNAL_EXIT_TREND.value, close, me.average, me.stop, 0.0)
        return answers.hold(decisions, Reason.POSITION_HELD.value, close, me.average, me.stop, 0.0)
    if me.cooldown > 0 or close <= me.average:
        return answers.hold(decisions, Reason.SIGNAL_NO_OPINION.value, close, me.average, me.range_now, 0.0)
    stop = close - p.stop_atr * me.range_now
    lifecycle.plan_entry(me, stop, 0.0)
    return answers.enter(decisions, Reason.SIGNAL_ENTRY_CROSS.value, (p.share, 0.01, stop), close, me.average, stop, 0.0)


def warmup_bars(params):
    """Count the bars after which it no longer matters where the strategy began."""
    return max(250, int(params[0].period))


def fact_names(params, reason):
    """Name the facts beside a reason."""
    has_no_stop = reason in (Reason.SIGNAL_WARMING_UP.value, Reason.SIGNAL_NO_OPINION.value)
    return ("close", "average", "range" if has_no_stop else "stop")


def plots(params):
    """Show the average beside the candles."""
    return (Plot("Average", "average"),)


DEFINITION = StrategyDefinition(
    name="{name}",
    title="{title}",
    summary="Buys a close above the average of the last bars, and sells a close below it.",
    params_type=Params,
    presets={{}},
    state_dtype=STATE,
    start=start,
    step=step,
    warmup_bars=warmup_bars,
    fact_names=fact_names,
    order_kinds=(OrderKind.ENTRY, OrderKind.EXIT, OrderKind.STOP),
    regimes_expected=(),
    plots=plots,
)
'''

TEST = '''"""Hold {name} to what every strategy promises: `python -m pytest test_{name}.py` from the project's folder."""

import sys
from pathlib import Path

import numpy as np

from strategies import checks, registry

sys.path.insert(0, str(Path(__file__).parent))

import {name}


def candles(bars=1200, seed=7):
    """Draw a market: open, high, low, close and volume of one coin."""
    random = np.random.default_rng(seed)
    close = 3000.0 * np.exp(np.cumsum(random.normal(0.0, 0.003, bars)))
    opened = np.append(3000.0, close[:-1])
    high, low = np.maximum(opened, close) * 1.001, np.minimum(opened, close) * 0.999
    return np.ascontiguousarray(np.array([opened, high, low, close, np.full(bars, 50.0)])[:, np.newaxis, :])


def test_it_keeps_every_promise():
    params = registry.record_of({name}.DEFINITION, {{}})
    for finding in checks.check_strategy({name}.DEFINITION, params, candles()):
        assert finding.is_kept, f"{{finding.promise}}: {{finding.detail}}"


def test_it_asks_for_something():
    params = registry.record_of({name}.DEFINITION, {{}})
    said = checks.walk({name}.DEFINITION, params, candles())
    assert any((decisions["kind"] != 0).any() for decisions in said.decisions)
'''
