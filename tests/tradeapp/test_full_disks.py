"""Whoever cannot write a log goes on with the work: a disk that is full stops no trading (P07)."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.waiting import wait_until
from tradeapp.up.child import Child, ProcessSpec

PROJECT = Path(__file__).resolve().parents[2]
# Every write to it fails like one to a full disk.
FULL = Path("/dev/full")
pytestmark = [
    pytest.mark.fault("P07"),
    pytest.mark.skipif(not FULL.exists(), reason="Linux alone has a disk that is always full"),
]

# Long enough to pass every buffer.
PROGRAM = """
import logging.config, pathlib, sys
import structlog
from tradeapp import logs
logging.config.dictConfig(logs.logging_settings("INFO"))
logs.configure_structlog()
for number in range(2000):
    structlog.get_logger().info("order.sent", number=number, words="w" * 100)
try:
    raise ValueError("something failed")
except ValueError:
    logging.getLogger("anybody").exception("and is told")
pathlib.Path(sys.argv[1]).write_text("the work is done")
"""


def spec(told: Path) -> ProcessSpec:
    """Return a process that logs much and then does its work."""
    return ProcessSpec(
        name="logger", command=[sys.executable, "-c", PROGRAM, str(told)], environment=dict(os.environ), directory=PROJECT
    )


def test_a_process_whose_log_is_full_does_its_work(tmp_path: Path) -> None:
    """Started by the supervisor's own means, its log on a disk without room."""
    log, told = tmp_path / "logger.log", tmp_path / "told"
    log.symlink_to(FULL)
    process = Child(spec=spec(told), log=log).start()
    assert process.wait(60) is not None
    assert told.read_text() == "the work is done"


def test_with_room_the_same_process_leaves_its_log(tmp_path: Path) -> None:
    """What the other test finds would prove nothing if nothing were logged."""
    log, told = tmp_path / "logger.log", tmp_path / "told"
    child = Child(spec=spec(told), log=log)
    assert child.start().wait(60) == 0
    wait_until(lambda: "ValueError: something failed" in log.read_text())
    assert log.read_text().count("order.sent") == 2000


def test_a_long_log_begins_anew_and_what_it_said_is_kept(tmp_path: Path) -> None:
    log = tmp_path / "logger.log"
    log.write_text("12345")
    child = Child(spec=spec(tmp_path), log=log)
    child.shorten_log(5)
    assert (log.read_text(), (tmp_path / "logger.log.1").exists()) == ("12345", False)
    child.shorten_log(4)
    assert (log.read_text(), (tmp_path / "logger.log.1").read_text()) == ("", "12345")


def test_a_long_log_begins_anew_though_there_is_no_room_for_what_it_said(tmp_path: Path) -> None:
    """Otherwise the log that filled the disk would fill it for ever; the writer goes on at the new beginning."""
    log, older = tmp_path / "logger.log", tmp_path / "logger.log.1"
    older.symlink_to(FULL)
    with subprocess.Popen(
        [sys.executable, "-c", "import sys; [print(line.strip(), flush=True) for line in sys.stdin]"],
        stdin=subprocess.PIPE,
        stdout=log.open("ab"),
        text=True,
    ) as writer:
        assert writer.stdin is not None
        writer.stdin.write("a long story\n")
        writer.stdin.flush()
        wait_until(lambda: log.read_text() == "a long story\n")
        Child(spec=spec(tmp_path), log=log).shorten_log(4)
        assert (log.read_text(), older.is_symlink()) == ("", False)
        writer.stdin.write("more\n")
        writer.stdin.flush()
        wait_until(lambda: log.read_text() == "more\n")


def test_a_log_that_is_gone_is_nobodys_trouble(tmp_path: Path) -> None:
    Child(spec=spec(tmp_path), log=tmp_path / "never.log").shorten_log(1)
    assert not list(tmp_path.iterdir())
