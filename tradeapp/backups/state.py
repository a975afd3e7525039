"""The files beside the database: which belong into a backup, and how each is copied whole."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Final

# Servers are copied by their own tools, logs and caches are made anew, and downloaded history can be downloaded again.
LEFT_OUT: Final = frozenset(
    {"servers", "logs", "numba", "run", "history", "backups", "ledger-heads", "addresses.json", "up.lock"}
)
# The keys in the database are sealed with it: whoever finds a backup must not find this beside it.
MASTER_KEY: Final = "master.key"
_STORE_SUFFIXES: Final = (".sqlite", ".sqlite3", ".db")
_STORE_PARTS: Final = ("-wal", "-shm", "-journal", ".lock")


def copy_out(data_dir: Path, folder: Path) -> None:
    """Copy what belongs into a backup; the local exchange's store by SQLite itself, as it may be written right now."""
    for path in _files(data_dir):
        target = folder / path.relative_to(data_dir)
        target.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix in _STORE_SUFFIXES:
            _copy_store(path, target)
        else:
            shutil.copy2(path, target)


def forget_heads(data_dir: Path) -> None:
    """Forget how far the books of this place had come: from here on the restored ones count, and they say that they were."""
    shutil.rmtree(data_dir / "ledger-heads", ignore_errors=True)


def put_back(folder: Path, data_dir: Path) -> list[str]:
    """Put files back that are not there; answer those that were kept as they are.

    An exchange does not go back in time because its customer does: a store that is here already is newer, and stays.
    """
    kept = []
    for path in sorted(folder.rglob("*")):
        target = data_dir / path.relative_to(folder)
        if path.is_dir():
            target.mkdir(mode=0o700, parents=True, exist_ok=True)
        elif target.exists():
            kept.append(str(path.relative_to(folder)))
        else:
            shutil.copy2(path, target)
            target.chmod(0o600)
    return kept


def _files(data_dir: Path) -> Iterator[Path]:
    for path in sorted(data_dir.rglob("*")):
        first = path.relative_to(data_dir).parts[0]
        if first in LEFT_OUT or first == MASTER_KEY or path.name.endswith(_STORE_PARTS):
            continue
        if path.is_file() and not path.is_symlink():
            yield path


def _copy_store(source: Path, target: Path) -> None:
    with (
        contextlib.closing(sqlite3.connect(f"file:{source}?mode=ro", uri=True)) as reader,
        contextlib.closing(sqlite3.connect(target)) as writer,
    ):
        reader.backup(writer)
