"""What this process runs: one fingerprint of the sources and the settings that decide about money (I-46)."""

from __future__ import annotations

import hashlib
import json
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Final

from django.conf import settings

from portfolio.models import Heartbeat

CODE_DIFFERS: Final = "CODE_DIFFERS"
# Whoever was not heard of for so long does not run any more.
HEARD_WITHIN: Final = timedelta(seconds=20)
# From the strategy to the wire; pages and backtests decide nothing.
_DECIDING: Final = ("trading", "strategies", "exchange", "marketdata", "portfolio", "bots")
_ROOT: Final = Path(__file__).resolve().parent.parent


@cache
def fingerprint() -> str:
    """Return the fingerprint of what this process was started with; sources that change later change nothing in it."""
    return fingerprint_of(_ROOT, {"mode": settings.TRADING_MODE, "time_zone": settings.TIME_ZONE})


def fingerprint_of(root: Path, words: dict[str, str]) -> str:
    """Fingerprint the deciding packages below a folder, and these settings."""
    digest = hashlib.sha256(json.dumps(words, sort_keys=True).encode())
    for package in _DECIDING:
        for path in sorted((root / package).rglob("*.py")):
            digest.update(str(path.relative_to(root)).encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()


def strangers(*, now: datetime) -> list[str]:
    """Name the living processes that run something else than this one; who says nothing of what it runs is not judged."""
    rows = Heartbeat.objects.filter(beat_at__gte=now - HEARD_WITHIN).exclude(code_hash__in=("", fingerprint()))
    return list(rows.order_by("process").values_list("process", flat=True))
