"""The single place that changes the table of reports."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from backtests.models import BacktestReport, BacktestRun


def keep_report(*, run: BacktestRun, content: Mapping[str, Any], data_hash: str, now: datetime) -> BacktestReport:
    """Keep the report of a run, in the place of what an interrupted attempt left."""
    kept, _ = BacktestReport.objects.update_or_create(
        run=run, defaults={"content": dict(content), "data_hash": data_hash, "made_at": now}
    )
    return kept
