"""The history root on disk: where things lie, how they are written whole, and that only one run writes."""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from .archives import Archive, Series, labels_of_days, span_of
from .trouble import Locked, NoRoom

PART: Final = ".part"
_FOLDERS: Final = ("raw", "csv", "parquet", "quarantine")
_READ_BYTES: Final = 1 << 20


class Store:
    """A history root. Readers need nothing; a writer holds the lock."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def raw(self, archive: Archive) -> Path:
        """Answer where an archive is kept as it was fetched."""
        return self.root / "raw" / archive.series.exchange / archive.key.removeprefix("data/")

    def csv(self, archive: Archive) -> Path:
        """Answer where an archive's cleaned rows are kept."""
        return self._cleaned(archive.series) / f"{archive.stem}.csv"

    def tail(self, series: Series, month: str) -> Path:
        """Answer where a month's rows from REST are kept."""
        return self._cleaned(series) / f"{series.symbol}-{series.stream}-rest-{month}.csv"

    def sources(self, series: Series, month: str) -> list[Path]:
        """List where cleaned rows of a month may lie, the ones that overrule others last."""
        days = [Archive(series, label) for label in labels_of_days(*span_of(month))]
        return [self.tail(series, month), *(self.csv(day) for day in days), self.csv(Archive(series, month))]

    def quarantine(self, archive: Archive) -> Path:
        """Answer where an archive's refused rows are kept, with reasons."""
        return self.root / "quarantine" / archive.series.exchange / archive.series.symbol / f"{archive.stem}.csv"

    def partition(self, series: Series, month: str) -> Path:
        """Answer the folder of a month's Parquet."""
        year, number = month.split("-")
        return self.series_folder(series) / f"year={year}" / f"month={number}"

    def series_folder(self, series: Series) -> Path:
        """Answer the folder of everything of a series in Parquet."""
        keys = f"exchange={series.exchange}", f"symbol={series.symbol}", f"interval={series.stream}"
        return (self.root / "parquet").joinpath(*keys)

    @property
    def manifest(self) -> Path:
        """Answer where it is written what is there."""
        return self.root / "manifest.json"

    def relative(self, path: Path) -> str:
        """Name a file by its place below the root."""
        return path.relative_to(self.root).as_posix()

    def _cleaned(self, series: Series) -> Path:
        return self.root / "csv" / series.exchange / series.symbol / series.stream

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Be the only writer; what a killed run left half-written is removed."""
        with writing(self.root):
            self.root.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self.root / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                owner = os.pread(descriptor, 32, 0).decode(errors="replace").strip() or "unknown"
                raise Locked(f"Another run (process {owner}) writes to {self.root}. Wait for it, or stop it.") from None
            with writing(self.root):
                os.ftruncate(descriptor, 0)
                os.pwrite(descriptor, str(os.getpid()).encode(), 0)
            self._sweep()
            yield
        finally:
            # Closing releases the lock; so does the death of the process.
            os.close(descriptor)

    def _sweep(self) -> None:
        # Half-fetched archives stay: a transfer goes on where it ended.
        for name in _FOLDERS:
            for path in (self.root / name).rglob(f"*{PART}"):
                if not path.name.endswith(f".zip{PART}"):
                    path.unlink(missing_ok=True)
        self.manifest.with_name(self.manifest.name + PART).unlink(missing_ok=True)


@contextmanager
def whole(path: Path, *, is_lasting: bool = False) -> Iterator[Path]:
    """Write a file beside its place and move it there when it is whole; a lasting one survives a power cut."""
    part = path.with_name(path.name + PART)
    with writing(path):
        part.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield part
            if is_lasting:
                _sync(part)
            part.replace(path)
            if is_lasting:
                _sync(path.parent)
        except BaseException:
            with suppress(OSError):
                part.unlink(missing_ok=True)
            raise


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Tell a person when a disk refuses."""
    try:
        yield
    except OSError as error:
        raise NoRoom(f"{path} cannot be written: {error.strerror or error}.") from error


def sha256_of(path: Path) -> str:
    """Answer a file's SHA-256."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_READ_BYTES):
            digest.update(block)
    return digest.hexdigest()


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
