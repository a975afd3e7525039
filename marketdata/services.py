"""What a person may ask of market data."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from django.contrib.auth.models import User
from django.db import transaction

from history_fetcher.fetch import parser, request_of
from history_fetcher.trouble import Trouble
from marketdata import selectors, tasks, writers
from marketdata.candles import milliseconds
from marketdata.history import catalog, files, folders, jobs, work
from marketdata.models import HistoryJob

QUEUED_MAX = 50


class UnableToFetch(ValueError):
    """The request makes no sense, or too much is waiting already."""

    code = "HISTORY_REFUSED"


def request_fetch(
    *,
    symbols: Sequence[str],
    intervals: Sequence[str],
    begin: str,
    end: str,
    root: Path,
    by: User | None,
    now: datetime,
    fill_daily: bool = True,
    force: bool = False,
    base_url: str = "",
) -> HistoryJob:
    """Queue a fetch into the history root, checked as the command line would check it."""
    params: dict[str, Any] = {"symbols": list(symbols), "intervals": list(intervals), "begin": begin, "end": end}
    params |= {"fill_daily": fill_daily, "force": force, "base_url": base_url}
    if not symbols or not intervals or any(word.startswith("-") for word in (*symbols, *intervals)):
        raise UnableToFetch("Name at least one symbol and one interval.")
    try:
        request_of(vars(parser().parse_args(["--root", str(root), *work.flags(params)])), now=milliseconds(now))
    except Trouble as error:
        raise UnableToFetch(str(error)) from error
    return _queue(kind=HistoryJob.Kind.FETCH, params=params, by=by, now=now)


def request_verify(*, by: User | None, now: datetime) -> HistoryJob:
    """Queue a check of the whole history root against its manifest."""
    return _queue(kind=HistoryJob.Kind.VERIFY, params={}, by=by, now=now)


def request_import(
    *,
    names: Sequence[str],
    root: Path,
    by: User | None,
    now: datetime,
    exchange: str = "binance",
    symbol: str = "",
    interval: str = "",
) -> HistoryJob:
    """Queue the import of files that lie in the folder of imports; a name that tells no series needs symbol and interval."""
    try:
        for name in names:
            path = folders.file_of(folders.imports(root), name)
            if path.stat().st_size > folders.BYTES_MAX:
                raise UnableToFetch(f"{name} has more than {folders.BYTES_MAX // 2**20} MB. Split it by year.")
            files.series_of(path, exchange, symbol, interval)
    except (files.UnreadableFile, Trouble) as error:
        raise UnableToFetch(str(error)) from error
    params = {"files": list(names), "exchange": exchange, "symbol": symbol, "interval": interval}
    return _queue(kind=HistoryJob.Kind.IMPORT, params=params, by=by, now=now)


def request_export(
    *, symbol: str, interval: str, form: str, root: Path, by: User | None, now: datetime, exchange: str = "binance"
) -> HistoryJob:
    """Queue the writing of a series as another program reads it."""
    try:
        catalog.find(root, exchange=exchange, symbol=symbol, interval=interval)
        files.demand_form(form, symbol)
    except (catalog.NoHistory, files.UnreadableFile) as error:
        raise UnableToFetch(str(error)) from error
    params = {"exchange": exchange, "symbol": symbol, "interval": interval, "form": form}
    return _queue(kind=HistoryJob.Kind.EXPORT, params=params, by=by, now=now)


def cancel_history_job(*, job_id: int, now: datetime) -> HistoryJob:
    """Stop a job; what it fetched stays."""
    with transaction.atomic():
        writers.ask_to_cancel_history_job(job_id=job_id, now=now)
        job = selectors.history_job(job_id)
        if job is None:
            raise UnableToFetch(f"There is no history job {job_id}.")
        jobs.publish(job)
    return job


def _queue(*, kind: str, params: dict[str, Any], by: User | None, now: datetime) -> HistoryJob:
    if len(selectors.waiting_history_jobs(abandoned_before=now)) >= QUEUED_MAX:
        raise UnableToFetch(f"{QUEUED_MAX} history jobs are waiting already.")
    with transaction.atomic():
        job = writers.add_history_job(kind=kind, params=params, by=by, now=now)
        transaction.on_commit(partial(tasks.run_history_job.delay, job_id=job.pk))
    return job
