"""Files of other programs: those that wait to be imported, and those that were written for export."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from stat import S_ISREG
from typing import Final

from history_fetcher.trouble import Trouble
from marketdata.history.files import ENDINGS, UnreadableFile, series_of

FILES_MAX: Final = 500
# A reader holds all of a file's rows at once.
BYTES_MAX: Final = 2**28


@dataclass(frozen=True, slots=True)
class WaitingFile:
    """A file that could be imported."""

    # Its path below the folder.
    name: str
    size: int
    # Whose candles it holds by its name; empty when the name does not say.
    series: str


def imports(root: Path) -> Path:
    """Answer where a person puts files that are to be imported."""
    return root / "imports"


def exports(root: Path) -> Path:
    """Answer where exported files are written."""
    return root / "exports"


def waiting_files(root: Path, *, exchange: str = "binance") -> list[WaitingFile]:
    """List what could be imported, by name; at most FILES_MAX."""
    found = sorted(_files(imports(root)))[:FILES_MAX]
    return [WaitingFile(name, size, _series(path, exchange)) for name, path, size in found]


def file_of(folder: Path, name: str) -> Path:
    """Answer the file of a name in a folder.

    Raises:
        UnreadableFile: it is not there, or the name leads out of the folder.
    """
    path = next((path for known, path, _ in _files(folder) if known == name), None)
    if path is None:
        raise UnreadableFile(f"There is no {name!r} in {folder}.")
    return path


def _files(folder: Path) -> Iterator[tuple[str, Path, int]]:
    if not folder.is_dir():
        return
    for path in folder.rglob("*"):
        name = path.relative_to(folder).as_posix()
        try:
            state = path.lstat()
        except OSError:
            # Somebody took it away, or keeps it from us.
            continue
        # A link could lead anywhere; a name of other bytes than UTF-8 can be shown nowhere.
        if path.suffix in ENDINGS and S_ISREG(state.st_mode) and name.isprintable():
            yield name, path, state.st_size


def _series(path: Path, exchange: str) -> str:
    try:
        return series_of(path, exchange).name
    except (UnreadableFile, Trouble):
        return ""
