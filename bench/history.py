"""Measure how fast archives become Parquet, and Parquet becomes columns. The full size: --symbols 10 --years 5."""

from __future__ import annotations

import argparse
import hashlib
import io
import resource
import shutil
import tempfile
import threading
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import psutil
import pyarrow as pa
from pyarrow import csv

from history_fetcher.archives import KLINES, Archive, Series, labels_of_months, span_of
from history_fetcher.fetch import parser, request_of
from history_fetcher.intervals import MINUTE_MS
from history_fetcher.progress import Progress
from history_fetcher.run import Run
from history_fetcher.store import Store
from history_fetcher.wire import Wire
from marketdata.history.catalog import find
from marketdata.history.columns import candle_columns, mapped
from tests.history_fetcher.mirror import Mirror, serving

LAST_YEAR = 2025


def main() -> None:
    """Make archives, import them, read one symbol back; print one line for each."""
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("--symbols", type=int, default=1)
    words.add_argument("--years", type=int, default=1)
    words.add_argument("--jobs", type=int, default=2)
    options = words.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="bench-history-"))
    try:
        _measure(
            folder, symbols=[f"COIN{number}USDT" for number in range(options.symbols)], years=options.years, jobs=options.jobs
        )
    finally:
        shutil.rmtree(folder)


def _measure(folder: Path, *, symbols: list[str], years: int, jobs: int) -> None:
    mirror = Mirror()
    begin, end = span_of(f"{LAST_YEAR - years}-01")[0], span_of(f"{LAST_YEAR}-01")[0]
    store = Store(folder)
    months = list(labels_of_months(begin, end))
    for number, symbol in enumerate(symbols):
        for month in months:
            _publish(mirror, store, Archive(Series("spot", KLINES, symbol, "1m"), month), seed=number)
    with serving(mirror):
        flags = ["--base-url", mirror.url, "--root", str(folder), "--jobs", str(jobs), "--from", months[0], "--to", months[-1]]
        flags += ["--symbol", *symbols, "--interval", "1m"]
        request = request_of(vars(parser().parse_args(flags)), now=span_of("2026-01")[0])
        before, began = _memory_mb(), time.perf_counter()
        with _watching_memory() as samples:
            outcome = Run(request, wire=Wire(threading.Event()), progress=Progress(), now=span_of("2026-01")[0]).run()
        seconds = time.perf_counter() - began
    assert not outcome.failed, outcome.failed
    assert outcome.rows == len(symbols) * (end - begin) // MINUTE_MS
    print(
        f"import: {outcome.rows:,} rows of {len(symbols)} symbols x {years} years in {seconds:.1f} s, "
        f"{outcome.rows / seconds:,.0f} rows/s with {jobs} jobs, memory {before} MB before, {_memory_mb()} MB at most"
    )
    quarter = max(1, len(samples) // 4)
    peaks = [max(part) for part in (samples[:quarter], samples[quarter : 2 * quarter], samples[2 * quarter :]) if part]
    print(f"memory in the first quarter, the second and the rest: {', '.join(f'{peak} MB' for peak in peaks)} at most")
    one = find(folder, exchange="binance", symbol=symbols[0], interval="1m")
    began = time.perf_counter()
    mapped(folder, one)
    print(f"columns of one symbol made: {(time.perf_counter() - began) * 1000:.0f} ms, once")
    began = time.perf_counter()
    candles = candle_columns(folder, symbol=symbols[0], interval="1m")
    total = float(candles.values.sum())
    print(f"one symbol read back: {len(candles):,} candles in {(time.perf_counter() - began) * 1000:.0f} ms (sum {total:.6g})")


def _publish(mirror: Mirror, store: Store, archive: Archive, *, seed: int) -> None:
    """Put generated archives where a killed run would have left them: the download is not what is measured."""
    begin, end = archive.span
    times = np.arange(begin, end, MINUTE_MS, dtype=np.int64)
    chance = np.random.default_rng(begin + seed)
    closes = np.round(30_000 * np.exp(np.cumsum(chance.normal(0, 5e-4, len(times)))), 2)
    opens = np.concatenate([closes[:1], closes[:-1]])
    highs, lows = np.round(np.maximum(opens, closes) * 1.0003, 2), np.round(np.minimum(opens, closes) * 0.9997, 2)
    volume = np.round(chance.lognormal(2, 1, len(times)), 5)
    quotes = np.round(volume * closes, 8)
    columns = [times, opens, highs, lows, closes, volume, times + MINUTE_MS - 1, quotes, chance.integers(1, 2000, len(times))]
    columns += [np.round(volume / 2, 5), np.round(quotes / 2, 8), np.zeros(len(times), dtype=np.int64)]
    text = pa.BufferOutputStream()
    table = pa.table({str(place): column for place, column in enumerate(columns)})
    csv.write_csv(table, text, csv.WriteOptions(include_header=False))
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as zipped:
        zipped.writestr(f"{archive.stem}.csv", text.getvalue().to_pybytes())
    content = packed.getvalue()
    path = store.raw(archive)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    # The mirror needs to know only its name and checksum.
    mirror.files[archive.key] = b""
    mirror.files[f"{archive.key}.CHECKSUM"] = f"{hashlib.sha256(content).hexdigest()}  {path.name}".encode()


@contextmanager
def _watching_memory() -> Iterator[list[int]]:
    """Sample what the process holds twice a second."""
    samples: list[int] = []
    ended, process = threading.Event(), psutil.Process()

    def sample() -> None:
        while not ended.wait(0.5):
            samples.append(process.memory_info().rss // 2**20)

    thread = threading.Thread(target=sample, daemon=True)
    thread.start()
    try:
        yield samples
    finally:
        ended.set()
        thread.join()


def _memory_mb() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


if __name__ == "__main__":
    main()
