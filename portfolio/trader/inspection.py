"""Reconcile from outside: an independent reader that sends nothing and posts no trade."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from django.db import connection, transaction
from django.db.models import Count, Max

from exchange.ports import TradingPort
from portfolio import selectors
from portfolio.jobs import reconcile
from portfolio.models import Credential, LedgerEntry, Reconciliation
from portfolio.trader import keys, records
from trading.ledger import plain

# So long may a difference be news that the trader is just about to post.
PATIENCE_SECONDS: Final = 10.0
_PAUSE_SECONDS: Final = 0.2


@dataclass(frozen=True, slots=True)
class Line:
    """One asset."""

    asset: str
    ledger: Decimal
    suspense: Decimal
    exchange: Decimal

    @property
    def residual(self) -> Decimal:
        """Return what the exchange holds beyond the ledger."""
        return self.exchange - self.ledger


@dataclass(frozen=True, slots=True)
class Report:
    """What a comparison found, and what earlier ones did."""

    account_id: int
    account_name: str
    state: str
    state_reason: str
    outcome: str
    trades_posted: int
    lines: tuple[Line, ...]
    outcomes: dict[str, int]
    suspense_movements: int
    newest_at: datetime | None

    @property
    def is_exact(self) -> bool:
        """Say whether nothing is left over in any asset."""
        return self.outcome == Reconciliation.Outcome.EXACT and not any(line.residual or line.suspense for line in self.lines)


@dataclass(frozen=True, slots=True)
class _Snapshot:
    totals: dict[str, Decimal]
    trades_posted: int


def inspect(*, account_id: int, clock: Callable[[], datetime]) -> Report:
    """Compare at a consistent cut and record the comparison."""
    account, key, secret = keys.account_and_key(account_id, roles=(Credential.Role.READ, Credential.Role.TRADE))
    began = time.monotonic()
    totals, snapshot = asyncio.run(_read(lambda: keys.open_port(account, key, secret), account_id))
    row = reconcile.compare(
        account_id=account_id,
        totals=totals,
        cause="command",
        market_at=account.synced_through_at,
        duration_ms=int((time.monotonic() - began) * 1000),
        now=clock(),
        trades_posted=snapshot.trades_posted,
    )
    return _report(row, snapshot)


def as_text(report: Report) -> str:
    """Say it to a person."""
    halted = f" ({report.state_reason})" if report.state_reason else ""
    rows = [["asset", "ledger", "suspense", "exchange", "residual"]]
    rows += [
        [line.asset, *(plain(amount) for amount in (line.ledger, line.suspense, line.exchange, line.residual))]
        for line in report.lines
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(5)]
    table = ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
    history = ", ".join(f"{count} {outcome}" for outcome, count in sorted(report.outcomes.items()))
    head = f"Account {report.account_name}: {report.outcome}, state {report.state}{halted}, {report.trades_posted} trades posted."
    tail = f"{sum(report.outcomes.values())} comparisons so far ({history}); {report.suspense_movements} movements of suspense."
    return "\n".join([head, *table, tail])


def as_json(report: Report) -> dict[str, Any]:
    """Say it to a program."""
    return {
        "account": report.account_id,
        "name": report.account_name,
        "state": report.state,
        "state_reason": report.state_reason,
        "outcome": report.outcome,
        "is_exact": report.is_exact,
        "trades_posted": report.trades_posted,
        "assets": [
            {
                "asset": line.asset,
                "ledger": plain(line.ledger),
                "suspense": plain(line.suspense),
                "exchange": plain(line.exchange),
                "residual": plain(line.residual),
            }
            for line in report.lines
        ],
        "comparisons": report.outcomes,
        "suspense_movements": report.suspense_movements,
    }


async def _read(open_port: Callable[[], TradingPort], account_id: int) -> tuple[dict[str, Decimal], _Snapshot]:
    """Read balances round a look at the ledger until both stand still, and agree or have had time to."""
    port = open_port()
    loop = asyncio.get_running_loop()
    reader = ThreadPoolExecutor(max_workers=1)
    try:
        await port.server_time_ms()
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            before = (await port.balances()).totals()
            snapshot = await loop.run_in_executor(reader, _snapshot, account_id)
            after = (await port.balances()).totals()
            still = before == after and snapshot == await loop.run_in_executor(reader, _snapshot, account_id)
            held = {asset: total for asset, total in after.items() if total}
            if (still and held == snapshot.totals) or time.monotonic() > deadline:
                return after, snapshot if still else _Snapshot(snapshot.totals, -1)
            await asyncio.sleep(_PAUSE_SECONDS)
    finally:
        await port.close()
        await loop.run_in_executor(reader, _close)
        reader.shutdown()


def _snapshot(account_id: int) -> _Snapshot:
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        return _Snapshot(records.ledger_totals(account_id), records.trades_posted(account_id))


def _close() -> None:
    connection.close()


def _report(row: Reconciliation, snapshot: _Snapshot) -> Report:
    account = row.account
    mine = Reconciliation.objects.filter(account=account)
    found = mine.values("outcome").annotate(count=Count("id"), newest=Max("finished_at"))
    lines = tuple(Line(line.asset, line.ledger, line.suspense, line.exchange) for line in row.lines.order_by("asset"))
    overview = selectors.residuals(account.pk)
    return Report(
        account_id=account.pk,
        account_name=account.name,
        state=account.state,
        state_reason=account.state_reason,
        outcome="residual" if overview else row.outcome,
        trades_posted=account.trades_posted if snapshot.trades_posted < 0 else snapshot.trades_posted,
        lines=lines,
        outcomes={entry["outcome"]: entry["count"] for entry in found},
        # Whatever moved it: a comparison, a withdrawal that nobody could cover, a person who explained it.
        suspense_movements=LedgerEntry.objects.filter(ledger_account__account=account, ledger_account__kind="suspense").count(),
        newest_at=max((entry["newest"] for entry in found), default=None),
    )
