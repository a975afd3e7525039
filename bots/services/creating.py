"""Create bots, one at a time or a whole line-up."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from django.db import transaction
from django.db.models import Max

from bots import writers
from bots.lineups import Plan, PlannedBot
from bots.models import Bot
from bots.services.operating import Request, UnableToOperate, follow_markets
from marketdata.models import Instrument
from marketdata.selectors import filters_of, instruments
from portfolio.models import Account
from portfolio.writers import accounts, audit
from portfolio.writers.books import open_book
from strategies import registry
from trading.instruments import find_instrument

if TYPE_CHECKING:
    from django.contrib.auth.models import User


def create_bot(
    *,
    account_id: int,
    planned: PlannedBot,
    by: User | None,
    now: datetime,
    request_id: str = "",
) -> Bot:
    """Create a stopped bot with a book of its own; a bot of that key is left as it is."""
    registry.consult(planned.strategy, planned.params, planned.interval)
    with transaction.atomic():
        account = accounts.lock(account_id)
        existing = Bot.objects.filter(book__account=account, key=planned.key).first()
        if existing is not None:
            return existing
        if account.master_id is not None and Bot.objects.filter(book__account=account).exists():
            raise UnableToOperate("SUBACCOUNT_TAKEN", f"{account.name} has its bot: a sub-account belongs to one alone.")
        refuse_strategy(planned)
        return open_bot(account, planned, Request(by=by, now=now, request_id=request_id))


def open_bot(account: Account, planned: PlannedBot, request: Request, *, leader: Bot | None = None) -> Bot:
    """Write a stopped bot on a locked account, with a book of its own; a leader decides for it."""
    markets = _markets(account, planned.symbols)
    params = registry.param_values(planned.strategy, planned.params, planned.interval)
    book = open_book(account, name=planned.name, position_cap_percent=planned.position_cap_percent, now=request.now)
    bot = writers.create(
        book_id=book.pk,
        instrument_ids=[instrument.pk for instrument in markets],
        facts=_facts(account, planned, params, request.now) | {"leader": leader},
    )
    definition = registry.definition(planned.strategy)
    follow_markets(bot, definition.warmup_bars(registry.make_params(planned.strategy, params, planned.interval)))
    after = {"name": bot.name, "strategy": bot.strategy, "symbols": list(planned.symbols), "params": params}
    audit.record(
        action="bot.create",
        subject=f"bot:{bot.pk}",
        actor=request.by,
        after=after | ({} if leader is None else {"leader": leader.pk}),
        now=request.now,
        request_id=request.request_id,
    )
    accounts.changed(account)
    return bot


def create_lineup(*, account_id: int, plan: Plan, by: User | None, now: datetime) -> list[Bot]:
    """Create every bot of a plan that is not there yet, in the order of the plan."""
    for planned in plan.bots:
        registry.consult(planned.strategy, planned.params, planned.interval)
    with transaction.atomic():
        return [create_bot(account_id=account_id, planned=planned, by=by, now=now) for planned in plan.bots]


def refuse_strategy(planned: PlannedBot) -> None:
    """Refuse a strategy that cannot trade live, or not on the markets it is asked to trade on."""
    definition, count = registry.definition(planned.strategy), len(planned.symbols)
    if definition.is_across_accounts:
        raise UnableToOperate(
            "STRATEGY_NEEDS_PAIR",
            f"{definition.title} trades one coin on two accounts: make a pair of bots with `manage.py bots pair`, or on the page "
            "Arbitrage.",
        )
    if not definition.symbols_least <= count <= definition.symbols_most:
        most = f"up to {definition.symbols_most} markets" if definition.symbols_most > 1 else "one market"
        raise UnableToOperate("SYMBOL_COUNT", f"{definition.title} trades {most} at a time, not {count}.")
    if len(set(planned.symbols)) < count:
        raise UnableToOperate("SYMBOL_TWICE", f"A market is named twice: {', '.join(planned.symbols)}.")


def _facts(account: Account, planned: PlannedBot, params: dict[str, Any], now: datetime) -> dict[str, Any]:
    newest = Bot.objects.filter(book__account=account).aggregate(newest=Max("rank"))["newest"] or 0
    return {
        "key": planned.key,
        "name": planned.name,
        "strategy": planned.strategy,
        "strategy_hash": registry.definition(planned.strategy).source_hash,
        "params": params,
        "interval": planned.interval,
        "rank": newest + 1,
        "created_at": now,
    }


def _markets(account: Account, symbols: Sequence[str]) -> list[Instrument]:
    known = {instrument.symbol: instrument for instrument in instruments(account.market_id)}
    filters = [filters_of(instrument) for instrument in known.values()]
    found = [known[find_instrument(symbol, filters).symbol] for symbol in symbols]
    for instrument in found:
        if instrument.quote != account.quote_asset:
            raise UnableToOperate(
                "SYMBOL_QUOTE", f"{instrument.symbol} is paid in {instrument.quote}, the account in {account.quote_asset}."
            )
    return found
