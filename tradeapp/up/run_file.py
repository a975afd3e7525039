"""Remember which processes a supervisor started, so that whoever comes after it can find and end them."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

import psutil

# Children carry the supervisor's token in this variable, and so do their own children.
TOKEN_VARIABLE = "TRADEAPP_SUPERVISOR"  # a name.  # noqa: S105  # nosec B105


@dataclass(frozen=True, slots=True)
class StartedProcess:
    """A process and when it started: together they never name somebody else's process."""

    name: str
    pid: int
    created: float
    end_signal: int = int(signal.SIGTERM)

    def find(self) -> psutil.Process | None:
        """Return the process if it is still the same one."""
        try:
            process = psutil.Process(self.pid)
            return process if abs(process.create_time() - self.created) < 0.02 else None
        except psutil.Error:
            return None


@dataclass(slots=True)
class RunFile:
    """The record of one supervisor's run, one file for each token."""

    path: Path
    token: str
    children: dict[str, StartedProcess] = field(default_factory=dict)

    def add(self, *, name: str, pid: int, end_signal: signal.Signals) -> None:
        """Record a child that was just started."""
        try:
            created = psutil.Process(pid).create_time()
        except psutil.NoSuchProcess:
            return
        self.children[name] = StartedProcess(name, pid, created, int(end_signal))
        self.save()

    def save(self) -> None:
        """Write the record so that a crash leaves the old one or the new one."""
        draft = self.path.with_suffix(".draft")
        content = {"token": self.token, "children": [asdict(child) for child in self.children.values()]}
        draft.write_text(json.dumps(content), encoding="utf-8")
        draft.replace(self.path)

    def remove(self) -> None:
        """Forget the run: all its processes are gone."""
        self.path.unlink(missing_ok=True)


def create(directory: Path, token: str) -> RunFile:
    """Begin the record of a run."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    run = RunFile(directory / f"{token}.json", token)
    run.save()
    return run


def read(path: Path) -> RunFile:
    """Return a recorded run; a damaged record still tells its token."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        children = {child["name"]: StartedProcess(**child) for child in content["children"]}
    except (OSError, ValueError, KeyError, TypeError):
        children = {}
    return RunFile(path, path.stem, children)


def earlier_runs(directory: Path) -> Iterator[RunFile]:
    """Yield the records that earlier supervisors left behind."""
    for path in sorted(directory.glob("*.json")):
        yield read(path)
