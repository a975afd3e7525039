"""Rows of candles: read whatever shape they come in, and keep only what can be true."""

from __future__ import annotations

import io
from collections import Counter
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyarrow import csv

from .intervals import Times, is_on_grid, next_open, opens, places

# The site's twelve columns; the last one means nothing.
SITE_COLUMNS: Final = (
    "open_time",
    "open",
    "high",
    "low",
    "close",
    "volume",
    "close_time",
    "quote_volume",
    "trades",
    "taker_buy_volume",
    "taker_buy_quote_volume",
)
WIDTH: Final = len(SITE_COLUMNS) + 1
WHOLE: Final = ("open_time", "close_time", "trades")
SCHEMA: Final = pa.schema([(name, pa.int64() if name in WHOLE else pa.float64()) for name in SITE_COLUMNS])
# A time above this is in microseconds.
MICROSECONDS_FROM: Final = 100_000_000_000_000
_BOM: Final = b"\xef\xbb\xbf"

Rows = npt.NDArray[np.bool_]
# For each row, the place in REASONS of why it is refused.
Codes = npt.NDArray[np.int8]
REASONS: Final = (
    "",
    "not a finite number",
    "outside the archive's time",
    "off the grid",
    "between two milliseconds",
    "price not above zero",
    "negative amount",
    "high below low",
    "opens or closes outside its range",
    "overruled by a later row",
)
OVERRULED: Final = len(REASONS) - 1


class Refused(NamedTuple):
    """A row that was not believed."""

    line: int
    reason: str
    text: str


@dataclass(slots=True)
class Report:
    """What became of the rows of one archive."""

    rows: int = 0
    kept: int = 0
    # Candles that ended early, at an outage.
    short: int = 0
    repeated: int = 0
    disordered: int = 0
    refused: list[Refused] = field(default_factory=list)

    @property
    def reasons(self) -> dict[str, int]:
        """Count the refusals by reason."""
        return dict(sorted(Counter(row.reason for row in self.refused).items()))


@dataclass(slots=True)
class _Raw:
    """Rows as they came: one array a column, and the line each stood on."""

    columns: dict[str, npt.NDArray[np.generic]]
    lines: Times
    texts: list[bytes] | None

    def text(self, row: int) -> str:
        if self.texts is not None:
            return self.texts[row].decode("utf-8", "replace")
        return ",".join(str(column[row]) for column in self.columns.values())


def clean(content: bytes, *, interval: str, begin: int, end: int) -> tuple[pa.Table, Report]:
    """Read a file of candles that all open from `begin` up to, but without, `end`."""
    report = Report()
    raw = _read(content, report)
    report.rows += len(raw.lines)
    times, is_exact = _milliseconds(raw.columns["open_time"].astype(np.int64))
    codes = _judge(raw, times, is_exact, interval, begin, end)
    report.disordered = int((np.diff(times[codes == 0]) < 0).sum())
    order = np.argsort(times, kind="stable")
    order = _without_repeats(raw, times, order[codes[order] == 0], codes, report)
    for row in np.flatnonzero(codes):
        report.refused.append(Refused(int(raw.lines[row]), REASONS[codes[row]], raw.text(int(row))))
    report.refused.sort()
    table = _table(raw, times, order, interval)
    report.kept = len(order)
    report.short = int((table["close_time"].to_numpy() < _closes(times[order], interval)).sum())
    return table, report


def _read(content: bytes, report: Report) -> _Raw:
    body = content.removeprefix(_BOM)
    first = body[: body.find(b"\n") if b"\n" in body else len(body)]
    has_header = bool(first.strip()) and not first.strip()[:1].isdigit() and b"open" in first.lower()
    skipped = 1 if has_header else 0
    try:
        return _read_at_once(body, skipped)
    except pa.ArrowInvalid:
        return _read_line_by_line(body, skipped, report)


def _read_at_once(body: bytes, skipped: int) -> _Raw:
    names = [*SITE_COLUMNS, "ignored"]
    types = {name: SCHEMA.field(name).type for name in SITE_COLUMNS} | {"ignored": pa.string()}
    if not body[:1].strip():
        # Arrow skips empty lines; so that line numbers hold, such a file is read by hand.
        raise pa.ArrowInvalid("begins with an empty line")
    table = csv.read_csv(
        io.BytesIO(body),
        read_options=csv.ReadOptions(column_names=names, skip_rows=skipped, use_threads=False),
        convert_options=csv.ConvertOptions(column_types=types, null_values=[], strings_can_be_null=False),
    )
    columns = {name: table[name].to_numpy() for name in SITE_COLUMNS}
    return _Raw(columns, np.arange(table.num_rows, dtype=np.int64) + skipped + 1, None)


