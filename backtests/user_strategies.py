"""Run what a user wrote in a process of its own: no secrets in its environment, and limits on time and memory."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

PROJECT: Final = Path(__file__).resolve().parent.parent
NAME: Final = re.compile(r"[a-z][a-z0-9_]{1,40}")
# What a child may know of our environment: nothing that opens a door.
PASSED_ON: Final = ("PATH", "HOME", "LANG", "TMPDIR", "NUMBA_CACHE_DIR")
ANSWER_BYTES_MAX: Final = 64 * 2**20
# Between the moment at which the child says where it stands, and the one at which it is killed.
FAREWELL_SECONDS: Final = 5


class BrokenStrategy(ValueError):
    """A user's strategy cannot be run; the message names file and line where they are known."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a user's strategy may use."""

    seconds: int = 300
    # Of address space: the compiler and the numeric libraries reserve far more than they use.
    megabytes: int = 4096


def find(folder: Path, name: str) -> Path | None:
    """Find the file of a user's strategy, or answer None."""
    path = folder / f"{name}.py"
    return path if NAME.fullmatch(name) and path.is_file() else None


def names(folder: Path) -> list[str]:
    """List the strategies of a folder without running any of them."""
    found = (path.stem for path in folder.glob("*.py") if not path.stem.startswith("test_"))
    return sorted(name for name in found if NAME.fullmatch(name))


def contained(
    path: Path, request: Mapping[str, Any], arrays: Mapping[str, np.ndarray[Any, Any]], *, limits: Limits | None = None
) -> dict[str, Any]:
    """Have a child load the file and do what is asked, and answer what it says; BrokenStrategy if it cannot.

    What comes back is JSON and nothing else: a hostile child can lie about its figures, but not reach this process.
    """
    limits = limits or Limits()
    with tempfile.TemporaryDirectory(prefix="user-strategy-") as directory:
        place = Path(directory)
        np.savez(place / "arrays.npz", **dict(arrays))  # type: ignore[arg-type]
        task = {**request, "path": str(path), "limits": asdict(limits)}
        (place / "request.json").write_text(json.dumps(task, default=str), encoding="utf-8")
        code = _run_child(place, limits)
        answer = _answer(place / "answer.json")
        if answer is None:
            raise BrokenStrategy(_last_words(path, place, code, limits))
    if "error" in answer:
        raise BrokenStrategy(str(answer["error"]))
    return answer


def _run_child(place: Path, limits: Limits) -> int:
    environment = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    environment["PYTHONPATH"] = str(PROJECT)
    command = [sys.executable, "-m", "backtests.contained", str(place)]
    with (place / "said.txt").open("wb") as said:
        child = subprocess.Popen(
            command,
            cwd=place,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            return child.wait(timeout=limits.seconds + FAREWELL_SECONDS)
        except subprocess.TimeoutExpired:
            return -signal.SIGKILL
        finally:
            # Also what it may have started.
            _kill_group(child.pid)
            child.wait()


def _kill_group(group: int) -> None:
    try:
        os.killpg(group, signal.SIGKILL)
    except ProcessLookupError:
        return


def _answer(path: Path) -> dict[str, Any] | None:
    if not path.is_file() or path.is_symlink() or path.stat().st_size > ANSWER_BYTES_MAX:
        return None
    try:
        answer = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        return None
    return answer if isinstance(answer, dict) else None


def _last_words(path: Path, place: Path, code: int, limits: Limits) -> str:
    """Say why a child ended without an answer, and at which line of the user's file it stood."""
    said = (place / "said.txt").read_bytes()[-20_000:].decode("utf-8", "replace")
    lines = re.findall(rf'File "{re.escape(str(path))}", line (\d+)', said)
    where = f"{path.name}:{lines[0]}" if lines else path.name
    if "Timeout (" in said or code in (-signal.SIGKILL, -signal.SIGXCPU):
        return f"{where}: it used more than {limits.seconds} seconds"
    if "MemoryError" in said or "Cannot allocate memory" in said:
        return f"{where}: it used more than {limits.megabytes} MB"
    last = said.strip().splitlines()[-1] if said.strip() else f"code {code}"
    return f"{where}: its process ended: {last[:300]}"
