"""The contract between a strategy and the shells that run it: what it sees and what it may say.

A strategy is `start(params, state)` and `step(state, panel, i, book, params, decisions) -> count`.
All five arguments are arrays, so that the compiled step allocates nothing:

- `panel` is float64 `[OPEN..VOLUME][symbol][bar]`, NaN where a candle is missing. Bars up to `i`.
- `book` is what the strategy may know of its money (`BOOK_DTYPE`, one record).
- `decisions` (`DECISION_DTYPE`, 64 records) receives the answer; the return value says how many.
- At least one decision is written at every bar: a HOLD whose reason says why nothing happens.

What the engines (live shell and backtest) promise to do with a decision, in array order, each
one finished before the next:

- HOLD: nothing. It explains.
- ENTER: LIMIT IOC buy at the collar price. When it filled and `stop > 0`: every live stop of the
  symbol is cancelled and ONE new STOP_LOSS is placed at `stop` for all whole lots of the position.
  When it expired unfilled nothing else happens; an older stop stays.
- EXIT: every live sell order of the symbol (stop included) is cancelled, then `quantity` (0: all
  whole lots) is sold at market. When `stop > 0` and whole lots are left, a new STOP_LOSS at `stop`
  is placed for them.
- PLACE: a post-only limit order in `slot`. Refused if it would take.
- CANCEL: the live order in `slot`.
- MOVE_STOP: cancel the live stop, then place STOP_LOSS at `stop` for all available whole lots.

A stop at or above the market is refused by the exchange, and what it was to guard is sold at the
market at once: a fill of the kind STOP, with the reason STOP_WOULD_TRIGGER. A stop that is refused
for another reason leaves the position without one. No shell retries: the strategy sees
`stop_price == 0` in its book at the next bar and acts.

A gap is never a reason to act: on a NaN bar a step takes in its fills, changes nothing else and
holds with DATA_GAP. Stepping over missing bars or leaving them out is therefore the same thing.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, Final

import numpy as np
import numpy.typing as npt

Record = npt.NDArray[Any]

OPEN: Final = 0
HIGH: Final = 1
LOW: Final = 2
CLOSE: Final = 3
VOLUME: Final = 4
FIELDS: Final = 5

MAX_SYMBOLS: Final = 10
MAX_FILLS: Final = 128
MAX_ORDERS: Final = 128
MAX_DECISIONS: Final = 64
MAX_FACTS: Final = 4

BUY: Final = 1
SELL: Final = -1

NO_SLOT: Final = -1


class DecisionKind(IntEnum):
    """What a strategy may ask for."""

    HOLD = 0
    ENTER = 1
    EXIT = 2
    PLACE = 3
    CANCEL = 4
    MOVE_STOP = 5


class OrderKind(IntEnum):
    """What a live order or a fill came from."""

    ENTRY = 1
    EXIT = 2
    LIMIT = 3
    STOP = 4


class View(IntEnum):
    """How much of its book a strategy is shown at the close of a candle."""

    WHOLE = 0
    # What it holds is all it is worth and all it is sized by: money that comes or goes on this candle is nobody's.
    NO_MONEY = 1
    # The same as soon as it holds nothing that could be sold.
    MONEY_WHILE_HOLDING = 2
    # What it holds comes or goes on this candle as well.
    NOTHING = 3


class Reason(IntEnum):
    """Why a decision was made or denied. Numbers are stored: append, never renumber."""

    NONE = 0
    SIGNAL_WARMING_UP = 1
    SIGNAL_NO_OPINION = 2
    DATA_GAP = 3
    POSITION_HELD = 4
    COOLDOWN_ACTIVE = 5
    COST_GATE = 6
    FILTER_TREND = 7
    FILTER_REGIME = 8
    FILTER_VOLUME = 9
    FILTER_VOLATILITY = 10
    ENTRY_PENDING = 11
    FILTER_SLOTS = 12
    FILTER_CORRELATION = 13
    FILTER_RANK = 14
    ORDER_STALE = 15
    SIGNAL_ENTRY_BAND = 20
    SIGNAL_ENTRY_ZSCORE = 21
    SIGNAL_ENTRY_RSI = 22
    SIGNAL_ENTRY_PULLBACK = 23
    SIGNAL_ENTRY_LADDER = 24
    SIGNAL_ENTRY_ALIGNMENT = 25
    SIGNAL_ENTRY_BREAKOUT = 26
    SIGNAL_ENTRY_RETRY = 27
    SIGNAL_ENTRY_INVENTORY = 28
    SIGNAL_ENTRY_CROSS = 29
    SIGNAL_ENTRY_RANK = 30
    SIGNAL_ENTRY_SQUEEZE = 31
    SIGNAL_ENTRY_REBALANCE = 32
    SIGNAL_ENTRY_FADE = 33
    SIGNAL_ENTRY_PYRAMID = 34
    SIGNAL_ENTRY_DIVERSIFIER = 35
    SIGNAL_ENTRY_PAIR = 36
    SIGNAL_ENTRY_RESIDUAL = 37
    SIGNAL_EXIT_TARGET = 40
    SIGNAL_EXIT_MEAN = 41
    SIGNAL_EXIT_RSI = 42
    SIGNAL_EXIT_CROSS = 43
    SIGNAL_EXIT_TREND = 44
    SIGNAL_EXIT_TIME = 45
    SIGNAL_EXIT_LADDER = 46
    SIGNAL_EXIT_COMPRESSION = 47
    SIGNAL_EXIT_DIVERGENCE = 48
    SIGNAL_EXIT_RANK = 49
    SIGNAL_EXIT_REBALANCE = 50
    SIGNAL_EXIT_CHANNEL = 51
    SIGNAL_EXIT_CORRELATION = 52
    SIGNAL_EXIT_PAIR = 53
    SIGNAL_EXIT_RESIDUAL = 54
    STOP_PROTECTIVE = 60
    STOP_TRAILED = 61
    STOP_TIGHTENED = 62
    STOP_BREACHED = 63
    STOP_RESTORED = 64
    STOP_RANGE = 65
    STOP_DRAWDOWN = 66
    GRID_BUY = 80
    GRID_SELL = 81
    GRID_REBUILD = 82
    GRID_TRAIL_UP = 83
    GRID_PAUSED = 84
    GRID_WAITING = 85
    GRID_TAKE_PROFIT = 86
    GRID_INVENTORY_CAP = 87
    GRID_STOPPED = 88
    CAPITAL_INSUFFICIENT = 100
    FILTER_MIN_NOTIONAL = 101
    FILTER_LOT_SIZE = 102
    FILTER_PRICE_COLLAR = 103
    RISK_POSITION_CAP = 104
    SIGNAL_INVALID = 105
    ORDER_EXPIRED = 106
    ORDER_WOULD_TAKE = 107
    STOP_WOULD_TRIGGER = 108
    POSITION_EMPTY = 109
    RISK_DAILY_LOSS_CAP = 110
    RISK_TRADE_COUNT = 111


REASONS: Final[Mapping[int, str]] = {int(reason): reason.name for reason in Reason}


def record_dtype(fields: list[Any]) -> np.dtype[Any]:
    """Make a record type whose fields are attributes, compiled and interpreted alike."""
    # In plain Python the methods of a numpy scalar (`mean`, `base`, `fill`) would hide a field.
    hidden = [field[0] for field in fields if hasattr(np.record, field[0])]
    if hidden:
        raise ValueError(f"Fields hidden by numpy: {', '.join(hidden)}")
    return np.dtype((np.record, fields))


FILL_DTYPE: Final = record_dtype(
    [
        ("symbol", "i8"),
        ("slot", "i8"),
        ("side", "i8"),
        ("kind", "i8"),
        ("reason", "i8"),
        ("quantity", "f8"),
        ("price", "f8"),
        ("fee_quote", "f8"),
        # What the position gained or lost: a buy's fee is taken from the base received.
        ("base_change", "f8"),
    ]
)

OPEN_ORDER_DTYPE: Final = record_dtype(
    [
        ("symbol", "i8"),
        ("slot", "i8"),
        ("side", "i8"),
        ("kind", "i8"),
        ("price", "f8"),
        ("quantity_remaining", "f8"),
        ("quantity_filled", "f8"),
    ]
)

BOOK_DTYPE: Final = record_dtype(
    [
        ("cash", "f8"),
        ("equity", "f8"),
        # What it has gained since it began: all it is worth, what it may not spend included, less the capital that came to
        # it and did not leave again. Capital that moves changes the equity, never the gain. NaN while nothing is shown.
        ("gain", "f8"),
        ("allocation", "f8"),
        ("fee_rate", "f8"),
        ("maker_fee_rate", "f8"),
        ("half_spread", "f8"),
        # What a taker pays in each market; `fee_rate` is the highest of them.
        ("fee_rates", "f8", (MAX_SYMBOLS,)),
        ("quantity", "f8", (MAX_SYMBOLS,)),
        ("available", "f8", (MAX_SYMBOLS,)),
        ("average_cost", "f8", (MAX_SYMBOLS,)),
        ("stop_price", "f8", (MAX_SYMBOLS,)),
        ("close", "f8", (MAX_SYMBOLS,)),
        ("tick", "f8", (MAX_SYMBOLS,)),
        ("step", "f8", (MAX_SYMBOLS,)),
        ("min_notional", "f8", (MAX_SYMBOLS,)),
        ("fill_count", "i8"),
        ("order_count", "i8"),
        ("fills", FILL_DTYPE, (MAX_FILLS,)),
        ("orders", OPEN_ORDER_DTYPE, (MAX_ORDERS,)),
    ]
)

DECISION_DTYPE: Final = record_dtype(
    [
        ("kind", "i8"),
        ("symbol", "i8"),
        ("slot", "i8"),
        ("side", "i8"),
        ("share", "f8"),
        ("risk_share", "f8"),
        ("quantity", "f8"),
        ("limit", "f8"),
        ("stop", "f8"),
        ("reason", "i8"),
        ("facts", "f8", (MAX_FACTS,)),
    ]
)


@dataclass(frozen=True, slots=True)
class Range:
    """Say which numbers a parameter may take and what it means."""

    minimum: float
    maximum: float
    step: float
    description: str
    scale: str = "linear"


@dataclass(frozen=True, slots=True)
class Choice:
    """Say which words a parameter may take; the step sees the word's position."""

    options: tuple[str, ...]
    description: str


