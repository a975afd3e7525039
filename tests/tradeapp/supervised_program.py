"""A small run of the real supervisor, for tests that kill it: `python -m tests.tradeapp.supervised_program DIRECTORY`.

It supervises one process with a grandchild that left for a session of its own, as PostgreSQL's backends and daemons do, and
one that takes two seconds to end.
"""

from __future__ import annotations

import os
import sys
from contextlib import closing
from pathlib import Path

from tradeapp.up import instance_lock
from tradeapp.up.child import ProcessSpec
from tradeapp.up.supervisor import StopRequested, Supervisor
from tradeapp.up.trouble import UnableToStart

FAMILY = """
import os, pathlib, subprocess, sys, time
stubborn = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"
grandchild = subprocess.Popen([sys.executable, "-c", stubborn], start_new_session=True)
draft = pathlib.Path(sys.argv[1] + ".draft")
draft.write_text(f"{os.getpid()} {grandchild.pid}")
draft.rename(sys.argv[1])
time.sleep(600)
"""

# A database that writes to a slow disk before it ends.
SLOW = """
import pathlib, signal, sys, time
def end(*_):
    time.sleep(2.0)
    pathlib.Path(sys.argv[1] + ".written").touch()
    sys.exit()
signal.signal(signal.SIGTERM, end)
draft = pathlib.Path(sys.argv[1] + ".slow")
draft.touch()
time.sleep(600)
"""


def main() -> int:
    data_dir = Path(sys.argv[1])
    try:
        with closing(instance_lock.acquire(data_dir)):
            run(data_dir)
    except UnableToStart as trouble:
        print(f"Unable to start: {trouble}", file=sys.stderr)
        return 1
    return 0


def run(data_dir: Path) -> None:
    with Supervisor(data_dir=data_dir, project=Path.cwd(), say=lambda line: print(line, flush=True)) as supervisor:
        supervisor.start(
            ProcessSpec(
                name="family",
                command=[sys.executable, "-c", FAMILY, str(data_dir / "pids")],
                environment=supervisor.child_environment(os.environ),
                directory=data_dir,
            )
        )
        supervisor.start(
            ProcessSpec(
                name="slow",
                command=[sys.executable, "-c", SLOW, str(data_dir / "pids")],
                environment=supervisor.child_environment(os.environ),
                directory=data_dir,
                stop_phase=2,
            )
        )
        try:
            supervisor.keep_running(until=lambda: False)
        except StopRequested:
            print("Stopping.", flush=True)


if __name__ == "__main__":
    sys.exit(main())
