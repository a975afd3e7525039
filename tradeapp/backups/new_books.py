"""Close the books that an exchange has forgotten, and open new ones for what it holds now: the way back after a reset (E45).

What the exchange held before is explained by nothing that it tells now, so the old books are closed as they were and never
reconciled. The new ones begin with its balances to the last unit, under a later name, with the same bots, shares, limits, keys.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Final

from asgiref.sync import sync_to_async
from django.db import transaction

from bots.models import Bot
from bots.selectors import bots as bots_of
from bots.services.creating import create_lineup
from bots.services.lineups import ALONE, export_lineup
from bots.services.modes import Wish, rotation_in_words, switch_mode
from bots.services.operating import start_bot, stop_bot
from bots.services.shares import set_shares
from exchange.ports import TradingPort
from portfolio.jobs import reconcile
from portfolio.jobs.risk import market_time
from portfolio.models import Account, Reconciliation
from portfolio.selectors.modes import newest_version
from portfolio.services import resets
from portfolio.services.resets import EXCHANGE_RESET, UnableToClose
from portfolio.trader import identity, keys, lease, records
from tradeapp.backups import earlier_lives
from tradeapp.backups.earlier_lives import UnableToReopen
from trading.handover import Mode
from trading.ledger import plain
from trading.orders import parse_client_order_id, same_family
from trading.rotation import Policy

CAUSE: Final = "reopen"
# Balances that move are read again; on an account that nobody trades the second look agrees.
_ATTEMPTS: Final = 5
_PAUSE_SECONDS: Final = 0.5


@dataclass(frozen=True, slots=True)
class NewBooks:
    """What was closed and what was opened; open only when nothing is left over."""

    closed: str
    closed_account: int
    account: int
    deploy: str
    balances: dict[str, str]
    bots: list[str]
    residuals: dict[str, str]

    @property
    def is_open(self) -> bool:
        """Say whether ledger and exchange agree to the last unit."""
        return not self.residuals


@dataclass(frozen=True, slots=True)
class _Cut:
    totals: dict[str, Decimal]
    newest_trades: dict[str, int]


def open_new_books(*, account_id: int, reason: str, clock: Callable[[], datetime]) -> NewBooks:
    """Make sure that the exchange was reset, close, open, compare; all of it or nothing."""
    account = Account.objects.select_related("market").get(id=account_id)
    if account.state_reason != EXCHANGE_RESET:
        raise UnableToReopen(
            "NOT_RESET", f"{account.name} was not halted for a reset of its exchange: there is nothing to close."
        )
    if account.master_id is not None or account.sub_accounts.exists():
        raise UnableToReopen(
            "SUB_ACCOUNTS", f"{account.name} shares an exchange account with others: its books are not followed yet."
        )
    try:
        epoch = lease.acquire(account_id, now=clock())
    except lease.LeaseHeld as error:
        raise UnableToReopen("LEASE_HELD", f"{error} Stop that trader first.") from error
    try:
        cut = asyncio.run(_read_reset(account, clock))
        successor, bots = _follow(account, cut, reason=reason, now=clock())
    except UnableToClose as error:
        raise UnableToReopen(error.code, str(error)) from error
    finally:
        lease.release(account_id, epoch, now=clock())
    earlier_lives.forget(successor)
    residuals = _compare(successor, asyncio.run(_totals(successor)), now=clock())
    closed = Account.objects.get(id=account_id)
    return NewBooks(
        closed=closed.name,
        closed_account=closed.pk,
        account=successor.pk,
        deploy=successor.deploy,
        balances={asset: plain(amount) for asset, amount in sorted(cut.totals.items()) if amount},
        bots=[bot.name for bot in bots],
        residuals=residuals,
    )


async def _read_reset(account: Account, clock: Callable[[], datetime]) -> _Cut:
    """Read what the exchange holds now, after it has shown once more that it knows our trades no longer."""
    port = await _open(account)
    try:
        if not await identity.has_forgotten(port, await sync_to_async(identity.settled_trade)(account.pk, before=clock())):
            raise UnableToReopen(
                "NOT_RESET",
                f"The exchange knows the trades of {account.name} again: `python manage.py resume` lets these books go on.",
            )
        strangers = [row.client_order_id for row in await port.open_orders() if _is_ours(row.client_order_id, account.deploy)]
        if strangers:
            raise UnableToReopen(
                "SECOND_INSTANCE",
                f"Orders of another installation of this account rest there already: {', '.join(strangers[:3])}.",
            )
        return await _take_cut(port, await sync_to_async(records.symbols_ever)(account.pk))
    finally:
        await port.close()


async def _take_cut(port: TradingPort, symbols: Iterable[str]) -> _Cut:
    """Read balances and the newest trades of a moment at which nothing moved between the two."""
    for _ in range(_ATTEMPTS):
        before = (await port.balances()).totals()
        trades = {symbol: await port.trades_since(symbol, 0) for symbol in symbols}
        if before == (await port.balances()).totals():
            return _Cut(before, {symbol: found[-1].trade_id for symbol, found in trades.items() if found})
        await asyncio.sleep(_PAUSE_SECONDS)
    raise UnableToReopen("UNSTABLE", "The balances move: somebody trades this account. Stop that first.")


async def _totals(account: Account) -> dict[str, Decimal]:
    port = await _open(account)
    try:
        return (await port.balances()).totals()
    finally:
        await port.close()


async def _open(account: Account) -> TradingPort:
    return keys.open_port(*await sync_to_async(keys.account_and_key)(account.pk))


@transaction.atomic
def _follow(before: Account, cut: _Cut, *, reason: str, now: datetime) -> tuple[Account, list[Bot]]:
    """Close, open, and line up the same bots with the same shares, limits and mode."""
    name, plan = before.name, export_lineup(before.pk)
    veterans = list(bots_of(before.pk))
    # Before this account is locked: of a pair of bots both are stopped, and accounts are locked in the order of their numbers.
    for bot in bots_of(before.pk).exclude(ALONE):
        stop_bot(bot_id=bot.pk, by=None, now=now)
    wish, running = _wish(before, veterans), {bot.key for bot in veterans if bot.status == Bot.Status.RUNNING}
    closed = resets.close_books(before.pk, by=None, reason=reason, now=now)
    for bot in veterans:
        stop_bot(bot_id=bot.pk, by=None, now=now)
    successor = resets.open_successor(closed, name=name, balances=cut.totals, newest_trades=cut.newest_trades, by=None, now=now)
    market_at = market_time(closed) or now
    bots = create_lineup(account_id=successor.pk, plan=plan, by=None, now=now)
    if bots:
        percents = {planned.key: planned.percent for planned in plan.bots}
        shares = {bot.pk: percents[bot.key] for bot in bots}
        set_shares(account_id=successor.pk, percents=shares, by=None, now=now, market_at=market_at)
    resets.copy_limits(before=closed, after=successor, by=None, now=now)
    for bot in bots:
        if bot.key in running:
            start_bot(bot_id=bot.pk, by=None, now=now, market_at=market_at)
    if wish is not None:
        switch_mode(account_id=successor.pk, wish=wish, by=None, now=now, reason=f"as before {closed.name}", market_at=market_at)
    return Account.objects.select_related("market").get(id=successor.pk), bots


def _wish(account: Account, bots: list[Bot]) -> Wish | None:
    """Return the mode that the account is in, as somebody would ask for it; none where every bot has its share."""
    version = newest_version(account.pk)
    if version is None or version.mode == Mode.PERCENTAGE:
        return None
    return Wish(
        mode=version.mode,
        bot=next((bot.key for bot in bots if bot.book_id == version.book_id), ""),
        budget=version.budget,
        policy=Policy(version.policy),
        wait_minutes=version.wait_minutes,
        rotation=rotation_in_words(version, bots) if version.mode == Mode.ROTATION else "",
    )


def _compare(account: Account, totals: dict[str, Decimal], *, now: datetime) -> dict[str, str]:
    """Compare the new books with what the exchange says after they were opened; answer what is left over."""
    row = reconcile.compare(
        account_id=account.pk, totals=totals, cause=CAUSE, market_at=market_time(account), duration_ms=0, now=now
    )
    if row.outcome == Reconciliation.Outcome.EXACT:
        return {}
    return {line.asset: plain(line.residual) for line in row.lines.exclude(residual=0)}


def _is_ours(name: str, deploy: str) -> bool:
    parts = parse_client_order_id(name)
    return parts is not None and same_family(parts.deploy, deploy)
