"""The newest candles, which no archive has yet, from the exchange's REST interface."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlencode

import pyarrow as pa

from .archives import Series, labels_of_months, span_of
from .candles import SCHEMA, clean
from .intervals import MONTH, next_open
from .manifest import PartitionEntry
from .partitions import merge, read_csv, write_csv
from .progress import Progress
from .request import Request
from .store import Store
from .trouble import BadRequest, Unreachable
from .wire import Wire

ROWS_MAX: Final = 1000


def fetch_tail(
    wire: Wire,
    store: Store,
    request: Request,
    series: Series,
    months: Mapping[str, PartitionEntry],
    progress: Progress,
    *,
    now: int,
) -> tuple[list[str], int]:
    """Fetch what closed after the last stored candle; answer the months that changed and how many rows came."""
    stored = [entry.last for entry in months.values() if entry.rows]
    begin = max(request.begin, next_open(max(stored), series.interval)) if stored else request.begin
    end = min(request.end, now)
    changed, count = [], 0
    labels = list(labels_of_months(begin, end)) if begin < end else []
    progress.begin(f"newest candles of {series.symbol}", len(labels))
    for month in labels:
        first, last = span_of(month)
        fresh = _month(wire, request.rest_url, series, max(begin, first), min(end, last), now, progress)
        progress.add(done=1)
        if fresh.num_rows:
            path = store.tail(series, month)
            write_csv(merge([read_csv(path), fresh] if path.exists() else [fresh]), path)
            changed.append(month)
            count += fresh.num_rows
    return changed, count


def _month(wire: Wire, rest_url: str, series: Series, begin: int, end: int, now: int, progress: Progress) -> pa.Table:
    tables = []
    while begin < end:
        rows = _ask(wire, rest_url, series, begin, end)
        closed = [row for row in rows if int(row[6]) < now]
        if closed:
            text = "\n".join(",".join(str(cell) for cell in row) for row in closed)
            table, report = clean(text.encode(), interval=series.interval, begin=begin, end=end)
            if report.refused:
                raise Unreachable(f"{rest_url} sent a candle of {series.symbol} that cannot be true: {report.refused[0].reason}.")
            tables.append(table)
            progress.add(rows=table.num_rows)
        if len(rows) < ROWS_MAX or not closed:
            break
        begin = next_open(int(closed[-1][0]), series.interval)
    return merge(tables) if tables else SCHEMA.empty_table()


def _ask(wire: Wire, rest_url: str, series: Series, begin: int, end: int) -> list[list[Any]]:
    interval = "1M" if series.interval == MONTH else series.interval
    words = {"symbol": series.symbol, "interval": interval, "startTime": begin, "endTime": end - 1, "limit": ROWS_MAX}
    url = f"{rest_url}/api/v3/klines?{urlencode(words)}"
    content = wire.get(url)
    if content is None:
        raise Unreachable(f"{rest_url} has no candles (404). Is it the address of a Binance-compatible REST interface?")
    try:
        rows = json.loads(content)
    except ValueError:
        raise Unreachable(f"{rest_url} does not answer with JSON.") from None
    if not isinstance(rows, list) or not all(isinstance(row, list) and len(row) == 12 for row in rows):
        raise BadRequest(f"{rest_url} refuses {series.symbol} {interval}: {str(rows)[:200]}")
    return rows
