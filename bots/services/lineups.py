"""Apply a line-up: show first what it would do to the account's bots, then do it in one transaction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from django.db import transaction
from django.db.models import Q

from bots import writers
from bots.lineups import Plan, PlannedBot
from bots.models import Bot
from bots.selectors import bots as bots_of
from bots.selectors import instruments_of
from bots.services.creating import create_bot, refuse_strategy
from bots.services.operating import UnableToOperate, follow_markets, start_bot, stop_bot
from marketdata.selectors import filters_of, instruments
from portfolio.models import Account, AllocationVersion, Position
from portfolio.selectors.allocations import AllocationPlan, slices_at
from portfolio.services import preview_allocations, set_allocations
from portfolio.writers import accounts, audit
from portfolio.writers.books import open_book
from strategies import registry
from strategies.sources import UnknownStrategy
from trading.instruments import UnknownSymbol, find_instrument
from trading.ledger import ZERO, plain

if TYPE_CHECKING:
    from django.contrib.auth.models import User

CREATE: Final = "create"
CHANGE: Final = "change"
KEEP: Final = "keep"
LEAVE: Final = "leave"
# A line-up is of one account; bots that work together with another account's stay as they are.
ALONE: Final = Q(leader=None, follower=None)


class UnableToLineUp(Exception):
    """Raised when a line-up cannot be applied; carries a reason code and everything that is in the way."""

    def __init__(self, code: str, errors: Sequence[str]) -> None:
        super().__init__(" ".join(errors))
        self.code = code
        self.facts = {"errors": list(errors)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What a line-up does to one bot; `changes` are (field, before, after)."""

    action: str
    key: str
    name: str
    percent_before: Decimal
    percent_after: Decimal
    changes: tuple[tuple[str, str, str], ...] = ()
    bot: Bot | None = None
    planned: PlannedBot | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LineupDiff:
    """What a line-up would do, and what is in the way of it."""

    name: str
    steps: tuple[Step, ...]
    obstacles: tuple[str, ...]
    shares: AllocationPlan | None = field(default=None)

    @property
    def is_empty(self) -> bool:
        """Say whether the account is lined up like this already."""
        return all(step.action == KEEP and step.percent_before == step.percent_after for step in self.steps)


def export_lineup(account_id: int, *, name: str = "exported") -> Plan:
    """Return the account's bots with their shares as a plan; a bot that works together with another account's is none of it."""
    found = list(bots_of(account_id).filter(ALONE))
    markets = instruments_of([bot.pk for bot in found])
    slices = slices_at(account_id)
    return Plan(
        name,
        tuple(
            PlannedBot(
                key=bot.key,
                name=bot.name,
                aliases=(),
                strategy=bot.strategy,
                symbols=tuple(instrument.symbol for instrument in markets[bot.pk]),
                interval=bot.interval,
                percent=slices[bot.book_id].percent if bot.book_id in slices else ZERO,
                position_cap_percent=bot.book.position_cap_percent,
                params=bot.params,
            )
            for bot in found
        ),
    )


def diff_lineup(*, account_id: int, plan: Plan) -> LineupDiff:
    """Say what a line-up would do to the account's bots and shares, and what is in the way; nothing is written."""
    account = Account.objects.select_related("market").get(id=account_id)
    there = {bot.key: bot for bot in bots_of(account_id).filter(ALONE)}
    now = {bot.key: bot for bot in export_lineup(account_id).bots}
    steps = [_step(planned, there.get(planned.key), now.get(planned.key)) for planned in plan.bots]
    wanted = {planned.key for planned in plan.bots}
    for key in (key for key in there if key not in wanted):
        steps.append(
            Step(action=LEAVE, key=key, name=there[key].name, percent_before=now[key].percent, percent_after=ZERO, bot=there[key])
        )
    paired = list(bots_of(account_id).exclude(ALONE))
    obstacles = [*_markets_in_the_way(account, plan), *_bots_in_the_way(steps)]
    obstacles += [
        f"{bot.name} has the key {bot.key} and works with another account's bot." for bot in paired if bot.key in wanted
    ]
    if account.allocation_mode != "percentage":
        obstacles.append(f"The account is in {account.allocation_mode} mode: switch it to percentage first.")
    shares = None
    if not obstacles:
        percents = {step.bot.book_id: step.percent_after for step in steps if step.bot is not None}
        percents |= _shares_kept(account_id)
        shares = preview_allocations(account_id=account_id, percents=percents)
    return LineupDiff(name=plan.name, steps=tuple(steps), obstacles=tuple(obstacles), shares=shares)


def apply_lineup(
    *,
    account_id: int,
    plan: Plan,
    by: User | None,
    now: datetime,
    request_id: str = "",
    expected: int | None = None,
    is_starting: bool = False,
) -> LineupDiff:
    """Create, change and stop bots and set their shares as a plan says: all of it or nothing.

    A bot that the plan does not name is stopped and its share goes to zero; what it holds stays until it is sold.
    New bots are stopped unless they are asked to start; `expected` is the version of the shares that was looked at.
    """
    for planned in plan.bots:
        # What is wrong with one is told where it is made or started.
        with suppress(UnknownStrategy, registry.BadParameter):
            registry.consult(planned.strategy, planned.params, planned.interval)
    with transaction.atomic():
        account = accounts.lock(account_id)
        diff = diff_lineup(account_id=account_id, plan=plan)
        if diff.obstacles:
            raise UnableToLineUp("LINEUP_IN_THE_WAY", diff.obstacles)
        asked: dict[str, Any] = {"by": by, "now": now, "request_id": request_id}
        percents = {_carry_out(account, step, **asked).book_id: step.percent_after for step in diff.steps}
        percents |= _shares_kept(account_id)
        set_allocations(
            account_id=account_id,
            percents=percents,
            expected=expected,
            cause=AllocationVersion.Cause.LINEUP,
            note=plan.name,
            **asked,
        )
        for step in diff.steps if is_starting else ():
            if step.action != LEAVE:
                start_bot(bot_id=Bot.objects.get(book__account=account, key=step.key).pk, **asked)
        audit.record(
            action="lineup.apply",
            subject=f"account:{account_id}",
            actor=by,
            after={"name": plan.name, "steps": {step.key: f"{step.action} {plain(step.percent_after)} %" for step in diff.steps}},
            now=now,
            request_id=request_id,
        )
    return diff


