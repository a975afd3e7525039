"""Killed fifty times at random points, the fetcher still ends with the source, row for row."""

from __future__ import annotations

import random
import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from history_fetcher.archives import labels_of_days, labels_of_months, span_of
from history_fetcher.trouble import NoRoom
from history_fetcher.verify import verify
from tests.history_fetcher.conftest import stored
from tests.history_fetcher.mirror import Handler, Mirror
from tests.history_fetcher.rows import rows_of

KILLS = 50
SYMBOLS = ("BTCUSDT", "ETHUSDT", "SOLUSDT")
FIRST, LAST = "2024-09", "2025-02-09"
MISSING_MONTH = "2024-11"
COLUMNS = ("open", "high", "low", "close", "volume")
MICROSECONDS_FROM = span_of("2025-01")[0]


def publish(mirror: Mirror, folder: Path, symbol: str) -> dict[str, Any]:
    """Publish real candles as the site would: a month is missing, and the last days are no month yet."""
    table = pq.read_table(folder / "ohlcv" / "binance" / symbol / "1h.parquet")
    source = {name: table[name].to_numpy() for name in ("open_time", *COLUMNS)}
    begin, end = span_of(FIRST)[0], span_of(LAST)[1]
    inside = (source["open_time"] >= begin) & (source["open_time"] < end)
    source = {name: column[inside] for name, column in source.items()}
    months = [label for label in labels_of_months(begin, span_of("2025-01")[1]) if label != MISSING_MONTH]
    days = [*labels_of_days(*span_of(MISSING_MONTH)), *labels_of_days(span_of("2025-02-01")[0], end)]
    for label in (*months, *days):
        first, last = span_of(label)
        rows = np.flatnonzero((source["open_time"] >= first) & (source["open_time"] < last))
        mirror.put_rows(f"{symbol}/1h", label, [line(source, int(row)) for row in rows])
    return source


def line(source: dict[str, Any], row: int) -> str:
    begin = int(source["open_time"][row])
    factor, rest = (1000, 999) if begin >= MICROSECONDS_FROM else (1, 0)
    prices = ",".join(repr(float(source[name][row])) for name in COLUMNS)
    return f"{begin * factor},{prices},{(begin + 3_599_999) * factor + rest},1.0,1,0.5,0.5,0"


def slowly(handler: Handler, content: bytes) -> None:
    """Send an archive in pieces, so that a kill finds a transfer on its way."""
    rest = content[handler.range_start() :]
    handler.send_response(206 if handler.range_start() else 200)
    handler.send_header("Content-Length", str(len(rest)))
    handler.end_headers()
    for place in range(0, len(rest), 4000):
        handler.wfile.write(rest[place : place + 4000])
        handler.wfile.flush()
        time.sleep(0.01)


def test_fifty_kills_leave_no_trace(mirror: Mirror, root: Path, shared_data: Path, tmp_path: Path) -> None:
    sources = {symbol: publish(mirror, shared_data, symbol) for symbol in SYMBOLS}
    for key in [key for key in mirror.files if key.endswith(".zip")]:
        mirror.troubles[key] = [slowly] * 1000
    folder = tmp_path / "elsewhere"
    shutil.copytree(Path(__file__).parent.parent.parent / "history_fetcher", folder, ignore=shutil.ignore_patterns("__pycache__"))
    command = [sys.executable, str(folder / "fetch.py"), "--quiet", "--base-url", mirror.url, "--root", str(root), "--fill_daily"]
    command += ["--symbol", *SYMBOLS, "--interval", "1h", "--from", FIRST, "--to", LAST]
    chance = random.Random(6)
    killed = 0

    while killed < KILLS:
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=tmp_path)
        try:
            process.wait(timeout=chance.uniform(0.1, 0.9))
        except subprocess.TimeoutExpired:
            process.kill()
            killed += 1
        if process.wait() == 0:
            # Everything was there before the kill: begin anew with what is left of the fifty.
            shutil.rmtree(root)
    last = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    mirror.asked.clear()
    again = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)

    assert (last.returncode, again.returncode) == (0, 0), last.stderr + again.stderr
    for symbol, source in sources.items():
        found = stored(root, symbol)
        for name in source:
            assert (found[name] == source[name]).all(), (symbol, name)
    assert verify(root) == []
    assert not list(root.rglob("*.part"))
    assert mirror.archives_asked() == []
    assert "Nothing to download" in again.stdout


@pytest.mark.parametrize("label", ["2021-04", "2023-03", "2024-12", "2025-01"])
def test_the_sites_own_archives_become_the_recorded_candles(
    mirror: Mirror, root: Path, shared_data: Path, fetch: Any, label: str
) -> None:
    below = shared_data / "vision_mirror"
    mirror.files = {path.relative_to(below).as_posix(): path.read_bytes() for path in below.rglob("*") if path.is_file()}
    table = pq.read_table(shared_data / "ohlcv" / "binance" / "BTCUSDT" / "1h.parquet")
    times = table["open_time"].to_numpy()
    begin, end = span_of(label)
    inside = (times >= begin) & (times < end)

    fetch("--from", label, "--to", label)

    found = stored(root)
    assert (found["open_time"] == times[inside]).all()
    for name in COLUMNS:
        assert (found[name] == table[name].to_numpy()[inside]).all(), name


@pytest.mark.parametrize("bytes_max", [500, 8_000, 20_000])
def test_a_disk_that_refuses_ends_in_words_and_the_next_run_goes_on(mirror: Mirror, root: Path, bytes_max: int) -> None:
    """No file may grow beyond a size: archives, tables and the manifest meet it in turn."""
    for month in ("2024-11", "2024-12", "2025-01"):
        mirror.put_rows("BTCUSDT/1h", month, rows_of(month))
    command = [sys.executable, "-m", "history_fetcher.fetch", "--quiet", "--base-url", mirror.url, "--root", str(root)]
    command += ["--symbol", "BTCUSDT", "--interval", "1h", "--from", "2024-11", "--to", "2025-01"]

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (bytes_max, bytes_max))

    full = subprocess.run(command, capture_output=True, text=True, preexec_fn=limit)
    assert full.returncode == NoRoom("").exit_code, full.stderr
    assert "cannot be written" in full.stderr
    assert "Traceback" not in full.stderr
    assert verify(root) == []

    again = subprocess.run(command, capture_output=True, text=True)
    assert again.returncode == 0, again.stderr
    assert len(stored(root)["open_time"]) == 24 * (30 + 31 + 31)
    assert verify(root) == []
