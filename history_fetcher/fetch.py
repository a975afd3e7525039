"""Fetch price history: `python fetch.py --symbol BTCUSDT --interval 1m --from 2024-01 --to 2024-03`."""

from __future__ import annotations

import argparse
import json
import signal
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

if __package__ in (None, ""):
    # Run as a script: the folder is a package under whatever name it was copied to.
    _folder = Path(__file__).resolve().parent
    sys.path[0] = str(_folder.parent)
    __package__ = _folder.name
    __import__(__package__)

from .archives import KINDS, KLINES, MARKETS
from .intervals import NAMES
from .progress import Look, Progress, teller
from .request import JOBS_MAX, LISTING, REST, SITE, Request, checked_url, known_series, stretch
from .run import Outcome, Run
from .trouble import BadRequest, Trouble
from .wire import Wire


def main(words: Sequence[str] | None = None) -> int:
    """Fetch what the command line asks for; answer the exit code."""
    options = parser().parse_args(words)
    now = time.time_ns() // 1_000_000
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda _number, _frame: stop.set())
    try:
        request = request_of(vars(options), now=now)
        progress = Progress(_quiet if options.quiet or options.json else teller())
        wire = Wire(stop, timeout_seconds=options.timeout, on_bytes=lambda count: progress.add(size=count))
        outcome = Run(request, wire=wire, progress=progress, now=now).run()
    except Trouble as trouble:
        print(json.dumps({"error": str(trouble)}) if options.json else f"error: {trouble}", file=sys.stderr)
        return trouble.exit_code
    print(json.dumps(asdict(outcome), indent=1) if options.json else as_text(request, outcome))
    return outcome.exit_code


def parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    words = argparse.ArgumentParser(prog="fetch.py", description="Fetch price history into Parquet, once, and end.")
    add_flags(words)
    words.add_argument("--quiet", action="store_true", help="show no progress")
    words.add_argument("--json", action="store_true", help="print what was done as JSON")
    return words


def add_flags(words: argparse.ArgumentParser) -> None:
    """Add the flags that every way to fetch knows."""
    words.add_argument("--symbol", action="append", nargs="+", required=True, metavar="SYMBOL", help="BTCUSDT; may be many")
    words.add_argument("--interval", action="append", nargs="+", default=[], metavar="INTERVAL", help=", ".join(NAMES))
    words.add_argument("--from", dest="begin", default="", metavar="WHEN", help="2024-01 (month), 2024-01-15 (day) or a UTC time")
    words.add_argument("--to", dest="end", default="", metavar="WHEN", help="the same; a month or day is included; default: now")
    words.add_argument("--fill_daily", "--fill-daily", action="store_true", help="daily archives where no month covers")
    words.add_argument("--force", action="store_true", help="fetch again what is there")
    words.add_argument("--kind", choices=KINDS, default=KLINES)
    words.add_argument("--market", choices=tuple(MARKETS), default="spot", help="spot, USD-margined or coin-margined futures")
    words.add_argument("--base-url", default=SITE, help="site or mirror of the archives")
    words.add_argument("--listing-url", default="", help="where they are listed; a mirror lists its own")
    words.add_argument("--rest-url", default=None, help="REST interface for the newest candles; '' for none")
    words.add_argument("--root", default="history", metavar="DIR", help="history root")
    words.add_argument("--jobs", type=int, default=4, help=f"archives at a time, at most {JOBS_MAX}")
    words.add_argument("--timeout", type=float, default=30.0, metavar="SECONDS", help="patience with a silent server")
    words.add_argument("--dry-run", action="store_true", help="say what would be fetched")


def request_of(options: dict[str, Any], *, now: int) -> Request:
    """Check what the flags ask for."""
    if not 1 <= options["jobs"] <= JOBS_MAX:
        raise BadRequest(f"--jobs must be from 1 to {JOBS_MAX}, not {options['jobs']}.")
    base_url = checked_url("--base-url", options["base_url"])
    is_mirror = base_url != SITE
    rest_url = ("" if is_mirror else REST) if options["rest_url"] is None else options["rest_url"]
    begin, end = stretch(begin=options["begin"], end=options["end"], now=now)
    return Request(
        series=known_series(
            market=options["market"],
            kind=options["kind"],
            symbols=_flat(options["symbol"]),
            intervals=_flat(options["interval"]),
        ),
        begin=begin,
        end=end,
        root=Path(options["root"]).expanduser().absolute(),
        fill_daily=options["fill_daily"],
        force=options["force"],
        dry_run=options["dry_run"],
        jobs=options["jobs"],
        base_url=base_url,
        listing_url=checked_url("--listing-url", options["listing_url"] or (base_url if is_mirror else LISTING)),
        rest_url=checked_url("--rest-url", rest_url) if rest_url else "",
    )


def as_text(request: Request, outcome: Outcome) -> str:
    """Say in words what was done."""
    if request.dry_run:
        return "\n".join([*outcome.planned, f"{len(outcome.planned)} archives to fetch, {outcome.skipped} there already."])
    lines = []
    if not outcome.downloaded and not outcome.from_rest and not outcome.rows and not outcome.failed:
        lines.append(f"Nothing to download: all {outcome.skipped} published archives are there already.")
    else:
        lines.append(
            f"{outcome.downloaded} archives fetched ({outcome.bytes / 1e6:.1f} MB), {outcome.skipped} there already; "
            f"{outcome.rows:,} rows read, {outcome.refused} refused, {outcome.restated} restated, {outcome.from_rest} from REST."
        )
    lines += [f"Uploaded anew: {key}" for key in outcome.reuploaded]
    lines += [f"Not published: {name}: {_shortened(labels)}" for name, labels in outcome.unpublished.items()]
    lines += [
        f"Only daily archives cover (add --fill_daily): {name}: {_shortened(labels)}" for name, labels in outcome.edges.items()
    ]
    for name, facts in outcome.series.items():
        lines.append(f"{name}: {facts['rows']:,} rows, {len(facts['gaps'])} gaps, {facts['missing']} missing")
    lines += [f"FAILED {key}: {reason}" for key, reason in outcome.failed.items()]
    return "\n".join(lines)


def _flat(groups: Sequence[Sequence[str]]) -> list[str]:
    return [part for group in groups for word in group for part in word.split(",") if part]


def _shortened(labels: Sequence[str]) -> str:
    return ", ".join(labels) if len(labels) <= 6 else f"{labels[0]} ... {labels[-1]} ({len(labels)})"


def _quiet(_look: Look) -> None:
    """Say nothing."""


if __name__ == "__main__":
    sys.exit(main())
