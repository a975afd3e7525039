"""A small run of the real supervisor, for tests that kill it: `python -m tests.tradeapp.supervised_program DIRECTORY`.

It supervises one process with a grandchild that left for a session of its own, as PostgreSQL's backends and daemons do, and
one that takes two seconds to end. With `lingering` behind the directory there is one more, of whose group something is there
until the slow one has ended, and the supervisor has the patience to wait for it.
"""

from __future__ import annotations

import os
import sys
from contextlib import closing
from pathlib import Path

from tradeapp.up import instance_lock
from tradeapp.up import supervisor as supervision
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

# What was killed amid a write to a slow disk: nobody reaps it before the slow one has written.
LINGERING = """
import os, pathlib, sys, time
group = os.getpid()
if os.fork() == 0:
    os.setpgid(0, 0)
    if os.fork() == 0:
        os.setpgid(0, group)
        pathlib.Path(sys.argv[1] + ".lingering").touch()
        time.sleep(600)
    while not pathlib.Path(sys.argv[1] + ".written").exists():
        time.sleep(0.02)
    os.wait()
    os._exit(0)
time.sleep(600)
"""


def main() -> int:
    data_dir = Path(sys.argv[1])
    try:
        with closing(instance_lock.acquire(data_dir)):
            run(data_dir, lingers="lingering" in sys.argv[2:])
    except UnableToStart as trouble:
        print(f"Unable to start: {trouble}", file=sys.stderr)
        return 1
    return 0


def run(data_dir: Path, *, lingers: bool) -> None:
    programs = [("family", FAMILY, 0), ("slow", SLOW, 2)]
    if lingers:
        programs.append(("lingering", LINGERING, 0))
        supervision._GONE_SECONDS = 30.0
    with Supervisor(data_dir=data_dir, project=Path.cwd(), say=lambda line: print(line, flush=True)) as supervisor:
        for name, program, stop_phase in programs:
            supervisor.start(
                ProcessSpec(
                    name=name,
                    command=[sys.executable, "-c", program, str(data_dir / "pids")],
                    environment=supervisor.child_environment(os.environ),
                    directory=data_dir,
                    stop_phase=stop_phase,
                )
            )
        try:
            supervisor.keep_running(until=lambda: False)
        except StopRequested:
            print("Stopping.", flush=True)


if __name__ == "__main__":
    sys.exit(main())