def _shares_kept(account_id: int) -> dict[int, Decimal]:
    """Return the shares of the bots that no line-up touches."""
    slices = slices_at(account_id)
    paired = bots_of(account_id).exclude(ALONE).values_list("book_id", flat=True)
    return {book_id: slices[book_id].percent for book_id in paired if book_id in slices}


def _step(planned: PlannedBot, bot: Bot | None, now: PlannedBot | None) -> Step:
    if bot is None or now is None:
        return Step(
            action=CREATE, key=planned.key, name=planned.name, percent_before=ZERO, percent_after=planned.percent, planned=planned
        )
    wanted = _described(planned)
    before = _described(now)
    # Of another strategy a bot had no parameters before.
    changes = tuple((what, before.get(what, ""), wanted[what]) for what in wanted if before.get(what) != wanted[what])
    return Step(
        action=CHANGE if changes else KEEP,
        key=planned.key,
        name=planned.name,
        percent_before=now.percent,
        percent_after=planned.percent,
        changes=changes,
        bot=bot,
        planned=planned,
    )


def _described(planned: PlannedBot) -> dict[str, str]:
    """Write what a person can set about a bot, its parameters complete."""
    params = registry.param_values(planned.strategy, planned.params, planned.interval)
    facts = {
        "strategy": planned.strategy,
        "symbols": ", ".join(planned.symbols),
        "interval": planned.interval,
        "position cap": f"{plain(planned.position_cap_percent)} %",
    }
    return facts | {f"{planned.strategy}.{name}": str(value) for name, value in params.items()}


def _markets_in_the_way(account: Account, plan: Plan) -> list[str]:
    known = [filters_of(instrument) for instrument in instruments(account.market_id)]
    found = []
    for planned in plan.bots:
        try:
            refuse_strategy(planned)
        except UnableToOperate as refused:
            found.append(f"{planned.name}: {refused}")
            continue
        elsewhere = [exchange for exchange in planned.exchanges if exchange != account.market.exchange]
        if elsewhere:
            names = ", ".join(elsewhere)
            found.append(f"{planned.name} wants an account on {names} as well: leave {planned.key} out, or add that account.")
            continue
        for symbol in planned.symbols:
            try:
                pair = find_instrument(symbol, known)
            except UnknownSymbol as error:
                found.append(f"{planned.name}: {error}")
                continue
            if pair.quote != account.quote_asset:
                found.append(f"{planned.name}: {symbol} is paid in {pair.quote}, the account in {account.quote_asset}.")
    return found


def _bots_in_the_way(steps: Sequence[Step]) -> list[str]:
    """Name the bots that cannot be changed now: those at work, and those that hold something a change would strand."""
    found = []
    for step in steps:
        if step.action != CHANGE or step.bot is None:
            continue
        what = {name for name, _, _ in step.changes} - {"position cap"}
        if what and step.bot.status in (Bot.Status.RUNNING, Bot.Status.PAUSED):
            found.append(f"{step.name} is {step.bot.status}: stop it before its {', '.join(sorted(what))} changes.")
        elif what and Position.objects.filter(book=step.bot.book_id).exclude(quantity=0).exists():
            found.append(f"{step.name} holds a position: flatten it before its {', '.join(sorted(what))} changes.")
    return found


def _carry_out(account: Account, step: Step, *, by: User | None, now: datetime, request_id: str) -> Bot:
    if step.bot is None:
        assert step.planned is not None
        return create_bot(account_id=account.pk, planned=step.planned, by=by, now=now, request_id=request_id)
    if step.action == LEAVE:
        return stop_bot(bot_id=step.bot.pk, by=by, now=now, request_id=request_id)
    if step.action == CHANGE:
        _change(account, step, by=by, now=now, request_id=request_id)
    return step.bot


def _change(account: Account, step: Step, *, by: User | None, now: datetime, request_id: str) -> None:
    bot, planned = step.bot, step.planned
    assert bot is not None
    assert planned is not None
    if {name for name, _, _ in step.changes} - {"position cap"}:
        params = registry.param_values(planned.strategy, planned.params, planned.interval)
        definition = registry.definition(planned.strategy)
        values: Mapping[str, Any] = {"strategy": planned.strategy, "params": params, "interval": planned.interval}
        writers.change(bot, strategy_hash=definition.source_hash, bar_closed_at=None, **values)
        writers.forget_state(bot)
        known = {instrument.symbol: instrument.pk for instrument in instruments(account.market_id)}
        filters = [filters_of(instrument) for instrument in instruments(account.market_id)]
        writers.set_markets(bot, [known[find_instrument(symbol, filters).symbol] for symbol in planned.symbols])
        follow_markets(bot, definition.warmup_bars(registry.make_params(planned.strategy, params, planned.interval)))
    open_book(account, name=bot.book.name, position_cap_percent=planned.position_cap_percent, now=now)
    audit.record(
        action="bot.change",
        subject=f"bot:{bot.pk}",
        actor=by,
        before={name: before for name, before, _ in step.changes},
        after={name: after for name, _, after in step.changes},
        now=now,
        request_id=request_id,
    )
