"""A user's own strategies as the registry knows them: definitions like any other, whose functions ask a child."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from plugins import described, folder, wire
from plugins.asked import Asked, heard
from plugins.children import Children, Version
from plugins.process import Limits
from strategies.sources import BrokenStrategy
from trading.bars import Floats
from trading.compilation import sources_hash
from trading.strategy import StrategyDefinition

# A strategy that could not be read may be read again: what failed may have been the machine.
FAILURE_SECONDS: Final = 10


@dataclass(frozen=True, slots=True)
class _Known:
    """What came of reading a file: its definition, or why there is none, which is asked again after a while."""

    stamp: tuple[int, int, int]
    found: StrategyDefinition | str
    read_at: float

    def is_of(self, stamp: tuple[int, int, int]) -> bool:
        """Say whether it still tells of the file."""
        return self.stamp == stamp and (not isinstance(self.found, str) or time.monotonic() - self.read_at < FAILURE_SECONDS)


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
        answer = heard(child.ask(question, limits=Limits(seconds, seconds)), list, name)
        try:
            return [(str(promise), bool(is_kept), str(detail)) for promise, is_kept, detail in answer]
        except (TypeError, ValueError) as error:
            raise BrokenStrategy(f"{name}.py: what was found makes no sense: {error}") from None

    def _version(self, path: Path | None) -> Version:
        assert path is not None
        text = folder.source(path)
        return Version(path, folder.fingerprint(text, ours=sources_hash()), text)

    def _told(self, version: Version) -> Mapping[str, Any]:
        return heard(self._children.of(version).description, dict, version.path.stem)

    def _read(self, path: Path) -> StrategyDefinition | str:
        try:
            version = self._version(path)
            told = self._told(version)
            asked = Asked(self._children, version)
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
