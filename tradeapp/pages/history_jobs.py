"""The jobs on history: as the page shows them, and as the stream tells of each."""

from __future__ import annotations

from typing import Any

from marketdata import selectors
from marketdata.history import jobs
from stream.snapshots import Snapshot

SHOWN = 8
TOPIC = "job:history-"


def facts() -> dict[str, Any]:
    """Gather the newest jobs."""
    rows = selectors.history_jobs(limit=SHOWN)
    return {"jobs": [jobs.described(row) for row in rows]}


def snapshot(topic: str) -> Snapshot | None:
    """Show one job; `job:history-17` is the topic of job 17."""
    number = topic.removeprefix(TOPIC)
    job = selectors.history_job(int(number)) if number.isascii() and number.isdigit() and len(number) <= 18 else None
    return None if job is None else Snapshot(job.version, jobs.described(job))
