"""Compare ledger and exchange at a moment at which both stand still: balances, new trades, balances again."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

import structlog

from portfolio.jobs import reconcile
from portfolio.models import Reconciliation
from portfolio.trader import identity, metrics, records, rereading
from portfolio.trader.crash_points import crash_point
from portfolio.trader.flow_history import FlowHistory
from portfolio.trader.intake import Intake
from portfolio.trader.session import Session

log = structlog.get_logger()
_ATTEMPTS: Final = 6
# From this attempt on a difference is no news that is merely late: every symbol that could explain it is read.
_SEARCH_FROM: Final = 2


@dataclass(frozen=True, slots=True)
class Cut:
    """What the exchange held while nothing traded, and how many trades the ledger knew then."""

    totals: dict[str, Decimal]
    trades_posted: int
    is_exact: bool


class Sandwich:
    """Reads consistent cuts and has them compared."""

    def __init__(self, session: Session, intake: Intake) -> None:
        self._session = session
        self._intake = intake
        self._flows = FlowHistory(session)
        self._comparing = asyncio.Lock()

    async def compare(self, cause: str) -> str:
        """Compare and record; answer the outcome."""
        session, began = self._session, self._session.monotonic()
        async with self._comparing:
            await self._flows.look()
            cut = await self._cut()
            if cut is not None and not cut.is_exact:
                await identity.refuse_if_reset(session)
            elif cut is not None:
                await self._flows.agree()
            crash_point("during_reconcile")
            market_at = await session.database.run(records.synced_through, session.account_id)
            row = await session.database.run(
                reconcile.compare,
                account_id=session.account_id,
                totals=cut.totals if cut else {},
                cause=cause,
                market_at=market_at,
                duration_ms=int((session.monotonic() - began) * 1000),
                now=session.now(),
                # No account has this many: without a cut nothing is concluded.
                trades_posted=cut.trades_posted if cut else -1,
                facts=None if cut is None or cut.is_exact else {"flow_history": session.flow_history()},
            )
        metrics.count_reconciliation(row.outcome)
        log.log(
            20 if row.outcome == Reconciliation.Outcome.EXACT else 30,
            "reconciled",
            account=session.account_id,
            outcome=row.outcome,
            cause=cause,
            milliseconds=row.duration_ms,
        )
        return str(row.outcome)

    async def agrees(self) -> bool:
        """Say whether the ledger explains the exchange's balances to the last unit, without recording it."""
        cut = await self._cut()
        return cut is not None and cut.is_exact

    async def _cut(self) -> Cut | None:
        cut = None
        for attempt in range(_ATTEMPTS):
            taken = await self._take_cut(search=attempt >= _SEARCH_FROM)
            cut = taken or cut
            if taken is not None and (taken.is_exact or attempt >= _SEARCH_FROM + 1):
                return taken
            await self._session.sleep(0.05 * 2**attempt)
        return cut

    async def _take_cut(self, *, search: bool) -> Cut | None:
        """Read balances round everything that may have traded; None when something moved meanwhile."""
        session = self._session
        before = (await session.port.balances()).totals()
        symbols = await session.database.run(records.symbols_in_play, session.account_id)
        assets = set[str]()
        if search:
            ours = await session.database.run(records.ledger_totals, session.account_id)
            assets = {asset for asset in before.keys() | ours.keys() if before.get(asset, 0) != ours.get(asset, 0)}
        again = await session.database.run(rereading.histories, session.account_id, assets, now=session.now())
        news = await self._intake.fill_gaps(sorted({*symbols, *again}), again=again)
        if assets:
            news += await self._flows.explain(before)
        posted = await session.database.run(records.trades_posted, session.account_id)
        ours = await session.database.run(records.ledger_totals, session.account_id)
        after = (await session.port.balances()).totals()
        if news or session.in_flight or before != after:
            return None
        return Cut(after, posted, ours == {asset: total for asset, total in after.items() if total})
