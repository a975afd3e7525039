"""Let restored books meet an exchange that has gone on without them, and trade again only when nothing is left over.

A copy knows less than the exchange: orders that were sent after it was taken, their trades, their fees. Each of them carries
the name of its bot, so it is posted to that bot. And an installation that a copy was made from may still be alive somewhere:
two that trade one account would each undo the other, so any sign of life of the other ends the reopening.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from typing import Final

from asgiref.sync import sync_to_async

from exchange.errors import ExchangeTrouble, Outcome
from exchange.ports import TradingPort
from portfolio.jobs import reconcile
from portfolio.models import Account, HistoryCursor, Order, Reconciliation
from portfolio.trader import keys, lease, records
from portfolio.writers import accounts, audit
from tradeapp.backups import earlier_lives
from tradeapp.backups.earlier_lives import UnableToReopen
from trading.ledger import plain
from trading.orders import TradeReport, generation, parse_client_order_id, same_family

WATCH_SECONDS: Final = 20.0
CAUSE: Final = "reopen"
TRADES_AT_ONCE: Final = 200


@dataclass(frozen=True, slots=True)
class Reopened:
    """What was found and done; open only when nothing is left over."""

    deploy: str
    cancelled: list[str]
    trades_posted: int
    residuals: dict[str, str]

    @property
    def is_open(self) -> bool:
        """Say whether the account trades again."""
        return not self.residuals


@dataclass(frozen=True, slots=True)
class _Traces:
    """What the account shows to somebody who only looks."""

    orders: frozenset[tuple[str, str, Decimal]]
    trades: dict[str, int]
    pacing: dict[str, int | None] = field(default_factory=dict)


def reopen(*, account_id: int, watch_seconds: float, clock: Callable[[], datetime]) -> Reopened:
    """Watch, take in what the books have missed, compare, and let the account trade if nothing is left over."""
    account = Account.objects.select_related("market").get(id=account_id)
    if account.state_reason != accounts.RESTORED:
        raise UnableToReopen("NOT_RESTORED", f"{account.name} was not restored from a backup: there is nothing to reopen.")
    try:
        epoch = lease.acquire(account_id, now=clock())
    except lease.LeaseHeld as error:
        raise UnableToReopen("LEASE_HELD", f"{error} Stop that trader first.") from error
    try:
        return asyncio.run(_Reopening(account, epoch, clock).run(watch_seconds))
    finally:
        lease.release(account_id, epoch, now=clock())


class _Reopening:
    """One attempt, under the lease."""

    def __init__(self, account: Account, epoch: int, clock: Callable[[], datetime]) -> None:
        self._account = account
        self._epoch = epoch
        self._clock = clock

    async def run(self, watch_seconds: float) -> Reopened:
        account, key, secret = await sync_to_async(keys.account_and_key)(self._account.pk)
        port = keys.open_port(account, key, secret)
        try:
            # The key of another account would have us cancel its orders (I-36).
            await port.balances()
            await self._demand_solitude(port, watch_seconds)
            await self._look_at_orders(port)
            cancelled = await self._cancel_strangers(port)
            posted = await self._take_in(port, await sync_to_async(records.symbols_ever)(account.pk))
            residuals = await self._compare(port)
            if residuals:
                symbols = await sync_to_async(records.symbols_to_search)(account.pk, residuals)
                posted += await self._take_in(port, symbols)
                residuals = await self._compare(port)
        finally:
            await port.close()
        earlier_lives.forget(self._account)
        if not residuals:
            await sync_to_async(self._open)()
        return Reopened(account.deploy, cancelled, posted, {asset: plain(left) for asset, left in residuals.items()})

    async def _demand_solitude(self, port: TradingPort, watch_seconds: float) -> None:
        """Refuse while anybody else acts under this account's names, and for good when a later copy already did."""
        before = await self._traces(port)
        await asyncio.sleep(watch_seconds)
        after = await self._traces(port)
        if before != after:
            raise UnableToReopen(
                "SECOND_INSTANCE",
                f"Another installation trades {self._account.name} right now: the one that the backup was taken from, or a copy "
                "of it. Stop it, make sure that it stays down, then reopen again.",
            )
        later = [name for name, _, _ in after.orders if self._generation(name) >= generation(self._account.deploy)]
        if later:
            raise UnableToReopen(
                "SECOND_INSTANCE",
                f"A later copy of these books has traded already ({', '.join(sorted(later)[:3])}): go on with that one.",
            )

    async def _traces(self, port: TradingPort) -> _Traces:
        reports = await port.open_orders()
        symbols = await sync_to_async(records.symbols_ever)(self._account.pk)
        newest = {symbol: await self._newest_trade(port, symbol) for symbol in symbols}
        orders = frozenset((row.client_order_id, str(row.status), row.executed_quantity) for row in reports)
        return _Traces(orders, newest, earlier_lives.last_seen(self._account))

    async def _newest_trade(self, port: TradingPort, symbol: str) -> int:
        trades = await port.trades_since(symbol, (await sync_to_async(self._cursors)()).get(symbol, -1) + 1)
        return trades[-1].trade_id if trades else -1

    async def _look_at_orders(self, port: TradingPort) -> None:
        """Record what became of the orders that lived when the copy was taken: what they held back pays for later trades."""
        for order in await sync_to_async(records.watched_orders)(self._account.pk):
            try:
                report = await port.order_by_client_id(order.symbol, order.client_order_id)
            except ExchangeTrouble as trouble:
                if trouble.outcome != Outcome.NOT_VISIBLE:
                    raise
                # It may never have been sent; the trader proves that, or finds it.
                continue
            await sync_to_async(records.record_answer)(
                self._account.pk, self._epoch, order.order_id, report, (), now=self._clock()
            )

    async def _cancel_strangers(self, port: TradingPort) -> list[str]:
        """Cancel what rests under a name of an earlier life that these books have lost."""
        mine = [row for row in await port.open_orders() if self._generation(row.client_order_id) >= 0]
        known = await sync_to_async(self._known)([row.client_order_id for row in mine])
        strangers = [row for row in mine if row.client_order_id not in known]
        for row in strangers:
            await port.cancel(row.symbol, row.client_order_id)
        return [row.client_order_id for row in strangers]

    async def _take_in(self, port: TradingPort, symbols: Iterable[str]) -> int:
        """Post what was missed, each trade to the bot whose name its order carries."""
        cursors = await sync_to_async(self._cursors)()
        found: list[TradeReport] = []
        for symbol in symbols:
            found += await self._name(port, symbol, await port.trades_since(symbol, cursors.get(symbol, -1) + 1))
        # In the order of the market: what was sold in one symbol may have paid for another.
        found.sort(key=lambda trade: (trade.traded_at, trade.trade_id))
        count = 0
        for begin in range(0, len(found), TRADES_AT_ONCE):
            batch = found[begin : begin + TRADES_AT_ONCE]
            posted = await sync_to_async(records.record_trades)(self._account.pk, self._epoch, batch, now=self._clock())
            if posted.orders_unknown:
                raise UnableToReopen("ORDER_NOT_ON_RECORD", f"Nobody knows whose orders these are: {posted.orders_unknown}.")
            count += posted.count
        return count

    async def _name(self, port: TradingPort, symbol: str, trades: Collection[TradeReport]) -> list[TradeReport]:
        """Have every trade carry the name of its order: the exchange's history tells only numbers."""
        numbers = {trade.exchange_order_id for trade in trades if trade.client_order_id is None}
        names: dict[str, str] = await sync_to_async(self._names_on_record)(numbers)
        missing = sorted(numbers - names.keys())
        if missing:
            names |= await port.names_of(symbol, missing)
        return [replace(trade, client_order_id=trade.client_order_id or names[trade.exchange_order_id]) for trade in trades]

    async def _compare(self, port: TradingPort) -> dict[str, Decimal]:
        totals = (await port.balances()).totals()
        return await sync_to_async(self._residuals)(totals)

    def _residuals(self, totals: dict[str, Decimal]) -> dict[str, Decimal]:
        """Compare without booking a difference: these books are still closed."""
        ours = records.ledger_totals(self._account.pk)
        assets = sorted(ours.keys() | totals.keys())
        differences = {asset: totals.get(asset, Decimal(0)) - ours.get(asset, Decimal(0)) for asset in assets}
        return {asset: left for asset, left in differences.items() if left}

    def _open(self) -> None:
        """Record that everything agrees, and leave the rest to the trader's ordinary recovery."""
        row = reconcile.compare(
            account_id=self._account.pk,
            totals=records.ledger_totals(self._account.pk),
            cause=CAUSE,
            market_at=self._account.synced_through_at,
            duration_ms=0,
            now=self._clock(),
        )
        if row.outcome != Reconciliation.Outcome.EXACT:
            raise UnableToReopen("RECONCILE_RESIDUAL", "Something is still unexplained: see the page Reconcile.")
        with lease.fenced(self._account.pk, self._epoch) as account:
            accounts.set_state(account, Account.State.STARTING, "", now=self._clock())
            audit.record(
                action="account.reopen", subject=f"account:{account.pk}", after={"deploy": account.deploy}, now=self._clock()
            )

    def _cursors(self) -> dict[str, int]:
        return dict(HistoryCursor.objects.filter(account=self._account).values_list("symbol", "trade_id"))

    def _known(self, names: list[str]) -> set[str]:
        return set(Order.objects.filter(client_order_id__in=names).values_list("client_order_id", flat=True))

    def _names_on_record(self, numbers: set[str]) -> dict[str, str]:
        rows = Order.objects.filter(account=self._account, exchange_order_id__in=numbers)
        return dict(rows.values_list("exchange_order_id", "client_order_id"))

    def _generation(self, name: str) -> int:
        """Return which life of this account a name belongs to; -1 for somebody else's name."""
        parts = parse_client_order_id(name)
        return generation(parts.deploy) if parts is not None and same_family(parts.deploy, self._account.deploy) else -1
