"""Figures that only grow, counted on from where the last scrape left them instead of from the beginning."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from typing import Final

from django.db.models import Count, F, Max, QuerySet, Sum, Value
from django.utils import timezone

from backtests.models import BacktestRun, SweepChunk
from portfolio.models import DecisionRecord, EquityPoint
from trading.bars import interval_milliseconds

ZERO: Final = Decimal(0)
# A row's number is given before its transaction ends: what is younger may still be followed by a smaller number.
_SETTLED: Final = timedelta(seconds=10)


@dataclass(slots=True)
class Denials:
    """How many orders were refused, by code: those of all bots since there are books."""

    through: int = 0
    counts: Counter[str] = field(default_factory=Counter)

    def counted(self) -> Counter[str]:
        """Return the counts with what has come since the last time."""
        rows = _settled(self.through).filter(outcome="denied").order_by()
        for code, count, newest in rows.values_list("denial").annotate(Count("id"), Max("id")):
            self.counts[code] += count
            self.through = max(self.through, newest)
        return self.counts


@dataclass(slots=True)
class Decisions:
    """What bots decided on their candles, by what became of it."""

    through: int = 0
    counts: Counter[str] = field(default_factory=Counter)

    def counted(self) -> Counter[str]:
        """Return the counts with what has come since the last time."""
        rows = _settled(self.through).order_by()
        for outcome, count, newest in rows.values_list("outcome").annotate(Count("id"), Max("id")):
            self.counts[outcome] += count
            self.through = max(self.through, newest)
        return self.counts


@dataclass(slots=True)
class Peaks:
    """The best gain of each account and its bots, by account and book; the key None is the account."""

    through: dict[int, int] = field(default_factory=dict)
    best: dict[int, dict[int | None, Decimal]] = field(default_factory=dict)

    def of(self, account_id: int) -> dict[int | None, Decimal]:
        """Return the best gains of an account with the points that have come since the last time."""
        best = self.best.setdefault(account_id, {})
        rows = EquityPoint.objects.filter(account=account_id, id__gt=self.through.get(account_id, 0)).order_by()
        gains = rows.annotate(gain=F("equity") - F("net_flows"))
        for book_id, gain, newest in gains.values_list("book").annotate(Max("gain"), Max("id")):
            best[book_id] = max(best.get(book_id, gain), gain)
            self.through[account_id] = max(self.through.get(account_id, 0), newest)
        return best


def combo_bars() -> int:
    """Count the candles that backtests and the trials of sweeps have walked, each trial for itself."""
    runs = BacktestRun.objects.filter(state=BacktestRun.State.DONE).values_list("begin_at", "end_at", "interval", Value(1))
    done = SweepChunk.objects.filter(state=SweepChunk.State.DONE).order_by()
    trials = done.values("sweep").annotate(count=Sum(F("end") - F("begin")))
    sweeps = trials.values_list("sweep__begin_at", "sweep__end_at", "sweep__interval", "count")
    return sum(
        count * ((end - begin) // timedelta(milliseconds=interval_milliseconds(interval)))
        for begin, end, interval, count in [*runs, *sweeps]
    )


def _settled(through: int) -> QuerySet[DecisionRecord]:
    return DecisionRecord.objects.filter(id__gt=through, recorded_at__lte=timezone.now() - _SETTLED)


def drawdown_ratio(equity: Decimal, net_flows: Decimal, best_gain: Decimal | None) -> float:
    """Answer which share of its best it has lost, with the capital of today; 0 at the best, and where there is no capital."""
    gain = equity - net_flows
    best = max(gain, ZERO if best_gain is None else best_gain)
    top = net_flows + best
    return float((best - gain) / top) if top > ZERO else 0.0