def _read_line_by_line(body: bytes, skipped: int, report: Report) -> _Raw:
    rows: list[list[float | int]] = []
    lines: list[int] = []
    texts: list[bytes] = []
    for number, line in enumerate(body.splitlines()[skipped:], start=skipped + 1):
        if not line.strip():
            continue
        try:
            rows.append(_numbers(line))
        except (ValueError, OverflowError):
            report.rows += 1
            report.refused.append(Refused(number, "no row of twelve numbers", line.decode("utf-8", "replace")))
            continue
        lines.append(number)
        texts.append(line)
    columns: dict[str, npt.NDArray[np.generic]] = {
        name: np.array([row[place] for row in rows], dtype=np.int64 if name in WHOLE else np.float64)
        for place, name in enumerate(SITE_COLUMNS)
    }
    return _Raw(columns, np.array(lines, dtype=np.int64), texts)


def _numbers(line: bytes) -> list[float | int]:
    cells = line.decode("ascii").split(",")
    if len(cells) != WIDTH:
        raise ValueError("another number of cells")
    row = [int(cell) if name in WHOLE else float(cell) for name, cell in zip(SITE_COLUMNS, cells, strict=False)]
    if any(abs(row[place]) >= 2**63 for place, name in enumerate(SITE_COLUMNS) if name in WHOLE):
        raise OverflowError("more than any column holds")
    return row


def _milliseconds(times: Times) -> tuple[Times, Rows]:
    """Bring each row to milliseconds by its own magnitude, and say whether nothing was lost."""
    is_micro = times > MICROSECONDS_FROM
    return np.where(is_micro, times // 1000, times), ~is_micro | (times % 1000 == 0)


def _judge(raw: _Raw, times: Times, is_exact: Rows, interval: str, begin: int, end: int) -> Codes:
    columns = raw.columns
    first, high, low, close = (columns[name].astype(np.float64) for name in ("open", "high", "low", "close"))
    amounts = [
        columns[name].astype(np.float64) for name in ("volume", "quote_volume", "taker_buy_volume", "taker_buy_quote_volume")
    ]
    prices = np.stack([first, high, low, close])
    is_inside = (times >= begin) & (times < end)
    # Times far outside would not survive the calendar of the grid.
    on_grid = is_on_grid(np.where(is_inside, times, begin), interval)
    checks = (
        ~np.isfinite(np.vstack([prices, *amounts])).all(axis=0),
        ~is_inside,
        ~on_grid,
        ~is_exact,
        (prices <= 0).any(axis=0),
        np.stack([*amounts, columns["trades"].astype(np.float64)]).min(axis=0, initial=0) < 0,
        high < low,
        (np.maximum(first, close) > high) | (np.minimum(first, close) < low),
    )
    codes = np.zeros(len(times), dtype=np.int8)
    for code, is_wrong in enumerate(checks, start=1):
        codes[is_wrong & (codes == 0)] = code
    return codes


def _without_repeats(raw: _Raw, times: Times, order: Times, codes: Codes, report: Report) -> Times:
    """Keep the last word on each candle; the same row again is only counted, another one is refused."""
    if len(order) < 2:
        return order
    is_last = np.append(np.diff(times[order]) > 0, True)
    values = np.stack([column.astype(np.float64) for column in raw.columns.values()])
    kept = order[is_last]
    winners: Times = kept[np.searchsorted(times[kept], times[order[~is_last]])]
    for loser, winner in zip(order[~is_last], winners, strict=True):
        if (values[:, loser] == values[:, winner]).all():
            report.repeated += 1
        else:
            codes[loser] = OVERRULED
    return np.asarray(kept)


def _table(raw: _Raw, times: Times, order: Times, interval: str) -> pa.Table:
    columns = {name: raw.columns[name][order] for name in SITE_COLUMNS}
    columns["open_time"] = times[order]
    closes = _milliseconds(columns["close_time"].astype(np.int64))[0]
    columns["close_time"] = np.clip(closes, times[order], _closes(times[order], interval))
    return pa.table(columns, schema=SCHEMA)


def _closes(times: Times, interval: str) -> Times:
    return opens(places(times, interval) + 1, interval) - 1


def ends_at(times: Times, interval: str) -> int:
    """Answer when the candle after the last one opens."""
    return next_open(int(times[-1]), interval)
