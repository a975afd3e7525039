"""What a user's strategy does wrong ends its own process and is told with its line; what it must not reach, it does not reach."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from plugins.source import FolderSource
from strategies import checks, registry
from strategies.sources import BrokenStrategy
from tests.plugins.own import candles, children, line_of, quick, walk, write


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of one's own."""
    return tmp_path / "strategies"


@pytest.fixture
def source(folder: Path) -> Iterator[FolderSource]:
    """The folder with little patience for slow strategies."""
    opened = quick(folder)
    yield opened
    opened.close()


def said_of(source: FolderSource, path: Path) -> str:
    """Answer what is said of a strategy that cannot be run."""
    with pytest.raises(BrokenStrategy) as told:
        walk(source, candles(), path.stem)
    return str(told.value)


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("wrong = {}['this']", "KeyError: 'this'"),
        ("if True print(1)", "SyntaxError: invalid syntax"),
        ("panel[3, 0, i] = 1 / 0", "ZeroDivisionError: division by zero"),
        ("hoard = bytearray(8 << 30)", "it used more memory than it may"),
        ("raise SystemExit(3)", "its process ended"),
        ("import ctypes; ctypes.string_at(0)", "its process ended: Fatal Python error: Segmentation fault"),
    ],
)
@pytest.mark.fault("P09")
def test_an_error_names_its_file_and_line(folder: Path, source: FolderSource, line: str, why: str) -> None:
    path = write(folder, line=line)
    said = said_of(source, path)

    assert said.startswith("mine.py")
    assert why in said
    assert "SystemExit" in line or f"mine.py:{line_of(path, line)}: " in said


@pytest.mark.parametrize(
    ("line", "used"),
    [("while True: pass", "1 seconds of a processor"), ("import time; time.sleep(60)", "5 seconds by the clock")],
)
@pytest.mark.fault("P09")
def test_one_that_does_not_answer_is_ended_with_its_line(folder: Path, source: FolderSource, line: str, used: str) -> None:
    path, before = write(folder, line=line), children()

    assert said_of(source, path) == f"mine.py:{line_of(path, line)}: it used more than {used} for one answer"
    assert children() == before


@pytest.mark.fault("P09")
def test_one_that_stands_deep_in_its_calls_is_ended_with_its_line(folder: Path, source: FolderSource) -> None:
    """It tells of every call it stands in, letter by letter, while its parent reads."""
    head = "def deeper(levels):\n    if levels:\n        return deeper(levels - 1)\n    while True:\n        levels += 1\n\n"
    path = write(folder, line="deeper(90)", head=head)

    assert said_of(source, path) in {
        f"mine.py:{line}: it used more than 1 seconds of a processor for one answer" for line in (4, 5)
    }


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("return 1000", "step answered 1000: it must write 1 to 64 decisions"),
        ("return 0", "step answered 0"),
        ("return -(2**62)", "step answered -4611686018427387904"),
        ("decisions['kind'] = 9; decisions['reason'] = 29; return 1", "kind 9"),
        ("decisions['kind'] = 1; return 1", "reason 0"),
        ("decisions['reason'] = 29; decisions['symbol'] = 7; return 1", "market 7 of 1"),
        ("decisions['reason'] = 29; decisions['symbol'] = -1; return 1", "market -1 of 1"),
        ("decisions['reason'] = 29; decisions['slot'] = 2**40; return 1", "slot 1099511627776"),
        ("decisions['reason'] = 29; decisions['side'] = 3; return 1", "side 3"),
    ],
)
def test_nonsense_never_reaches_compiled_code(folder: Path, source: FolderSource, line: str, why: str) -> None:
    assert why in said_of(source, write(folder, line=line))


