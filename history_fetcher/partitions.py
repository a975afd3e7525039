"""From cleaned rows to Parquet: one month of a series, put together from all its sources."""

from __future__ import annotations

import csv as text_csv
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
from pyarrow import csv, parquet

from .archives import Archive, Series
from .candles import SCHEMA, Report, clean
from .intervals import gaps
from .manifest import ArchiveEntry, PartitionEntry
from .store import Store, sha256_of, whole
from .trades import SCHEMAS, clean_batches
from .trouble import BadArchive
from .unzip import opened

MONTH_FILE: Final = "part-0.parquet"
# A month of seconds takes less than half of this.
CANDLE_BYTES_MAX: Final = 1 << 30


def import_candles(store: Store, archive: Archive) -> Report:
    """Turn a fetched archive of candles into cleaned CSV."""
    with opened(store.raw(archive), archive.stem) as (content, size):
        if size > CANDLE_BYTES_MAX:
            raise BadArchive(f"{archive.stem} would unpack to {size >> 20} MB; no month of candles is that large.")
        # Never more than declared: a lying header ends here.
        body = content.read(size + 1)
    begin, end = archive.span
    table, report = clean(body, interval=archive.series.interval, begin=begin, end=end)
    _check_belief(archive, report)
    write_csv(table, store.csv(archive))
    _write_refused(store, archive, report)
    return report


def import_trades(store: Store, archive: Archive) -> tuple[Report, PartitionEntry]:
    """Turn a fetched archive of trades into cleaned CSV and Parquet, batch by batch."""
    report = Report()
    begin, end = archive.span
    schema = SCHEMAS[archive.series.kind]
    target = store.partition(archive.series, archive.month) / f"part-{archive.label}.parquet"
    with (
        opened(store.raw(archive), archive.stem) as (content, _size),
        whole(store.csv(archive)) as text,
        whole(target) as path,
        parquet.ParquetWriter(path, schema, compression="zstd") as writer,
        csv.CSVWriter(text, schema) as rows,
    ):
        for table in clean_batches(content, kind=archive.series.kind, begin=begin, end=end, report=report):
            writer.write_table(table)
            rows.write(table)
        _check_belief(archive, report)
    _write_refused(store, archive, report)
    if archive.is_monthly:
        # The month says all that its days said.
        for day in target.parent.glob("part-*-*-*.parquet"):
            day.unlink()
    files = sorted(store.relative(file) for file in target.parent.glob("part-*.parquet"))
    rows_there = sum(parquet.read_metadata(store.root / file).num_rows for file in files)
    spans = [_span(store.root / file) for file in files]
    known = [span for span in spans if span]
    first, last = (min(span[0] for span in known), max(span[1] for span in known)) if known else (begin, begin)
    return report, PartitionEntry(files, rows_there, first, last, [], [archive.key], sha256_of(target))


def build_month(store: Store, series: Series, month: str, sources: Sequence[Path]) -> tuple[PartitionEntry, int] | None:
    """Make a month's Parquet from cleaned files, later ones overruling earlier ones; answer it and how many rows changed."""
    tables = [read_csv(path) for path in sources if path.exists()]
    merged = merge(tables)
    if not merged.num_rows:
        return None
    target = store.partition(series, month) / MONTH_FILE
    restated = count_restated(target, merged)
    write_parquet(merged, target)
    times = merged["open_time"].to_numpy()
    entry = PartitionEntry(
        files=[store.relative(target)],
        rows=merged.num_rows,
        first=int(times[0]),
        last=int(times[-1]),
        gaps=gaps(times, series.interval),
        sources=[store.relative(path) for path in sources if path.exists()],
        sha256=sha256_of(target),
        restated=restated,
    )
    return entry, restated


def merge(tables: Sequence[pa.Table]) -> pa.Table:
    """Put candles together; of two for the same time the later table's is kept."""
    filled = [table for table in tables if table.num_rows]
    if not filled:
        return SCHEMA.empty_table()
    if len(filled) == 1:
        return filled[0]
    both = pa.concat_tables(filled).combine_chunks()
    times = both["open_time"].to_numpy()
    order = np.argsort(times, kind="stable")
    is_last = np.append(np.diff(times[order]) > 0, True)
    return both.take(order[is_last])


def count_restated(target: Path, fresh: pa.Table) -> int:
    """Count the candles that are there already and say something else now, or are gone."""
    if not target.exists():
        return 0
    old = parquet.read_table(target, schema=SCHEMA)
    same_times = np.isin(old["open_time"].to_numpy(), fresh["open_time"].to_numpy())
    gone = int((~same_times).sum())
    kept = old.take(np.flatnonzero(same_times))
    places = np.searchsorted(fresh["open_time"].to_numpy(), kept["open_time"].to_numpy())
    fresh_rows = fresh.take(places)
    differs = np.zeros(kept.num_rows, dtype=np.bool_)
    for name in SCHEMA.names:
        differs |= kept[name].to_numpy() != fresh_rows[name].to_numpy()
    return gone + int(differs.sum())


def write_parquet(table: pa.Table, target: Path) -> None:
    """Write candles in order of time."""
    with whole(target, is_lasting=True) as path:
        parquet.write_table(table, path, compression="zstd", use_dictionary=False)


def write_csv(table: pa.Table, target: Path) -> None:
    """Write cleaned rows with a header."""
    with whole(target) as path:
        csv.write_csv(table, path)


def read_csv(path: Path) -> pa.Table:
    """Read cleaned rows back, exactly."""
    types = {field.name: field.type for field in SCHEMA}
    return csv.read_csv(path, csv.ReadOptions(use_threads=False), convert_options=csv.ConvertOptions(column_types=types))


def entry_of(*, source: str, sha256: str, size: int, etag: str, fetched_at: str, report: Report) -> ArchiveEntry:
    """Write down what an archive was and what became of its rows."""
    return ArchiveEntry(
        source=source,
        sha256=sha256,
        size=size,
        etag=etag,
        fetched_at=fetched_at,
        rows=report.rows,
        kept=report.kept,
        short=report.short,
        repeated=report.repeated,
        disordered=report.disordered,
        refused=report.reasons,
    )


def _check_belief(archive: Archive, report: Report) -> None:
    if report.rows and not report.kept:
        reasons = ", ".join(f"{count} {reason}" for reason, count in report.reasons.items())
        raise BadArchive(f"{archive.stem}: not one of {report.rows} rows can be believed ({reasons}).")


def _write_refused(store: Store, archive: Archive, report: Report) -> None:
    target = store.quarantine(archive)
    if not report.refused:
        target.unlink(missing_ok=True)
        return
    with whole(target) as path, path.open("w", encoding="utf-8", newline="") as file:
        writer = text_csv.writer(file)
        writer.writerow(["line", "reason", "row"])
        writer.writerows(report.refused)


def _span(path: Path) -> tuple[int, int] | None:
    described = parquet.read_metadata(path)
    if not described.num_rows:
        return None
    column = described.schema.names.index("time")
    groups = [described.row_group(number).column(column).statistics for number in range(described.num_row_groups)]
    ends = [int(end) for group in groups if group is not None for end in (group.min, group.max) if end is not None]
    return (min(ends), max(ends)) if ends else None
