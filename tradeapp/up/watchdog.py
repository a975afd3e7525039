"""Outlive the supervisor by a few seconds: when its pipe closes without a farewell, end all it started.

Run as `python -m tradeapp.up.watchdog RUN_FILE` with the pipe on standard input.
"""

from __future__ import annotations

import signal
import sys
from pathlib import Path

from tradeapp.up import run_file, sweep

FAREWELL = b"stopped\n"


def main() -> None:
    """Wait for the end of the supervisor."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    if sys.stdin.buffer.read() != FAREWELL:
        sweep.sweep(run_file.read(Path(sys.argv[1])))


if __name__ == "__main__":
    main()
