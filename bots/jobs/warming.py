"""Load the compiled strategies before the first candle needs them."""

from __future__ import annotations

import time
from collections.abc import Iterable

import numpy as np
import structlog

from bots import lineups
from strategies import registry
from trading import books, live_step
from trading.instruments import INSTRUMENT_DTYPE
from trading.sizing import SIZED_DTYPE, size_decisions
from trading.strategy import FIELDS, MAX_DECISIONS, new_book, new_decisions

log = structlog.get_logger(__name__)

_BARS = 3


def warm_kernels(names: Iterable[str] | None = None) -> dict[str, float]:
    """Run strategies, the sizing and the book once, and answer how many seconds each took; without names, every strategy.

    Done in the worker before it forks, so that every child of the pool inherits the machine code.
    """
    times = np.arange(_BARS, dtype=np.int64)
    seconds = {"sizing": _timed(_warm_sizing)}
    for name in registry.shipped_names() if names is None else names:
        definition = registry.definition(name)
        params = registry.make_params(name)
        panel = np.full((FIELDS, definition.symbols_least, _BARS), 100.0)

        def once() -> None:
            memory = live_step.warm(definition, params, panel, _BARS - 1)  # noqa: B023 - called at once.
            live_step.run_step(definition, params, memory, panel, times, _BARS - 1, new_book())  # noqa: B023

        seconds[name] = _timed(once)
    log.info("kernels.warm", **{name: round(value, 2) for name, value in seconds.items()})
    return seconds


def warm_next(number: int) -> bool:
    """Warm one strategy by its number among all, and say whether another one comes after it."""
    names = registry.shipped_names()
    warm_kernels(names[number : number + 1])
    return number + 1 < len(names)


def first_needed() -> list[str]:
    """List the strategies that a newcomer's bots run: those of the shipped line-up."""
    return sorted({bot.strategy for bot in lineups.load().bots})


def _warm_sizing() -> None:
    book, numbers = new_book(), np.ones(1, dtype=INSTRUMENT_DTYPE)
    books.clear_book(book)
    books.set_terms(book, 1000, 1000, 50)
    books.set_position(book, numbers, 0, 1, 1, 1, 0, 100.0)
    books.set_money(book, 1, 1, 0, 0)
    books.add_order(book, 0, 0, 1, 1, 1, 1, 0)
    books.add_fill(book, 0, 0, 1, 1, 0, 1, 1, 0)
    size_decisions(new_decisions(), 1, book, numbers, np.zeros(MAX_DECISIONS, dtype=SIZED_DTYPE))


def _timed(work: object) -> float:
    assert callable(work)
    began = time.perf_counter()
    work()
    return time.perf_counter() - began
