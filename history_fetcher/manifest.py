"""The manifest: what is in the root, where it came from, and what is missing."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

import numpy as np

from .archives import Archive, Series
from .intervals import LENGTHS, MONTH, next_open, places
from .store import Store, whole
from .trouble import BadRequest

SCHEMA_VERSION: Final = 1
FLUSH_SECONDS: Final = 2.0


@dataclass(slots=True)
class ArchiveEntry:
    """One archive that was fetched and read."""

    source: str
    sha256: str
    size: int
    etag: str
    fetched_at: str
    rows: int
    kept: int
    short: int = 0
    repeated: int = 0
    disordered: int = 0
    refused: dict[str, int] = field(default_factory=dict)


@dataclass(slots=True)
class PartitionEntry:
    """One month of a series in Parquet."""

    files: list[str]
    rows: int
    first: int
    last: int
    # First missing open, next open there is, candles missing.
    gaps: list[tuple[int, int, int]]
    sources: list[str]
    sha256: str
    # Candles that changed when their archive was uploaded anew, since the beginning.
    restated: int = 0


class Manifest:
    """The manifest of a root, shared by all threads of one writer."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._flushed_at = time.monotonic()
        self.archives: dict[str, ArchiveEntry] = {}
        self.partitions: dict[str, dict[str, PartitionEntry]] = {}
        self._read()

    def _read(self) -> None:
        try:
            text = self._store.manifest.read_text(encoding="utf-8")
        except FileNotFoundError:
            return
        try:
            content = json.loads(text)
            if content["schema_version"] != SCHEMA_VERSION:
                raise BadRequest(f"{self._store.manifest} is of version {content['schema_version']}; update this program.")
            self.archives = {key: ArchiveEntry(**entry) for key, entry in content["archives"].items()}
            for name, series in content["series"].items():
                found = {month: _partition(entry) for month, entry in series["partitions"].items()}
                self.partitions[name] = found
        except (ValueError, KeyError, TypeError) as error:
            path = self._store.manifest
            raise BadRequest(f"{path} cannot be read ({error}). Remove it: it is made anew from the archives in raw/.") from error

    def record(self, series: Series, month: str, archives: dict[str, ArchiveEntry], partition: PartitionEntry | None) -> None:
        """Note what a month consists of now; the file follows within seconds."""
        with self._lock:
            self.archives.update(archives)
            if partition is not None:
                self.partitions.setdefault(series.name, {})[month] = partition
            if time.monotonic() - self._flushed_at > FLUSH_SECONDS:
                self._flush()

    def note_etag(self, archive: Archive, etag: str) -> None:
        """Note that an archive was uploaded again with the same content."""
        with self._lock:
            self.archives[archive.key].etag = etag

    def flush(self) -> None:
        """Write the file."""
        with self._lock:
            self._flush()

    def months(self, series_name: str) -> dict[str, PartitionEntry]:
        """Answer the months of a series, oldest first."""
        return dict(sorted(self.partitions.get(series_name, {}).items()))

    def _flush(self) -> None:
        content = {
            "schema_version": SCHEMA_VERSION,
            "series": {name: self._series(name) for name in sorted(self.partitions)},
            "archives": {key: asdict(entry) for key, entry in sorted(self.archives.items())},
        }
        with whole(self._store.manifest, is_lasting=True) as path:
            path.write_text(json.dumps(content, indent=1), encoding="utf-8")
        self._flushed_at = time.monotonic()

    def _series(self, name: str) -> dict[str, Any]:
        return summary(name, self.months(name)) | {
            "partitions": {month: asdict(entry) for month, entry in self.months(name).items()}
        }


def summary(name: str, months: dict[str, PartitionEntry]) -> dict[str, Any]:
    """Sum a series up: rows, first and last time, and every gap, those between months included."""
    interval = name.rsplit("/", 1)[-1]
    entries = [entry for entry in months.values() if entry.rows]
    missing = list(_all_gaps(entries, interval)) if interval in LENGTHS or interval == MONTH else []
    return {
        "rows": sum(entry.rows for entry in entries),
        "first": entries[0].first if entries else None,
        "last": entries[-1].last if entries else None,
        "gaps": missing,
        "missing": sum(count for _begin, _end, count in missing),
    }


def _all_gaps(entries: list[PartitionEntry], interval: str) -> Iterable[tuple[int, int, int]]:
    last: int | None = None
    for entry in entries:
        if last is not None:
            ends = places(np.array([last, entry.first], dtype=np.int64), interval)
            if ends[1] - ends[0] > 1:
                yield next_open(last, interval), entry.first, int(ends[1] - ends[0] - 1)
        yield from entry.gaps
        last = entry.last


def _partition(entry: dict[str, Any]) -> PartitionEntry:
    found = PartitionEntry(**entry)
    found.gaps = [(gap[0], gap[1], gap[2]) for gap in found.gaps]
    return found


def written_now() -> str:
    """Answer the wall's time as the manifest writes it."""
    return datetime.now(tz=UTC).isoformat(timespec="seconds")
