"""What jobs on the history root do: fetch, verify, import, export."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from history_fetcher.fetch import parser, request_of
from history_fetcher.progress import Progress
from history_fetcher.run import Run
from history_fetcher.trouble import Stopped
from history_fetcher.verify import verify
from history_fetcher.wire import Wire
from marketdata.candles import milliseconds
from marketdata.history import catalog, files, folders


def fetch(params: Mapping[str, Any], root: Path, stop: threading.Event, progress: Progress, now: datetime) -> dict[str, Any]:
    """Fetch candles from the archives."""
    words = ["--root", str(root), *flags(params)]
    options = vars(parser().parse_args(words))
    at = milliseconds(now)
    wire = Wire(stop, timeout_seconds=options["timeout"], on_bytes=lambda count: progress.add(size=count))
    return asdict(Run(request_of(options, now=at), wire=wire, progress=progress, now=at).run())


def flags(params: Mapping[str, Any]) -> list[str]:
    """Write stored parameters as the fetcher's command line."""
    words = ["--symbol", *params["symbols"], "--interval", *params["intervals"]]
    words += [f"--{name}={params[key]}" for name, key in (("from", "begin"), ("to", "end")) if params.get(key)]
    words += [f"--base-url={params['base_url']}"] if params.get("base_url") else []
    return words + [f"--{name}" for name in ("fill_daily", "force") if params.get(name)]


def _verify(_params: Mapping[str, Any], root: Path, stop: threading.Event, progress: Progress, _now: datetime) -> dict[str, Any]:
    def on_step(done: int, total: int) -> None:
        if done == 1:
            progress.begin("verifying", total)
        progress.add(done=1)
        _heed(stop)

    return {"problems": verify(root, on_step=on_step)}


def _import(params: Mapping[str, Any], root: Path, stop: threading.Event, progress: Progress, _now: datetime) -> dict[str, Any]:
    told, failed = [], {}
    progress.begin("importing", len(params["files"]))
    for name in params["files"]:
        _heed(stop)
        try:
            path = folders.file_of(folders.imports(root), name)
            words = {key: params[key] for key in ("exchange", "symbol", "interval")}
            done = files.import_file(path, root=root, **words)
        except ValueError as error:
            failed[name] = str(error)
            progress.add(done=1)
        else:
            told.append(f"{name}: {done.series}, {done.rows:,} rows, {done.refused:,} refused, {done.restated:,} restated")
            progress.add(done=1, rows=done.rows)
    return {"told": told, "failed": failed}


def _export(params: Mapping[str, Any], root: Path, stop: threading.Event, progress: Progress, _now: datetime) -> dict[str, Any]:
    progress.begin("exporting", 1)
    _heed(stop)
    folder = folders.exports(root)
    words = {key: params[key] for key in ("exchange", "symbol", "interval")}
    rows = catalog.find(root, **words).rows
    path = files.export_series(root, **words, form=params["form"], folder=folder)
    progress.add(done=1, rows=rows)
    return {"told": [f"{path} is written."], "file": path.relative_to(folder).as_posix()}


def _heed(stop: threading.Event) -> None:
    if stop.is_set():
        raise Stopped("Stopped.")


WORK: Final[Mapping[str, Callable[..., dict[str, Any]]]] = {
    "fetch": fetch,
    "verify": _verify,
    "import": _import,
    "export": _export,
}
