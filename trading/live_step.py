"""Run one step of a strategy for the live shell, and warm it up before its first."""

import hashlib
import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import numpy as np

from trading.bars import Floats, Times
from trading.strategy import (
    CLOSE,
    FIELDS,
    DecisionKind,
    Plot,
    Reason,
    Record,
    StrategyDefinition,
    new_book,
    new_decisions,
)

_SCHEMA_BYTES: Final = 8


class StateSchemaChanged(ValueError):
    """These bytes were written by another version of the strategy's state."""


class BadPanel(ValueError):
    """The step was offered candles it cannot use."""


@dataclass(frozen=True, slots=True)
class Decision:
    """One decision, readable: what, why, and the numbers behind it."""

    kind: DecisionKind
    reason: Reason
    facts: dict[str, float | None]
    symbol: int
    slot: int
    side: int
    share: float
    risk_share: float
    quantity: float
    limit: float
    stop: float


@dataclass(frozen=True, slots=True, eq=False)
class StepResult:
    """What a step answered: its new state, its decisions, and the same as records for sizing."""

    state_bytes: bytes
    decisions: tuple[Decision, ...]
    # Give these to `sizing.size_decisions` with the book of the step.
    records: Record
    count: int


def new_state(definition: StrategyDefinition, params: Record) -> Record:
    """Make the state of a strategy that has seen nothing yet."""
    state = np.zeros(1, dtype=definition.state_dtype)
    definition.start(params, state)
    return state


def warm(definition: StrategyDefinition, params: Record, panel: Floats, until: int | None = None) -> bytes:
    """Replay the bars before `until` without money, and answer the state they leave.

    The first bar of the panel is the bot's anchor. The last bar replayed is `until - 1`.
    """
    count = panel.shape[2] if until is None else until
    _check_panel(panel, count - 1)
    state = new_state(definition, params)
    book, decisions = new_book(), new_decisions()
    for i in range(count):
        definition.step(state, panel, i, book, params, decisions)
    return state_to_bytes(definition, state)


def trace(definition: StrategyDefinition, params: Record, panel: Floats) -> dict[Plot, Floats]:
    """Replay the bars of a panel without money, and answer what each of the strategy's plots was after every bar.

    These are the numbers the decisions were made from, not a second computation of them; NaN where there is none yet.
    """
    count = panel.shape[2]
    _check_panel(panel, count - 1)
    plots = definition.plots(params)
    lines = {plot: np.full(count, math.nan) for plot in plots}
    state = new_state(definition, params)
    book, decisions = new_book(), new_decisions()
    for i in range(count):
        definition.step(state, panel, i, book, params, decisions)
        if math.isfinite(panel[CLOSE, 0, i]):
            for plot, line in lines.items():
                line[i] = _plotted(state[0], plot)
    return lines


def _plotted(state: Any, plot: Plot) -> float:
    record, dot, field = plot.field.rpartition(".")
    if dot:
        return float(state[record][plot.cell][field])
    value = float(np.ravel(state[plot.field])[plot.cell])
    return value + plot.times * float(state[plot.spread]) if plot.spread else value


def run_step(
    definition: StrategyDefinition,
    params: Record,
    state_bytes: bytes | None,
    panel: Floats,
    times: Times,
    i: int,
    book: Record,
) -> StepResult:
    """Decide at the close of bar i with the stored state; the panel may hold that bar alone."""
    _check_panel(panel, i)
    if len(times) != panel.shape[2]:
        raise BadPanel(f"{len(times)} times for {panel.shape[2]} bars")
    state = new_state(definition, params) if state_bytes is None else state_from_bytes(definition, state_bytes)
    decisions = new_decisions()
    count = definition.step(state, panel, i, book, params, decisions)
    answer = tuple(readable(definition, params, row) for row in decisions[:count])
    return StepResult(state_to_bytes(definition, state), answer, decisions, count)


