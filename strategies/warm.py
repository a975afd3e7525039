"""Compile what a worker needs before its first bar: `python -m strategies.warm [--backtests]`.

Compiled code is kept on disk per version of the sources, so that this costs time once per version.
"""

import sys
from dataclasses import replace
from decimal import Decimal
from typing import Any

import numpy as np

from strategies import registry
from trading import books, live_step
from trading.bars import Candles
from trading.instruments import Instrument, instrument_numbers
from trading.kernels.backtest import Costs, prepare_backtest
from trading.kernels.panel_backtest import prepare_panel_backtest
from trading.sizing import SIZED_DTYPE, size_decisions
from trading.strategy import BUY, FIELDS, MAX_DECISIONS, NO_SLOT, OrderKind, Reason, new_book, new_decisions

_MINUTE = 60_000
_INSTRUMENT = Instrument("A/B", "A", "B", *map(Decimal, ("0.01", "0.01", "0.01", "1000", "1")))


def compile_live_path() -> None:
    """Compile every strategy's step, the filling of its book and the sizing of its decisions."""
    for name in registry.shipped_names():
        definition = registry.definition(name)
        panel = np.full((FIELDS, definition.symbols_least, 2), 100.0)
        live_step.warm(definition, registry.make_params(name), panel)
    book, numbers = new_book(), instrument_numbers(_INSTRUMENT)
    books.clear_book(book)
    books.set_terms(book, 1000, 1000, 50)
    books.set_position(book, numbers, 0, 0, 0, 0, 0, 100.0)
    books.set_money(book, 10**10, 10**10, 0, 0)
    books.add_fill(book, 0, NO_SLOT, BUY, OrderKind.ENTRY.value, Reason.NONE.value, 10**8, 10**10, 10**5)
    books.add_order(book, 0, NO_SLOT, BUY, OrderKind.LIMIT.value, 10**10, 10**8, 0)
    size_decisions(new_decisions(), 1, book, numbers, np.zeros(MAX_DECISIONS, dtype=SIZED_DTYPE))


def compile_backtests() -> None:
    """Compile every strategy's backtest loop."""
    for name in registry.shipped_names():
        definition, params = registry.definition(name), registry.make_params(name)
        bars = definition.warmup_bars(params) + 3
        candles = Candles(_MINUTE, np.arange(1, bars + 1, dtype=np.int64) * _MINUTE, np.full((FIELDS, bars), 100.0))
        terms: dict[str, Any] = {
            "definition": definition,
            "params": params,
            "interval_ms": _MINUTE,
            "costs": Costs(),
            "allocation": Decimal(1000),
        }
        if definition.run is not None:
            prepare_backtest(candles=candles, instrument=_INSTRUMENT, **terms).run()
        if definition.run_panel is not None:
            markets = [replace(_INSTRUMENT, symbol=f"{k}/B") for k in range(definition.symbols_least)]
            prepare_panel_backtest(candles=[candles] * len(markets), instruments=markets, **terms).run()


if __name__ == "__main__":
    compile_live_path()
    if "--backtests" in sys.argv[1:]:
        compile_backtests()