@dataclass(frozen=True, slots=True)
class Flag:
    """Say what switching a parameter on means."""

    description: str


def accept_any(values: Mapping[str, Any]) -> None:
    """Accept every combination of parameters that are each in range."""


@dataclass(frozen=True, slots=True)
class Plot:
    """Show a number that the step keeps in its state: beside the price, or on an axis of its own below.

    The value shown is `field` (its `cell` where it is an array), plus `times` times `spread` where one is named. A field
    of one market's record is written as `coins.fast`; `cell` is then the market.
    """

    label: str
    field: str
    pane: str = "price"
    cell: int = 0
    spread: str = ""
    times: float = 0.0


def no_plots(_params: Record) -> tuple[Plot, ...]:
    """Show nothing beside the candles."""
    return ()


@dataclass(frozen=True, slots=True)
class StrategyDefinition:
    """Everything the shells need to know about one strategy."""

    name: str
    title: str
    summary: str
    params_type: type[Any]
    presets: Mapping[str, Mapping[str, Any]]
    state_dtype: np.dtype[Any]
    start: Callable[[Record, Record], None]
    step: Callable[[Record, Record, int, Record, Record, Record], int]
    warmup_bars: Callable[[Record], int]
    fact_names: Callable[[Record, int], tuple[str, ...]]
    order_kinds: tuple[OrderKind, ...]
    regimes_expected: tuple[str, ...]
    required_inputs: tuple[str, ...] = ("open", "high", "low", "close")
    path_dependent: bool = True
    # Whether its result is counted in matched pairs of slots, not from flat to flat.
    is_grid: bool = False
    source_hash: str = ""
    # Presets that are asked for by name, on top of the interval's.
    named_presets: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    # Raises ValueError for parameters that contradict each other.
    check: Callable[[Mapping[str, Any]], None] = accept_any
    # The compiled loop of the backtest round this step: over one market, or over any number. One of the two is
    # enough to be fast; a strategy that has neither is stepped from plain Python.
    run: Callable[..., int] | None = None
    run_panel: Callable[..., int] | None = None
    # The reasons of decisions that are legs of one pair: on one candle they are ordered together or not at all. What has
    # any trades one coin on two accounts; its fact `pair` is the pair's number.
    leg_reasons: tuple[Reason, ...] = ()
    # The reasons of decisions that undo what one leg of the newest pair left over.
    mend_reasons: tuple[Reason, ...] = ()
    # How many markets it can trade at once.
    symbols_least: int = 1
    symbols_most: int = 1
    notes: tuple[str, ...] = ()
    # What a chart shows of the state, with these parameters.
    plots: Callable[[Record], tuple[Plot, ...]] = no_plots

    @property
    def is_across_accounts(self) -> bool:
        """Say whether its second market is another account's."""
        return bool(self.leg_reasons)


def new_book() -> Record:
    """Make an empty book: no money, so no step can want to enter."""
    return np.zeros(1, dtype=BOOK_DTYPE)


def new_decisions() -> Record:
    """Make the array a step writes its decisions to."""
    return np.zeros(MAX_DECISIONS, dtype=DECISION_DTYPE)
