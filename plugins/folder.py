"""The folder of a user's own strategies: which files there are, and which of them may be run."""

from __future__ import annotations

import hashlib
import re
import stat
from pathlib import Path
from typing import Final

from strategies.sources import BrokenStrategy

NAME: Final = re.compile(r"[a-z][a-z0-9_]{1,40}")
SOURCE_BYTES_MAX: Final = 2**20


def find(folder: Path, name: str) -> Path | None:
    """Find the file of a user's strategy, or answer None."""
    path = folder / f"{name}.py"
    return path if NAME.fullmatch(name) and path.is_file() else None


def names(folder: Path) -> list[str]:
    """List the strategies of a folder without running any of them."""
    found = (path.stem for path in folder.glob("*.py") if not path.stem.startswith("test_"))
    return sorted(name for name in found if NAME.fullmatch(name))


def stamp(path: Path) -> tuple[int, int, int]:
    """Answer what changes whenever somebody writes the file; refuse one that not only its owner may write."""
    try:
        facts = path.stat()
        place = path.parent.stat()
    except OSError as error:
        raise BrokenStrategy(f"{path.name}: it cannot be read: {error.strerror}") from error
    if facts.st_mode & (stat.S_IWGRP | stat.S_IWOTH) or place.st_mode & stat.S_IWOTH:
        raise BrokenStrategy(f"{path.name}: others may write it. Say: chmod go-w {path} {path.parent}")
    if facts.st_size > SOURCE_BYTES_MAX:
        raise BrokenStrategy(f"{path.name}: {facts.st_size:,} bytes are too many for a strategy (at most {SOURCE_BYTES_MAX:,})")
    return facts.st_mtime_ns, facts.st_size, facts.st_ino


def source(path: Path) -> bytes:
    """Read a strategy's source."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise BrokenStrategy(f"{path.name}: it cannot be read: {error.strerror}") from error


def fingerprint(text: bytes, *, ours: str) -> str:
    """Identify a strategy by its source and by the code of ours that it is built on."""
    return hashlib.sha256(ours.encode() + text).hexdigest()
