"""Work on the history root in the background: safe to repeat, and to kill."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

import structlog
from django.db import transaction

from history_fetcher.progress import Look, Progress
from history_fetcher.trouble import Stopped, Trouble
from marketdata import selectors, writers
from marketdata.history.catalog import NoHistory
from marketdata.history.files import UnreadableFile
from marketdata.history.work import WORK
from marketdata.models import HistoryJob
from stream.publish import publish_on_commit

log = structlog.get_logger(__name__)

TELL_SECONDS: Final = 1.0
# A worker tells once a second; one that is silent for so long is gone.
ABANDONED_AFTER: Final = timedelta(minutes=2)

Clock = Callable[[], datetime]


def run_history_job(*, job_id: int, root: Path, clock: Clock) -> bool:
    """Do one waiting job and store what came of it; false when there was nothing to do."""
    now = clock()
    if not writers.claim_history_job(job_id=job_id, abandoned_before=now - ABANDONED_AFTER, now=now):
        return False
    job = selectors.history_job(job_id)
    assert job is not None
    stop, progress = threading.Event(), Progress()
    # The database is spoken to from this thread only; the work has one of its own.
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="history") as pool:
        work = pool.submit(WORK[job.kind], job.params, root, stop, progress, now)
        try:
            _accompany(job, work, stop, progress, clock)
        finally:
            stop.set()
    state, message, outcome = _result(work)
    if state == HistoryJob.State.CANCELLED and not _is_cancelled(job_id):
        return False  # Somebody else has it now.
    with transaction.atomic():
        writers.note_history_progress(job_id=job_id, facts=_facts(progress.look()), now=clock())
        done = writers.finish_history_job(job_id=job_id, state=state, message=message, outcome=outcome, now=clock())
        publish(done)
    log.info("history.job_done", job=job_id, kind=job.kind, state=state)
    return True


def waiting(*, clock: Clock) -> list[int]:
    """List the jobs that nobody works on."""
    return selectors.waiting_history_jobs(abandoned_before=clock() - ABANDONED_AFTER)


def publish(job: HistoryJob) -> None:
    """Tell the browsers where a job stands."""
    publish_on_commit(f"job:history-{job.pk}", "progress", described(job), seq=job.version, can_wait=True)


def described(job: HistoryJob) -> dict[str, Any]:
    """Describe a job in what JSON knows."""
    share = job.steps_done / job.steps_total if job.steps_total else 0.0
    return {
        "id": job.pk,
        "kind": job.kind,
        "params": job.params,
        "state": job.state,
        "stage": job.stage,
        "steps_done": job.steps_done,
        "steps_total": job.steps_total,
        "percent": round(100 * min(share, 1.0), 1) if job.state != HistoryJob.State.DONE else 100.0,
        "rows": job.rows,
        "rows_per_second": round(job.rows_per_second),
        "bytes_per_second": round(job.bytes_per_second),
        "seconds_left": job.seconds_left,
        "message": job.message,
        "told": job.outcome.get("told", []),
        "file": job.outcome.get("file", ""),
        "is_stopping": job.cancel_requested_at is not None and job.finished_at is None,
    }


def _accompany(job: HistoryJob, work: Future[dict[str, Any]], stop: threading.Event, progress: Progress, clock: Clock) -> None:
    while not wait([work], timeout=TELL_SECONDS).done:
        with transaction.atomic():
            seen = writers.note_history_progress(job_id=job.pk, facts=_facts(progress.look()), now=clock())
            if seen is not None:
                publish(seen)
        if seen is None or seen.cancel_requested_at is not None:
            stop.set()


def _facts(look: Look) -> dict[str, Any]:
    return {
        "stage": look.stage[:64],
        "steps_done": look.done,
        "steps_total": look.total,
        "rows": look.rows,
        "rows_per_second": look.rows_per_second,
        "bytes_per_second": look.bytes_per_second,
        "seconds_left": look.seconds_left,
    }


def _is_cancelled(job_id: int) -> bool:
    job = selectors.history_job(job_id)
    return job is not None and job.cancel_requested_at is not None


def _result(work: Future[dict[str, Any]]) -> tuple[str, str, dict[str, Any]]:
    try:
        outcome = work.result()
    except Stopped as error:
        return HistoryJob.State.CANCELLED, str(error), {}
    except (Trouble, NoHistory, UnreadableFile) as error:
        return HistoryJob.State.FAILED, str(error), {}
    except Exception as error:
        # The outermost place of this job: what nobody foresaw ends it, and is told.
        log.exception("history.job_broken")
        return HistoryJob.State.FAILED, f"A fault of ours: {type(error).__name__}: {error}", {}
    wrong = [f"{name}: {reason}" for name, reason in outcome.get("failed", {}).items()] + outcome.get("problems", [])
    if wrong:
        return HistoryJob.State.FAILED, "\n".join(wrong), outcome
    return HistoryJob.State.DONE, "", outcome