def readable(definition: StrategyDefinition, params: Record, row: Record) -> Decision:
    """Turn a decision record into one for people."""
    names = definition.fact_names(params, int(row["reason"]))
    facts: dict[str, float | None] = {}
    for name, value in zip(names, row["facts"], strict=False):
        # JSON has no NaN: what is not known yet is null.
        facts[name] = float(value) if math.isfinite(value) else None
    return Decision(
        kind=DecisionKind(int(row["kind"])),
        reason=Reason(int(row["reason"])),
        facts=facts,
        symbol=int(row["symbol"]),
        slot=int(row["slot"]),
        side=int(row["side"]),
        share=float(row["share"]),
        risk_share=float(row["risk_share"]),
        quantity=float(row["quantity"]),
        limit=float(row["limit"]),
        stop=float(row["stop"]),
    )


def state_to_bytes(definition: StrategyDefinition, state: Record) -> bytes:
    """Store a state with the fingerprint of its layout."""
    return _schema_hash(definition) + state.tobytes()


def state_from_bytes(definition: StrategyDefinition, stored: bytes) -> Record:
    """Read a stored state, or refuse one of another layout."""
    dtype = definition.state_dtype
    if stored[:_SCHEMA_BYTES] != _schema_hash(definition):
        raise StateSchemaChanged(f"The stored state of {definition.name} has another layout; warm up again")
    if len(stored) != _SCHEMA_BYTES + dtype.itemsize:
        raise StateSchemaChanged(f"The stored state of {definition.name} has a wrong length")
    return np.frombuffer(stored, dtype=dtype, offset=_SCHEMA_BYTES).copy()


def state_view(definition: StrategyDefinition, state_bytes: bytes) -> dict[str, int | float | None]:
    """Show a state to people: its single values, without the memories of its indicators."""
    state = state_from_bytes(definition, state_bytes)
    view: dict[str, int | float | None] = {}
    for field in definition.state_dtype.names or ():
        value = state[0][field]
        if np.ndim(value) == 0:
            number = value.item()
            unknown = isinstance(number, float) and not math.isfinite(number)
            view[field] = None if unknown else number
        elif value.dtype.names:
            view |= _records_view(field, value)
    return view


def _records_view(name: str, records: Record) -> dict[str, int | float | None]:
    """Show the single values of the first market's record, and of all others that have seen something."""
    view: dict[str, int | float | None] = {}
    for k, record in enumerate(records):
        if k > 0 and "bars_seen" in record.dtype.names and record["bars_seen"] == 0:
            continue
        for field in record.dtype.names:
            if np.ndim(record[field]) == 0:
                number = record[field].item()
                view[f"{name}.{k}.{field}"] = None if isinstance(number, float) and not math.isfinite(number) else number
    return view


def _schema_hash(definition: StrategyDefinition) -> bytes:
    return _layout_hash(definition.name, np.dtype(definition.state_dtype))


@lru_cache(maxsize=256)
def _layout_hash(name: str, dtype: np.dtype[Any]) -> bytes:
    return hashlib.sha256(f"{name} {dtype.descr}".encode()).digest()[:_SCHEMA_BYTES]


def _check_panel(panel: Floats, i: int) -> None:
    if panel.ndim != 3 or panel.shape[0] != FIELDS or panel.dtype != np.float64:
        raise BadPanel(f"A panel is float64 of shape (5, symbols, bars), not {panel.shape}")
    if not panel.flags.c_contiguous:
        raise BadPanel("A panel is C-contiguous")
    if not 0 <= i < panel.shape[2]:
        raise BadPanel(f"Bar {i} is outside the panel's {panel.shape[2]} bars")
    prices = panel[: CLOSE + 1, :, i]
    if not (np.isnan(prices) | (np.isfinite(prices) & (prices > 0))).all():
        raise BadPanel(f"Bar {i} has a price that is neither above zero nor missing")
