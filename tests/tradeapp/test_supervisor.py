"""The supervisor ends what it started, however it ends itself."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from tests.waiting import wait_until

PROJECT = Path(__file__).resolve().parent.parent.parent


class Run:
    """One supervisor in a process of its own."""

    def __init__(self, data_dir: Path, *words: str) -> None:
        self.data_dir = data_dir
        self.pids_file = data_dir / "pids"
        self.pids_file.unlink(missing_ok=True)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.tradeapp.supervised_program", str(data_dir), *words],
            cwd=PROJECT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def family(self) -> list[psutil.Process]:
        """Return the child and its grandchild once both run."""
        wait_until(self.pids_file.exists)
        return [psutil.Process(int(pid)) for pid in self.pids_file.read_text().split()]

    def watchdogs(self) -> list[psutil.Process]:
        return [process for process in psutil.process_iter() if self._watches(process)]

    def _watches(self, process: psutil.Process) -> bool:
        with contextlib.suppress(psutil.Error):
            words = process.cmdline()
            return "tradeapp.up.watchdog" in words and words[-1].startswith(str(self.data_dir))
        return False


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Run]]:
    runs = []

    def begin(*words: str) -> Run:
        runs.append(Run(tmp_path, *words))
        return runs[-1]

    yield begin
    for run in runs:
        run.process.terminate()
        run.process.wait(20)
        if run.process.stdout is not None:
            run.process.stdout.close()
    for run in runs:
        for process in run.watchdogs():
            process.wait(20)


def test_ctrl_c_ends_everything_within_five_seconds(start: Callable[[], Run]) -> None:
    run = start()
    family = run.family()

    began = time.monotonic()
    run.process.send_signal(signal.SIGINT)
    output, _ = run.process.communicate(timeout=20)

    print(f"everything had ended after {time.monotonic() - began:.1f} s")
    assert run.process.returncode == 0
    assert "Stopping." in output
    assert not any(alive(process) for process in family)
    assert not run.watchdogs()


def test_the_last_to_end_has_the_time_that_the_others_left_over(start: Callable[[], Run]) -> None:
    """A database that is killed amid its last checkpoint recovers at the next start, but nobody should have to wait for that."""
    run = start()
    run.family()
    wait_until((run.data_dir / "pids.slow").exists)
    run.process.send_signal(signal.SIGINT)
    run.process.wait(timeout=15)
    assert (run.data_dir / "pids.written").exists()


def test_what_was_killed_holds_nobody_up_who_is_still_to_be_asked(start: Callable[..., Run]) -> None:
    """All groups are waited for together: a wait after each phase would come to more than the five seconds of a stop."""
    run = start("lingering")
    run.family()
    for name in ("pids.slow", "pids.lingering"):
        wait_until((run.data_dir / name).exists)
    run.process.send_signal(signal.SIGINT)
    run.process.wait(timeout=15)
    assert (run.data_dir / "pids.written").exists()


def test_kill_9_of_the_supervisor_leaves_no_orphan(start: Callable[[], Run]) -> None:
    run = start()
    family = run.family()

    run.process.kill()

    wait_until(lambda: not any(alive(process) for process in family))
    wait_until(lambda: not run.watchdogs())
    assert not list((run.data_dir / "run").glob("*.json"))


def test_the_next_start_sweeps_what_a_killed_watchdog_could_not(start: Callable[[], Run]) -> None:
    killed = start()
    family = killed.family()
    for watchdog in killed.watchdogs():
        # A stopped supervisor cannot start another watchdog.
        killed.process.send_signal(signal.SIGSTOP)
        watchdog.kill()
    killed.process.kill()
    killed.process.wait()
    assert alive(family[1]), "the grandchild outlives its parents, or this test proves nothing"

    following = start()
    following.family()

    assert not any(alive(process) for process in family)


def test_a_crashed_process_is_started_again_without_its_old_children(start: Callable[[], Run]) -> None:
    run = start()
    child, _grandchild = run.family()
    run.pids_file.unlink()

    child.kill()

    again = run.family()
    assert again[0].pid != child.pid
    assert again[0].is_running()


def test_a_killed_watchdog_is_replaced(start: Callable[[], Run]) -> None:
    run = start()
    run.family()
    wait_until(lambda: len(run.watchdogs()) == 1)
    first = run.watchdogs()[0]

    first.kill()

    wait_until(lambda: [process for process in run.watchdogs() if process != first and alive(process)] != [])


@pytest.mark.fault("O01")
def test_a_second_start_in_the_same_directory_is_refused(start: Callable[[], Run]) -> None:
    run = start()
    family = run.family()

    second = start()
    # The first one's family file was removed by starting the second.
    output, _ = second.process.communicate(timeout=20)

    assert second.process.returncode == 1
    assert f"already runs in {run.data_dir} (process {run.process.pid})" in output
    assert "Traceback" not in output
    assert all(process.is_running() for process in family)


def alive(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False
