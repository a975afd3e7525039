"""The single place that changes the tables of backtests."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import Any

from django.contrib.auth.models import User
from django.db.models import Q

from backtests.models import CLAIM_HOLDS, Sweep, SweepChunk
from backtests.sweep_spec import SweepSpec

MESSAGE_LENGTH_MAX = 2000
# Chunks that lose every worker would lose the next ones too.
ATTEMPTS_MAX = 3
UNDER_WAY = (Sweep.State.QUEUED, Sweep.State.RUNNING)


def add_sweep(*, spec: SweepSpec, source_hash: str, by: User | None, now: datetime) -> Sweep:
    """Write down that a sweep was asked for, cut into chunks."""
    values: dict[str, Any] = {
        **asdict(spec),
        "grid": {name: list(spec.grid[name]) for name in spec.grid},
        "fixed": dict(spec.fixed),
        "frictions": spec.frictions.as_plain(),
    }
    sweep = Sweep.objects.create(
        **values,
        trials=spec.trials,
        fingerprint=spec.fingerprint,
        source_hash=source_hash,
        requested_by=by,
        requested_at=now,
    )
    SweepChunk.objects.bulk_create(
        SweepChunk(sweep=sweep, number=number, begin=begin, end=end) for number, (begin, end) in enumerate(spec.chunks())
    )
    return sweep


def claim_chunk(*, sweep_id: int, now: datetime) -> SweepChunk | None:
    """Take the next chunk that nobody works on, inside the caller's transaction; None if there is none."""
    waiting = Q(state=SweepChunk.State.QUEUED) | Q(state=SweepChunk.State.RUNNING, claimed_at__lt=now - CLAIM_HOLDS)
    mine = SweepChunk.objects.filter(waiting, sweep_id=sweep_id, sweep__state__in=UNDER_WAY).order_by("number")
    chunk = mine.select_for_update(skip_locked=True, of=("self",)).first()
    if chunk is None:
        return None
    chunk.state, chunk.claimed_at, chunk.attempts = SweepChunk.State.RUNNING, now, chunk.attempts + 1
    chunk.save(update_fields=["state", "claimed_at", "attempts"])
    Sweep.objects.filter(id=sweep_id, state=Sweep.State.QUEUED).update(state=Sweep.State.RUNNING, started_at=now)
    return chunk


def give_back(*, chunk: SweepChunk) -> None:
    """Put a chunk back that its worker did not finish."""
    mine = SweepChunk.objects.filter(id=chunk.id, state=SweepChunk.State.RUNNING, attempts=chunk.attempts)
    mine.update(state=SweepChunk.State.QUEUED, claimed_at=None)


def finish_chunk(*, chunk: SweepChunk, results: bytes, data_hash: str, now: datetime) -> bool:
    """Store what came of a chunk, inside the caller's transaction; false when the work was lost or in vain.

    Locks the sweep's row, so that of two workers who finish at once one sees that the other has.
    """
    sweep = Sweep.objects.select_for_update().get(id=chunk.sweep_id)
    if sweep.state != Sweep.State.RUNNING:
        return False
    if sweep.data_hash and sweep.data_hash != data_hash:
        fail_sweep(sweep_id=sweep.id, message="The candles changed while the sweep ran; ask for it again", now=now)
        return False
    mine = SweepChunk.objects.filter(id=chunk.id, state=SweepChunk.State.RUNNING, attempts=chunk.attempts)
    if not mine.update(state=SweepChunk.State.DONE, results=results, finished_at=now):
        return False  # It took so long that another worker has the chunk.
    sweep.data_hash = data_hash
    if not sweep.chunks.exclude(state=SweepChunk.State.DONE).exists():
        sweep.state, sweep.finished_at = Sweep.State.DONE, now
    sweep.save(update_fields=["data_hash", "state", "finished_at"])
    return True


def cancel_sweep(*, sweep_id: int, now: datetime) -> bool:
    """Stop a sweep; what its chunks have found stays."""
    return _end_sweep(sweep_id, Sweep.State.CANCELLED, "", now)


def fail_sweep(*, sweep_id: int, message: str, now: datetime) -> bool:
    """Store why a sweep came to nothing."""
    return _end_sweep(sweep_id, Sweep.State.FAILED, message[:MESSAGE_LENGTH_MAX], now)


def _end_sweep(sweep_id: int, state: str, error: str, now: datetime) -> bool:
    under_way = Sweep.objects.filter(id=sweep_id, state__in=UNDER_WAY)
    return under_way.update(state=state, error=error, finished_at=now) == 1
