"""One run: look what is published, fetch what is missing, make Parquet of it, and say what was done."""

from __future__ import annotations

import threading
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any, NamedTuple

from .archives import DAILY, KLINES, MONTHLY, Archive, Series, choose, labels_of_days, labels_of_months
from .listing import Listed, NoListing, address, list_files, list_folders, named
from .manifest import ArchiveEntry, Manifest, summary, written_now
from .partitions import build_month, entry_of, import_candles, import_trades
from .progress import Progress
from .request import Request
from .store import PART, Store, sha256_of, whole, writing
from .tail import fetch_tail
from .trouble import BadArchive, BadRequest, Stopped
from .wire import Wire


@dataclass(slots=True)
class Outcome:
    """What a run did."""

    downloaded: int = 0
    bytes: int = 0
    skipped: int = 0
    rows: int = 0
    restated: int = 0
    refused: int = 0
    from_rest: int = 0
    reuploaded: list[str] = field(default_factory=list)
    unpublished: dict[str, list[str]] = field(default_factory=dict)
    edges: dict[str, list[str]] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    planned: list[str] = field(default_factory=list)
    series: dict[str, Any] = field(default_factory=dict)

    @property
    def exit_code(self) -> int:
        """Answer 1 when an archive failed, else 0."""
        return int(bool(self.failed))


class _Unit(NamedTuple):
    """The archives of one month of a series, worked on by one thread."""

    series: Series
    month: str
    archives: list[tuple[Archive, Listed | None]]


