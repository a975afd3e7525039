"""Check a root against its manifest: every archive's hash, every Parquet file's rows."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
from pyarrow import parquet

from .intervals import LENGTHS, MONTH, gaps
from .manifest import Manifest, PartitionEntry
from .store import Store, sha256_of


def verify(root: Path, *, on_step: Callable[[int, int], None] = lambda _done, _total: None) -> list[str]:
    """List everything that is not as the manifest says; an empty list means all is well."""
    store = Store(root)
    manifest = Manifest(store)
    parts = [(name, month, entry) for name, months in manifest.partitions.items() for month, entry in months.items()]
    total = len(parts) + len(manifest.archives)
    problems: list[str] = []
    for number, (name, month, entry) in enumerate(parts):
        problems += [f"{name} {month}: {problem}" for problem in _wrong_with_month(store, name, entry)]
        on_step(number + 1, total)
    for number, (key, archive) in enumerate(manifest.archives.items(), start=len(parts)):
        raw = next(iter((root / "raw").glob(f"*/{key.removeprefix('data/')}")), None)
        # A removed archive only means that it would have to be fetched again.
        if raw is not None and sha256_of(raw) != archive.sha256:
            problems.append(f"{store.relative(raw)}: not what was fetched")
        on_step(number + 1, total)
    return problems


def _wrong_with_month(store: Store, name: str, entry: PartitionEntry) -> list[str]:
    missing = [file for file in entry.files if not (store.root / file).exists()]
    if missing:
        return [f"{file} is missing" for file in missing]
    interval = name.rsplit("/", 1)[-1]
    if interval not in LENGTHS and interval != MONTH:
        rows = sum(parquet.read_metadata(store.root / file).num_rows for file in entry.files)
        return [] if rows == entry.rows else [f"{rows} rows, not {entry.rows}"]
    path = store.root / entry.files[0]
    if sha256_of(path) != entry.sha256:
        return ["the Parquet file was changed or damaged"]
    try:
        times = parquet.read_table(path, columns=["open_time"])["open_time"].to_numpy()
    except (OSError, pa.ArrowException) as error:
        return [f"cannot be read: {error}"]
    if len(times) != entry.rows or not (np.diff(times) > 0).all():
        return ["rows are missing or out of order"]
    return [] if gaps(times, interval) == entry.gaps else ["its gaps are not those of the manifest"]
