"""A user's own strategies as the registry knows them: definitions like any other, whose functions ask a child."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, TypeVar

import numpy as np

from plugins import described, folder, wire
from plugins.process import Child, Died, Limits
from strategies.sources import BrokenStrategy
from trading.bars import Floats
from trading.compilation import sources_hash
from trading.strategy import MAX_FACTS, DecisionKind, Reason, Record, StrategyDefinition

Heard = TypeVar("Heard", dict[str, Any], list[Any])

# A child is a hundred megabytes: so many at most in one process of ours, and none that nobody has asked for so long.
CHILDREN_MAX: Final = 16
IDLE_SECONDS: Final = 1200
# A strategy that could not be read may be read again: what failed may have been the machine.
FAILURE_SECONDS: Final = 10
WARMUP_BARS_MAX: Final = 100_000
_KINDS: Final = frozenset(map(int, DecisionKind))
_REASONS: Final = frozenset(map(int, Reason)) - {int(Reason.NONE)}
_SIDES: Final = (-1, 0, 1)
_SLOT_MAX: Final = 2**31 - 1


@dataclass(frozen=True, slots=True)
class _Version:
    """One strategy's file as it was when it was read."""

    path: Path
    # What identifies the definition: the file's text and our own code.
    source_hash: str
    text: bytes = field(compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class _Known:
    """What came of reading a file: its definition, or why there is none, which is asked again after a while."""

    stamp: tuple[int, int, int]
    found: StrategyDefinition | str
    read_at: float

    def is_of(self, stamp: tuple[int, int, int]) -> bool:
        """Say whether it still tells of the file."""
        return self.stamp == stamp and (not isinstance(self.found, str) or time.monotonic() - self.read_at < FAILURE_SECONDS)


class Children:
    """The children of this process, one for each strategy in use; the one that was asked longest ago goes first."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._lock = threading.Lock()
        self._pid = os.getpid()
        self._running: dict[_Version, Child] = {}

    def of(self, version: _Version) -> Child:
        """Answer a living child with this version of the strategy, started if need be."""
        with self._lock:
            if self._pid != os.getpid():
                # After a fork: they belong to the process that started them.
                self._pid, self._running = os.getpid(), {}
            self._reap(but=version)
            child = self._running.get(version)
            if child is None or not child.is_alive:
                child = self._running[version] = Child(version.path, version.text, self._limits)
            # Whoever has it in hand is about to ask.
            child.asked_at = time.monotonic()
            return child

    def close(self) -> None:
        """End all of them."""
        with self._lock:
            for child in self._running.values():
                child.close()
            self._running = {}

    def _reap(self, *, but: _Version) -> None:
        others = sorted((child.asked_at, key) for key, child in self._running.items() if key != but)
        for number, (asked_at, version) in enumerate(others, start=1):
            is_one_too_many = len(others) - number >= CHILDREN_MAX - 1
            if is_one_too_many or asked_at < time.monotonic() - IDLE_SECONDS:
                self._running.pop(version).close()


class FolderSource:
    """The strategies of one folder; a file that changes is another strategy."""

    def __init__(self, place: Callable[[], Path], limits: Limits | None = None) -> None:
        """Look into the folder that `place` names whenever it is asked."""
        self._place = place
        self._children = Children(limits or Limits())
        self._known: dict[Path, _Known] = {}

    def names(self) -> Sequence[str]:
        """List the strategies without running any of them."""
        return folder.names(self._place())

    def definition(self, name: str) -> StrategyDefinition | None:
        """Describe a strategy as its file is now; None where there is no such file."""
        path = folder.find(self._place(), name)
        if path is None:
            return None
        stamp = folder.stamp(path)
        known = self._known.get(path)
        if known is None or not known.is_of(stamp):
            known = self._known[path] = _Known(stamp, self._read(path), time.monotonic())
        if isinstance(known.found, str):
            raise BrokenStrategy(known.found)
        return known.found

    def close(self) -> None:
        """End every child."""
        self._children.close()

    def walls(self, name: str) -> list[str]:
        """Say which walls stand round a strategy on this machine, besides those of time and memory."""
        return [str(word) for word in self._told(self._version(folder.find(self._place(), name)))["walls"]]

    def promises(self, name: str, panel: Floats, *, seconds: float) -> list[tuple[str, bool, str]]:
        """Have a strategy checked over candles by its own child: what it promises, whether it keeps that, and where not."""
        child = self._children.of(self._version(folder.find(self._place(), name)))
        question = wire.PROMISES + np.array(panel.shape[1:], dtype=np.int64).tobytes() + panel.tobytes()
        answer = _heard(child.ask(question, limits=Limits(seconds, seconds)), list, name)
        try:
            return [(str(promise), bool(is_kept), str(detail)) for promise, is_kept, detail in answer]
        except (TypeError, ValueError) as error:
            raise BrokenStrategy(f"{name}.py: what was found makes no sense: {error}") from None

    def _version(self, path: Path | None) -> _Version:
        assert path is not None
        text = folder.source(path)
        return _Version(path, folder.fingerprint(text, ours=sources_hash()), text)

    def _told(self, version: _Version) -> Mapping[str, Any]:
        return _heard(self._children.of(version).description, dict, version.path.stem)

    def _read(self, path: Path) -> StrategyDefinition | str:
        try:
            version = self._version(path)
            told = self._told(version)
            asked = _Asked(self._children, version)
            found = described.read(
                told,
                name=path.stem,
                start=asked.start,
                step=asked.step,
                warmup_bars=asked.warmup_bars,
                fact_names=asked.fact_names,
                check=asked.check,
                plots=asked.plots,
                source_hash=version.source_hash,
            )
        except BrokenStrategy as error:
            return str(error)
        except described.BadDescription as error:
            return f"{path.name}: {error}"
        asked.state_dtype = found.state_dtype
        return found


def _heard(answer: bytes, kind: type[Heard], name: str) -> Heard:
    """Read an answer of JSON, which may be anything at all."""
    try:
        told = json.loads(answer)
    except (ValueError, RecursionError) as error:
        raise BrokenStrategy(f"{name}.py: its answer cannot be read: {type(error).__name__}") from None
    if not isinstance(told, kind):
        raise BrokenStrategy(f"{name}.py: it answers {type(told).__name__}, not {kind.__name__}")
    return told


class _Asked:
    """The functions of a definition, each of which asks a child; what depends on its arguments alone is asked for once."""

    def __init__(self, children: Children, version: _Version) -> None:
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
            told = _heard(self._ask(wire.PLOTS + params.tobytes()), list, self._version.path.stem)
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
        told = _heard(self._ask(wire.FACTS + wire.COUNT.pack(reason) + params), list, self._version.path.stem)
        return tuple(str(name)[:60] for name in told[:MAX_FACTS])

    def _ask(self, question: bytes) -> bytes:
        try:
            return self._children.of(self._version).ask(question)
        except Died:
            # It may have been the machine that ended it, and the same question has the same answer.
            return self._ask_again(question)

    def _ask_again(self, question: bytes) -> bytes:
        try:
            return self._children.of(self._version).ask(question)
        except Died as error:
            raise BrokenStrategy(str(error)) from None

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