class Run:
    """A request on its way."""

    def __init__(self, request: Request, *, wire: Wire, progress: Progress, now: int) -> None:
        self._request = request
        self._wire = wire
        self._progress = progress
        self._now = now
        self._store = Store(request.root)
        self._lock = threading.Lock()
        self.outcome = Outcome()

    def run(self) -> Outcome:
        """Do all of it; safe to repeat, and to kill at any time."""
        if self._request.dry_run:
            self._plan(Manifest(self._store))
            return self.outcome
        with self._store.lock():
            manifest = Manifest(self._store)
            units = self._plan(manifest)
            try:
                self._fetch(units, manifest)
                self._fetch_tails(manifest)
            finally:
                manifest.flush()
            for series in self._request.series:
                self.outcome.series[series.name] = summary(series.name, manifest.months(series.name))
        return self.outcome

    def _plan(self, manifest: Manifest) -> list[_Unit]:
        self._progress.begin("looking", len(self._request.series))
        units: list[_Unit] = []
        for series in self._request.series:
            units += self._plan_series(series, manifest)
            self._progress.add(done=1)
        return units

    def _plan_series(self, series: Series, manifest: Manifest) -> list[_Unit]:
        months, days = self._published(series, MONTHLY), self._published(series, DAILY) if self._request.fill_daily else {}
        begin, end = self._request.begin, self._request.end
        choice = choose(series, begin=begin, end=end, months=months, days=days, fill_daily=self._request.fill_daily)
        if not months and not days and not self._request.rest_url:
            self._explain_nothing(series)
        if choice.unpublished:
            self.outcome.unpublished[series.name] = choice.unpublished
        if choice.edges:
            self.outcome.edges[series.name] = choice.edges
        units: dict[str, _Unit] = {}
        for archive in choice.archives:
            listed = (months if archive.is_monthly else days)[archive.label]
            if self._has(archive, listed, manifest):
                self.outcome.skipped += 1
                continue
            self.outcome.planned.append(archive.key)
            unit = units.setdefault(archive.month, _Unit(series, archive.month, []))
            unit.archives.append((archive, listed))
        return list(units.values())

    def _published(self, series: Series, period: str) -> dict[str, Listed | None]:
        prefix = series.prefix(period)
        try:
            return dict(named(list_files(self._wire, self._request.listing_url, prefix), prefix))
        except NoListing:
            return self._ask_by_name(series, period)

    def _ask_by_name(self, series: Series, period: str) -> dict[str, Listed | None]:
        """Ask a mirror without a listing for the checksum of every archive that could be there."""
        labels = (labels_of_months if period == MONTHLY else labels_of_days)(self._request.begin, self._request.end)
        found: dict[str, Listed | None] = {}
        for label in labels:
            archive = Archive(series, label)
            content = self._wire.get(address(self._request.base_url, f"{archive.key}.CHECKSUM"))
            if content is not None:
                found[label] = Listed(archive.key, 0, f"sha256:{_checksum(content, archive)}", "")
        return found

    def _explain_nothing(self, series: Series) -> None:
        parent = Series(series.market, series.kind, "", "").prefix(MONTHLY).rstrip("/") + "/"
        try:
            symbols = list_folders(self._wire, self._request.listing_url, parent)
        except NoListing:
            symbols = []
        close = get_close_matches(series.symbol, symbols, n=3, cutoff=0.6)
        if series.symbol in symbols:
            raise BadRequest(f"No {series.stream} archives of {series.symbol} are published at {self._request.base_url}.")
        hint = f" Did you mean {', '.join(close)}?" if close else ""
        raise BadRequest(f"{self._request.base_url} publishes nothing of {series.symbol}.{hint}")

    def _has(self, archive: Archive, listed: Listed | None, manifest: Manifest) -> bool:
        entry = manifest.archives.get(archive.key)
        if self._request.force or entry is None:
            return False
        partition = manifest.partitions.get(archive.series.name, {}).get(archive.month)
        if partition is None or not all((self._store.root / file).exists() for file in partition.files):
            return not entry.kept and partition is None
        if listed is None or listed.etag in (entry.etag, f"sha256:{entry.sha256}"):
            return True
        # Uploaded again: the checksum says whether anything changed.
        content = self._wire.get(address(self._request.base_url, f"{archive.key}.CHECKSUM"))
        if content is not None and _checksum(content, archive) == entry.sha256:
            manifest.note_etag(archive, listed.etag)
            return True
        self.outcome.reuploaded.append(archive.key)
        return False

    def _fetch(self, units: list[_Unit], manifest: Manifest) -> None:
        total = sum(len(unit.archives) for unit in units)
        self._progress.begin("fetching", total)
        with ThreadPoolExecutor(max_workers=self._request.jobs, thread_name_prefix="fetch") as pool:
            futures = [pool.submit(self._fetch_unit, unit, manifest) for unit in units]
            _first_trouble(futures, self._wire.stop)

    def _fetch_unit(self, unit: _Unit, manifest: Manifest) -> None:
        entries: dict[str, ArchiveEntry] = {}
        for archive, listed in unit.archives:
            self._wire.pause(0)
            try:
                entries[archive.key] = self._fetch_archive(archive, listed, manifest)
            except BadArchive as error:
                with self._lock:
                    self.outcome.failed[archive.key] = str(error)
            self._progress.add(done=1)
        if entries and unit.series.kind == KLINES:
            self.rebuild(unit.series, unit.month, manifest, entries)

    def rebuild(self, series: Series, month: str, manifest: Manifest, entries: dict[str, ArchiveEntry]) -> None:
        """Make a month's Parquet anew from every cleaned file there is of it."""
        built = build_month(self._store, series, month, self._store.sources(series, month))
        partition = None
        if built is not None:
            partition, restated = built
            before = manifest.partitions.get(series.name, {}).get(month)
            partition.restated += before.restated if before else 0
            with self._lock:
                self.outcome.restated += restated
        manifest.record(series, month, entries, partition)

    def _fetch_archive(self, archive: Archive, listed: Listed | None, manifest: Manifest) -> ArchiveEntry:
        sha256, fetched = self._ensure_raw(archive)
        if archive.series.kind == KLINES:
            report = import_candles(self._store, archive)
        else:
            report, partition = import_trades(self._store, archive)
        path = self._store.raw(archive)
        entry = entry_of(
            source=address(self._request.base_url, archive.key),
            sha256=sha256,
            size=path.stat().st_size,
            etag=listed.etag if listed else "",
            fetched_at=written_now(),
            report=report,
        )
        if archive.series.kind != KLINES:
            manifest.record(archive.series, archive.month, {archive.key: entry}, partition)
        self._progress.add(rows=report.kept)
        with self._lock:
            self.outcome.downloaded += int(fetched > 0)
            self.outcome.bytes += fetched
            self.outcome.rows += report.kept
            self.outcome.refused += len(report.refused)
        return entry

    def _ensure_raw(self, archive: Archive) -> tuple[str, int]:
        """Have the archive on disk, as its checksum says; answer the checksum and how many bytes came."""
        path = self._store.raw(archive)
        url = address(self._request.base_url, archive.key)
        content = self._wire.get(f"{url}.CHECKSUM")
        if content is None:
            raise BadArchive(f"{archive.stem} has no CHECKSUM; without one it is not believed.")
        wanted = _checksum(content, archive)
        if path.exists() and not self._request.force and sha256_of(path) == wanted:
            return wanted, 0
        with writing(path.parent):
            path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(path.name + PART)
        for is_last in (False, True):
            if not self._wire.download(url, part):
                raise BadArchive(f"{archive.stem} is listed but cannot be fetched (404).")
            if sha256_of(part) == wanted:
                break
            # A part of an older upload, or damage on the way: once more from the beginning.
            looks_like = part.open("rb").read(64)
            part.unlink()
            if is_last:
                page = " A web page came instead." if looks_like.lstrip()[:1] == b"<" else ""
                raise BadArchive(f"{archive.stem} is not what its CHECKSUM says.{page}")
        size = part.stat().st_size
        with whole(path.with_name(f"{path.name}.CHECKSUM")) as beside:
            beside.write_bytes(content)
        with writing(path):
            part.replace(path)
        return wanted, size

    def _fetch_tails(self, manifest: Manifest) -> None:
        if not self._request.rest_url:
            return
        for series in self._request.series:
            if series.kind == KLINES and series.market == "spot":
                months, count = fetch_tail(
                    self._wire, self._store, self._request, series, manifest.months(series.name), self._progress, now=self._now
                )
                self.outcome.from_rest += count
                for month in months:
                    self.rebuild(series, month, manifest, {})


def _checksum(content: bytes, archive: Archive) -> str:
    """Read a CHECKSUM file: the hash, two spaces, the file name."""
    text = content.decode("ascii", "replace").strip()
    digest, _space, name = text.partition(" ")
    is_hash = len(digest) == 64 and all(letter in "0123456789abcdef" for letter in digest.lower())
    if not is_hash or name.strip().lstrip("*") not in ("", f"{archive.stem}.zip"):
        raise BadArchive(f"The CHECKSUM of {archive.stem} says {text[:100]!r}.")
    return digest.lower()


def _first_trouble(futures: list[Future[None]], stop: threading.Event) -> None:
    """Wait for all; the first one to fail stops the others and is the one that is told."""
    done, waiting = wait(futures, return_when=FIRST_EXCEPTION)
    troubles = [error for future in done if (error := future.exception())]
    if not troubles:
        return
    was_asked = stop.is_set()
    stop.set()
    for future in waiting:
        future.cancel()
    wait(waiting)
    if was_asked:
        raise Stopped("Stopped. Run the same command again to go on.")
    raise next((error for error in troubles if not isinstance(error, Stopped)), troubles[0])