def test_no_secret_of_ours_is_in_its_environment(folder: Path, source: FolderSource, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgres://secret")
    monkeypatch.setenv("BINANCE_API_SECRET", "secret")
    said = said_of(source, write(folder, line="import os; raise KeyError(' '.join(sorted(os.environ)))"))

    assert "PATH" in said
    assert "DATABASE_URL" not in said
    assert "SECRET" not in said


@pytest.mark.parametrize(
    "line",
    [
        "open('{key}').read()",
        "open('{key}.new', 'w')",
        "import os; os.listdir('{folder}')",
        "open('/proc/{parent}/environ').read()",
        "import os; os.kill({parent}, 0)",
        "import os; os.unlink('{key}')",
    ],
)
def test_our_files_and_processes_are_out_of_its_reach(tmp_path: Path, folder: Path, source: FolderSource, line: str) -> None:
    key = tmp_path / "master.key"
    key.write_text("the master key")
    path = write(folder, line=line.format(key=key, folder=tmp_path, parent=os.getpid()))
    _needs_wall(source, "files")

    assert "PermissionError" in said_of(source, path)
    assert key.read_text() == "the master key"


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("import os; os.fork()", "PermissionError"),
        ("import subprocess; subprocess.run(['/bin/true'])", "PermissionError"),
        ("import os; os.execv('/bin/true', ['true'])", "PermissionError"),
        ("import threading; threading.Thread(target=print).start()", "can't start new thread"),
        ("import socket; socket.socket(socket.AF_UNIX)", "PermissionError"),
        ("import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM)", "PermissionError"),
        ("import socket; socket.socketpair()", "PermissionError"),
        ("import os; os.kill(os.getppid(), 0)", "PermissionError"),
        ("import os; os.killpg(0, 9)", "PermissionError"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGTERM)", "its process ended"),
    ],
)
def test_it_gets_no_process_no_thread_and_no_connection(folder: Path, source: FolderSource, line: str, why: str) -> None:
    path = write(folder, line=line)
    _needs_wall(source, "network")

    said = said_of(source, path)
    assert said.startswith("mine.py:" if "SIGTERM" in line else f"mine.py:{line_of(path, line)}: ")
    assert why in said


def test_what_it_prints_disturbs_nobody(folder: Path, source: FolderSource, capfd: pytest.CaptureFixture[str]) -> None:
    write(folder, line="print('x' * 10_000)")

    assert len(walk(source, candles()).said) == 60
    assert capfd.readouterr() == ("", "")


def test_it_may_complain_for_ever(folder: Path, source: FolderSource) -> None:
    """A warning at every step, for months, is no reason to stop."""
    write(folder, line="import sys; sys.stderr.write('x' * 50_000)")

    assert len(walk(source, candles()).said) == 60


def test_one_that_ended_is_started_again_when_it_is_asked_next(folder: Path, source: FolderSource) -> None:
    path = write(folder, line="import os; os._exit(7) if panel[3, 0, i] > 3500 else None")
    low, high = candles() * 0.1, candles() * 10.0

    assert len(walk(source, low).said) == 60
    with pytest.raises(BrokenStrategy, match="its process ended: code 7"):
        walk(source, high, path.stem)
    assert len(walk(source, low).said) == 60


def test_one_that_the_machine_ends_amid_a_step_is_asked_again(folder: Path, source: FolderSource) -> None:
    """Memory may run out for others' sake: a step has no effect but its answer, so it can be asked for twice."""
    path, before = write(folder, line="import time; time.sleep(0.5)"), children()
    definition = source.definition(path.stem)
    assert definition is not None
    (child,) = [one for one in children() if one not in before]
    with ThreadPoolExecutor(1) as pool:
        walking = pool.submit(checks.walk, definition, registry.record_of(definition, {}), candles(3))
        time.sleep(0.2)
        child.kill()
        assert len(walking.result().said) == 3


def test_one_that_speaks_out_of_turn_is_broken(folder: Path, source: FolderSource) -> None:
    """Only a check of parameters may be answered with a refusal."""
    path = write(folder, line="pass", head="import plugins.wire\n\nplugins.wire.DONE = plugins.wire.REFUSED\n")

    assert said_of(source, path) == "mine.py: its process answers nothing that makes sense"


@pytest.mark.parametrize(
    ("told", "why"), [("'[' * 100_000", "RecursionError"), ("'{'", "JSONDecodeError"), ("'[]'", "answers list, not dict")]
)
def test_one_that_describes_itself_in_nonsense_is_broken(folder: Path, source: FolderSource, told: str, why: str) -> None:
    path = write(folder, head=f"import json\n\njson.dumps = lambda *_: {told}\n")

    assert why in said_of(source, path)


def test_one_that_cannot_be_loaded_leaves_no_process(folder: Path, source: FolderSource) -> None:
    path, before = write(folder, "broken", head="import nothing_of_this_name\n"), children()

    assert said_of(source, path).startswith("broken.py:1: ModuleNotFoundError")
    assert children() == before


def test_closing_leaves_no_process(folder: Path) -> None:
    source, before = quick(folder), children()
    write(folder, "first")
    write(folder, "second")
    walk(source, candles(), "first")
    walk(source, candles(), "second")
    started = [child for child in children() if child not in before]
    source.close()

    assert len(started) == 2
    assert not any(child.is_running() for child in started)


def _needs_wall(source: FolderSource, wall: str) -> None:
    write(source._place(), "plain")
    if wall not in source.walls("plain"):
        pytest.skip(f"this kernel has no wall round the {wall}")
