"""Inside the child, `python -m plugins.child CHANNEL`: run the user's file behind walls, and answer until the parent hangs up.

It knows no database, no settings and no secrets. Plain Python: nothing is compiled, so that a step takes as long the first time
as ever after.
"""

from __future__ import annotations

import faulthandler
import importlib.abc
import importlib.util
import json
import signal
import socket
import sys
import traceback
import types
from pathlib import Path
from typing import Any

import numpy as np

from plugins import described, walls, wire
from strategies import checks, registry
from trading.strategy import FIELDS, StrategyDefinition, new_book, new_decisions

PROJECT = Path(__file__).resolve().parent.parent


class NoDefinition(ValueError):
    """The file has no DEFINITION."""


def serve(channel_number: int) -> None:
    """Answer questions, one after the other; the first one says which file it is about."""
    channel = socket.socket(fileno=channel_number)
    faulthandler.enable()
    # The parent asks where a child stands that does not answer.
    faulthandler.register(signal.SIGUSR1, all_threads=False)
    with Path("/dev/null").open("w", encoding="utf-8") as nowhere:
        sys.stdout = nowhere
        _answer_all(channel)


def _answer_all(channel: socket.socket) -> None:
    head, _, text = wire.receive(channel).partition(b"\n")
    asked = json.loads(head)
    path = Path(asked["path"])
    walls.allow_seconds(asked["seconds"])
    walls.set_limits(megabytes=asked["megabytes"])
    readable = [*walls.interpreter_paths(), *(PROJECT / room for room in ("plugins", "strategies", "trading"))]
    standing = [word for word, stands in (("files", walls.shut_files(readable)), ("network", walls.refuse_calls())) if stands]
    child = _Child(path, standing)
    _answer(channel, child, lambda _: child.load(text), b"")
    while True:
        try:
            question = wire.receive(channel)
        except wire.Closed:
            return
        walls.allow_seconds(asked["seconds"])
        _answer(channel, child, child.actions[question[:1]], question)


def _answer(channel: socket.socket, child: _Child, action: Any, question: bytes) -> None:
    try:
        answer = action(question)
    except MemoryError:
        answer = wire.ERROR + f"{child.where()}: it used more memory than it may".encode()
    except Exception as error:  # noqa: BLE001
        # The outermost loop of this child: whatever the user's code raises is told with its line.
        answer = wire.ERROR + f"{child.where()}: {type(error).__name__}: {error}".encode()
    wire.send(channel, answer)


class _Text(importlib.abc.InspectLoader):
    """Loads a module from the text that the parent sent: the file itself is out of reach."""

    def __init__(self, path: Path, text: bytes) -> None:
        self._path = path
        self._text = text

    def get_source(self, _fullname: str) -> str:
        """Answer the text."""
        return importlib.util.decode_source(self._text)

    def get_code(self, _fullname: str) -> types.CodeType:
        """Compile it under its file's name, which errors are to tell."""
        code: types.CodeType = self.source_to_code(self._text, str(self._path))
        return code


class _Child:
    """The user's strategy, and the arrays its steps work on."""

    def __init__(self, path: Path, walls_up: list[str]) -> None:
        self._path = path
        self._walls = walls_up
        self.actions = {
            wire.START: self._start,
            wire.STEP: self._step,
            wire.WARMUP: self._warmup,
            wire.FACTS: self._facts,
            wire.CHECK: self._check,
            wire.PLOTS: self._plots,
            wire.PROMISES: self._promises,
        }

    def load(self, text: bytes) -> bytes:
        """Run the user's file and describe its DEFINITION."""
        loader = _Text(self._path, text)
        spec = importlib.util.spec_from_loader(f"user_{self._path.stem}", loader, origin=str(self._path))
        assert spec is not None
        module = importlib.util.module_from_spec(spec)
        # A dataclass looks its module up there.
        sys.modules[spec.name] = module
        loader.exec_module(module)
        found = getattr(module, "DEFINITION", None)
        if not isinstance(found, StrategyDefinition):
            raise NoDefinition("the file must end with DEFINITION = StrategyDefinition(...)")
        self._definition = found
        self._params = registry.record_of(found, {})
        self._state = np.zeros(1, dtype=found.state_dtype)
        self._panel = np.full((FIELDS, 1, 3), np.nan)
        self._book, self._decisions = new_book(), new_decisions()
        return wire.DONE + _json({**described.describe(found), "walls": self._walls})

    def _start(self, question: bytes) -> bytes:
        self._take_params(question[1:])
        state = np.zeros(1, dtype=self._definition.state_dtype)
        self._definition.start(self._params, state)
        return wire.DONE + state.tobytes()

    def _step(self, question: bytes) -> bytes:
        self._panel = wire.read_step(question, self._params, self._state, self._panel, self._book)
        count = self._definition.step(self._state, self._panel, 1, self._book, self._params, self._decisions)
        return wire.step_answer(self._state, self._decisions, int(count))

    def _warmup(self, question: bytes) -> bytes:
        self._take_params(question[1:])
        return wire.DONE + wire.COUNT.pack(int(self._definition.warmup_bars(self._params)))

    def _facts(self, question: bytes) -> bytes:
        (reason,) = wire.COUNT.unpack_from(question, 1)
        self._take_params(question[1 + wire.COUNT.size :])
        return wire.DONE + _json([str(name) for name in self._definition.fact_names(self._params, reason)])

    def _check(self, question: bytes) -> bytes:
        try:
            self._definition.check(json.loads(question[1:]))
        except ValueError as error:
            return wire.REFUSED + str(error).encode()
        return wire.DONE

    def _plots(self, question: bytes) -> bytes:
        self._take_params(question[1:])
        return wire.DONE + _json(described.told_plots(self._definition.plots(self._params)))

    def _promises(self, question: bytes) -> bytes:
        # Here the whole panel is offered: whoever looks ahead should hear of it, not only see nothing.
        markets, bars = np.frombuffer(question, np.int64, 2, 1)
        panel = np.frombuffer(question, np.float64, -1, 17).reshape(FIELDS, markets, bars).copy()
        findings = checks.check_strategy(self._definition, registry.record_of(self._definition, {}), panel)
        return wire.DONE + _json([[finding.promise, finding.is_kept, finding.detail] for finding in findings])

    def _take_params(self, cells: bytes) -> None:
        self._params.view(np.uint8)[:] = np.frombuffer(cells, np.uint8)

    def where(self) -> str:
        """Name the line of the user's file at which the error happened."""
        _, error, trace = sys.exc_info()
        if isinstance(error, SyntaxError) and error.filename == str(self._path):
            return f"{self._path.name}:{error.lineno}"
        lines = [frame.lineno for frame in traceback.extract_tb(trace) if frame.filename == str(self._path)]
        return f"{self._path.name}:{lines[-1]}" if lines else self._path.name


def _json(value: Any) -> bytes:
    return json.dumps(value).encode()


if __name__ == "__main__":
    serve(int(sys.argv[1]))
