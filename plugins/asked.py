"""The functions of a user's strategy, each of which asks its child and believes no answer before it has looked at it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final, TypeVar

import numpy as np

from plugins import described, wire
from plugins.children import Children, Version
from strategies.sources import BrokenStrategy
from trading.bars import Floats
from trading.strategy import MAX_FACTS, DecisionKind, Reason, Record

Heard = TypeVar("Heard", dict[str, Any], list[Any])

WARMUP_BARS_MAX: Final = 100_000
_KINDS: Final = frozenset(map(int, DecisionKind))
_REASONS: Final = frozenset(map(int, Reason)) - {int(Reason.NONE)}
_SIDES: Final = (-1, 0, 1)
_SLOT_MAX: Final = 2**31 - 1


def heard(answer: bytes, kind: type[Heard], name: str) -> Heard:
    """Read an answer of JSON, which may be anything at all."""
    try:
        told = json.loads(answer)
    except (ValueError, RecursionError) as error:
        raise BrokenStrategy(f"{name}.py: its answer cannot be read: {type(error).__name__}") from None
    if not isinstance(told, kind):
        raise BrokenStrategy(f"{name}.py: it answers {type(told).__name__}, not {kind.__name__}")
    return told


class Asked:
    """The functions of a definition, each of which asks a child; what depends on its arguments alone is asked for once."""

    def __init__(self, children: Children, version: Version) -> None:
        self._children = children
        self._version = version
        self.state_dtype = np.dtype(np.int64)
        self._warmup_bars = lru_cache(maxsize=64)(self._ask_warmup_bars)
        self._fact_names = lru_cache(maxsize=256)(self._ask_fact_names)

    def start(self, params: Record, state: Record) -> None:
        """Begin with the state that the strategy begins with."""
        cells = self._ask(wire.START + params.tobytes())
        if len(cells) != state.nbytes:
            raise self._broken(f"its first state has {len(cells)} bytes, not {state.nbytes}")
        state.view(np.uint8)[:] = np.frombuffer(cells, np.uint8)

    def step(self, state: Record, panel: Floats, i: int, book: Record, params: Record, decisions: Record) -> int:
        """Decide at the close of bar i, of which the child sees nothing but the bar."""
        answer = self._ask(wire.step_question(params, state, panel, i, book))
        try:
            count = wire.read_answer(answer, state, decisions)
        except ValueError as error:
            raise self._broken(str(error)) from None
        self._refuse_nonsense(decisions[:count], markets=panel.shape[1])
        return count

    def warmup_bars(self, params: Record) -> int:
        """Count the bars of its warm-up."""
        return self._warmup_bars(params.tobytes())

    def fact_names(self, params: Record, reason: int) -> tuple[str, ...]:
        """Name the facts beside a reason."""
        return self._fact_names(params.tobytes(), int(reason))

    def check(self, values: Mapping[str, Any]) -> None:
        """Raise ValueError for parameters that the strategy calls contradictory."""
        self._ask(wire.CHECK + json.dumps(dict(values)).encode())

    def plots(self, params: Record) -> tuple[Any, ...]:
        """Say what a chart shows of the state."""
        try:
            told = heard(self._ask(wire.PLOTS + params.tobytes()), list, self._version.path.stem)
            return described.read_plots(told, self.state_dtype)
        except (described.BadDescription, KeyError, TypeError, ValueError) as error:
            raise self._broken(f"its plots make no sense: {error}") from None

    def _ask_warmup_bars(self, params: bytes) -> int:
        answer = self._ask(wire.WARMUP + params)
        if len(answer) != wire.COUNT.size:
            raise self._broken(f"its warm-up is told in {len(answer)} bytes")
        (bars,) = wire.COUNT.unpack(answer)
        if not 1 <= bars <= WARMUP_BARS_MAX:
            raise self._broken(f"a warm-up of {bars} bars cannot be (1 to {WARMUP_BARS_MAX:,})")
        return int(bars)

    def _ask_fact_names(self, params: bytes, reason: int) -> tuple[str, ...]:
        told = heard(self._ask(wire.FACTS + wire.COUNT.pack(reason) + params), list, self._version.path.stem)
        return tuple(str(name)[:60] for name in told[:MAX_FACTS])

    def _ask(self, question: bytes) -> bytes:
        return self._children.ask(self._version, question)

    def _refuse_nonsense(self, decisions: Record, *, markets: int) -> None:
        """Refuse what compiled code would believe."""
        for kind, symbol, slot, side, *_, reason, _facts in decisions.tolist():
            if kind not in _KINDS or reason not in _REASONS:
                raise self._broken(f"a decision's kind {kind} or reason {reason} is none that there is")
            if not 0 <= symbol < markets:
                raise self._broken(f"a decision is about market {symbol} of {markets}")
            if not -1 <= slot <= _SLOT_MAX or side not in _SIDES:
                raise self._broken(f"a decision's slot {slot} or side {side} makes no sense")

    def _broken(self, what: str) -> BrokenStrategy:
        return BrokenStrategy(f"{self._version.path.name}: {what}")
