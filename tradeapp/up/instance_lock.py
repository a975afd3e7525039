"""Let one supervisor at a time into a data directory."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import TextIO

from tradeapp.up.trouble import UnableToStart

LOCK_NAME = "up.lock"


def acquire(data_dir: Path) -> TextIO:
    """Hold the data directory until the returned file is closed, or say who holds it."""
    try:
        file = (data_dir / LOCK_NAME).open("a+", encoding="utf-8")
    except OSError as error:
        raise UnableToStart(f"{data_dir / LOCK_NAME} cannot be opened: {error.strerror}.") from error
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        file.seek(0)
        holder = file.read().strip() or "unknown"
        file.close()
        raise UnableToStart(
            f"The system already runs in {data_dir} (process {holder}). Use that one, stop it with Ctrl-C where it "
            "runs, or give this one a data directory of its own with TRADEAPP_DATA_DIR."
        ) from error
    file.seek(0)
    file.truncate()
    file.write(str(os.getpid()))
    file.flush()
    return file


def holder(data_dir: Path) -> int | None:
    """Return the pid of the supervisor that runs in this data directory, if one does."""
    try:
        with (data_dir / LOCK_NAME).open("r", encoding="utf-8") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return int(file.read().strip() or 0) or None
    except (OSError, ValueError):
        pass
    return None
