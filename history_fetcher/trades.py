"""Rows of trades: too many for memory, so they flow through in batches."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import IO, Final, cast

import numpy as np
import pyarrow as pa
from pyarrow import csv

from .candles import MICROSECONDS_FROM, Refused, Report
from .trouble import BadArchive

Columns = list[tuple[str, pa.DataType]]

BATCH_BYTES: Final = 8 << 20
REFUSED_KEPT: Final = 1000
_BOM: Final = b"\xef\xbb\xbf"
_END: Final[Columns] = [("time", pa.int64()), ("is_buyer_maker", pa.bool_())]
_AMOUNTS: Final[Columns] = [("price", pa.float64()), ("quantity", pa.float64())]
SCHEMAS: Final = {
    "trades": pa.schema([("id", pa.int64()), *_AMOUNTS, ("quote_quantity", pa.float64()), *_END]),
    "aggTrades": pa.schema([("id", pa.int64()), *_AMOUNTS, ("first_id", pa.int64()), ("last_id", pa.int64()), *_END]),
}


def clean_batches(content: IO[bytes], *, kind: str, begin: int, end: int, report: Report) -> Iterator[pa.Table]:
    """Yield the believable trades of a file in batches, in order of their ids."""
    schema = SCHEMAS[kind]
    last_id = -1
    try:
        for batch in _batches(content, schema):
            table, last_id = _clean(batch, schema, begin, end, last_id, report)
            yield table
    except pa.ArrowInvalid as error:
        raise BadArchive(f"A row cannot be read: {error}.") from error


def _batches(content: IO[bytes], schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    stream = _Peeked(content)
    if not stream.head:
        return
    # Spot files end with a column that says nothing; futures files may not have it.
    width = stream.head.split(b"\n", 1)[0].count(b",") + 1
    names = [*schema.names, "ignored"][:width]
    has_header = not stream.head[:1].isdigit()
    yield from csv.open_csv(
        cast("IO[bytes]", stream),
        read_options=csv.ReadOptions(column_names=names, skip_rows=int(has_header), block_size=BATCH_BYTES, use_threads=False),
        convert_options=csv.ConvertOptions(
            column_types={name: schema.field(name).type for name in schema.names} | {"ignored": pa.string()},
            true_values=["true", "True", "TRUE"],
            false_values=["false", "False", "FALSE"],
            null_values=[],
        ),
    )


def _clean(batch: pa.RecordBatch, schema: pa.Schema, begin: int, end: int, last_id: int, report: Report) -> tuple[pa.Table, int]:
    columns = {name: batch.column(name).to_numpy(zero_copy_only=False) for name in schema.names}
    is_micro = columns["time"] > MICROSECONDS_FROM
    columns["time"] = np.where(is_micro, columns["time"] // 1000, columns["time"])
    before = np.maximum.accumulate(np.append(last_id, columns["id"]))
    numbers = np.stack([columns[name] for name in schema.names if schema.field(name).type == pa.float64()])
    checks = (
        (~np.isfinite(numbers).all(axis=0), "not a finite number"),
        ((columns["time"] < begin) | (columns["time"] >= end), "outside the archive's time"),
        ((numbers <= 0).any(axis=0), "amount not above zero"),
        (columns["id"] <= before[:-1], "id comes again or too late"),
    )
    is_good = np.ones(batch.num_rows, dtype=np.bool_)
    for is_wrong, reason in checks:
        for row in np.flatnonzero(is_wrong & is_good):
            line = report.rows + int(row) + 1
            # Of very many, a thousand tell enough; all are counted.
            text = ",".join(str(column[row]) for column in columns.values()) if len(report.refused) < REFUSED_KEPT else ""
            report.refused.append(Refused(line, reason, text))
        is_good &= ~is_wrong
    report.rows += batch.num_rows
    report.kept += int(is_good.sum())
    return pa.table({name: columns[name][is_good] for name in schema.names}, schema=schema), int(before[-1])


class _Peeked(io.RawIOBase):
    """A file whose beginning was looked at, without its byte order mark; closing it leaves the archive open."""

    def __init__(self, content: IO[bytes]) -> None:
        super().__init__()
        self._content = content
        self.head = content.read(4096).removeprefix(_BOM)
        self._waiting = self.head

    def read(self, size: int = -1) -> bytes:
        """Read on."""
        if not self._waiting:
            return self._content.read(size)
        taken = self._waiting if size < 0 else self._waiting[:size]
        self._waiting = self._waiting[len(taken) :]
        return taken + self._content.read(-1) if size < 0 else taken

    def readable(self) -> bool:
        """Say that it can be read."""
        return True
