"""Start, stop, pause, resume and flatten bots: one short transaction each, with an audit entry.

A pair of bots is operated as one: whatever is asked of either side is done to both.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from django.db import transaction
from django.db.models import F, Q

from bots import writers
from bots.jobs.due import interval_length
from bots.memory import unpack
from bots.models import Bot, BotState
from bots.selectors import instruments_of, last_close
from marketdata.writers import subscribe
from portfolio.jobs.coordinate import flatten
from portfolio.models import Account
from portfolio.writers import accounts, audit
from portfolio.writers.orders import request_cancels
from strategies import registry
from strategies.sources import UnknownStrategy
from trading import live_step
from trading.handover import Mode
from trading.strategy import StrategyDefinition

if TYPE_CHECKING:
    from django.contrib.auth.models import User

# Charts and regimes want more history than most strategies need to warm up.
HISTORY_BARS_MIN = 1000
# The market may go on for a while before the feed asks for the history of a bot that was just started.
HISTORY_BARS_SPARE = 500


class UnableToOperate(Exception):
    """Raised when a bot cannot do what was asked; carries a reason code."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """Who asks, when, and under which request."""

    by: User | None
    now: datetime
    request_id: str = ""


def start_bot(*, bot_id: int, by: User | None, now: datetime, request_id: str = "", market_at: datetime | None = None) -> Bot:
    """Let a bot trade from the next candle on, with the strategy as it is now; of a pair both.

    A bot that runs stays as it is. `market_at` is for a market that has no candle yet.
    """
    _consult(bot_id)
    with transaction.atomic():
        sides = _lock(bot_id)
        bot = _asked(sides, bot_id)
        if bot.status == Bot.Status.RUNNING:
            return bot
        if len(sides) > 1:
            refuse_modes([side.account for side in sides])
        leader = sides[0].bot
        definition = _definition(leader)
        since = [side.account.synced_through_at or side.account.market.market_time_at or market_at for side in sides]
        known = [moment for moment in since if moment is not None]
        if len(known) < len(sides):
            raise UnableToOperate("DATA_STALE", f"{bot.name} cannot start: its market has no time yet. Is the feed running?")
        # A pair begins with the first candle that neither account has closed.
        beginning = _beginning(sides, definition, last_close(max(known), leader.interval))
        request = Request(by=by, now=now, request_id=request_id)
        for side in sides:
            values = {"status": Bot.Status.RUNNING, "status_reason": "", "strategy_hash": definition.source_hash, **beginning}
            _change(side.bot, "bot.start", request, **values)
        return bot


def stop_bot(*, bot_id: int, by: User | None, now: datetime, request_id: str = "") -> Bot:
    """Stop a bot, of a pair both: resting entries are cancelled, positions and their stops stay."""
    with transaction.atomic():
        sides = _lock(bot_id)
        bot = _asked(sides, bot_id)
        if bot.status != Bot.Status.STOPPED:
            request = Request(by=by, now=now, request_id=request_id)
            for side in sides:
                request_cancels(side.account, now=now, book_ids=[side.bot.book_id], entries_only=True)
                _change(side.bot, "bot.stop", request, status=Bot.Status.STOPPED, status_reason="")
                accounts.wake_trader(side.account.pk, "advanced")
        return bot


def pause_bot(*, bot_id: int, by: User | None, now: datetime, request_id: str = "") -> Bot:
    """Keep a bot from entering, of a pair both: it goes on minding what it holds, and its resting entries are cancelled."""
    with transaction.atomic():
        sides = _lock(bot_id)
        bot = _asked(sides, bot_id)
        if bot.status == Bot.Status.PAUSED:
            return bot
        if bot.status != Bot.Status.RUNNING:
            raise UnableToOperate("MODE_BOT_NOT_ACTIVE", f"{bot.name} is {bot.status}: only a running bot can be paused.")
        request = Request(by=by, now=now, request_id=request_id)
        for side in sides:
            request_cancels(side.account, now=now, book_ids=[side.bot.book_id], entries_only=True)
            _change(side.bot, "bot.pause", request, status=Bot.Status.PAUSED, status_reason="Entries paused by the operator")
        return bot


def resume_bot(*, bot_id: int, by: User | None, now: datetime, request_id: str = "") -> Bot:
    """Let a paused bot enter again; of a pair both."""
    with transaction.atomic():
        sides = _lock(bot_id)
        bot = _asked(sides, bot_id)
        if bot.status == Bot.Status.RUNNING:
            return bot
        if bot.status != Bot.Status.PAUSED:
            raise UnableToOperate("MODE_BOT_NOT_ACTIVE", f"{bot.name} is {bot.status}: start it instead of resuming it.")
        request = Request(by=by, now=now, request_id=request_id)
        for side in sides:
            _change(side.bot, "bot.resume", request, status=Bot.Status.RUNNING, status_reason="")
        return bot


def flatten_bot(*, bot_id: int, by: User | None, now: datetime, request_id: str = "") -> Bot:
    """Stop a bot, cancel everything of it and sell all it holds; of a pair on both accounts."""
    with transaction.atomic():
        sides = _lock(bot_id)
        bot = _asked(sides, bot_id)
        request = Request(by=by, now=now, request_id=request_id)
        for side in sides:
            account, mine = side
            market_at = account.synced_through_at or account.market.market_time_at
            if market_at is None:
                raise UnableToOperate("DATA_STALE", f"{mine.name} cannot be flattened: its market has no time yet.")
            flatten(account, mine.book_id, market_at=market_at, now=now, reason="OPERATOR_FLATTEN")
            _change(mine, "bot.flatten", request, status=Bot.Status.STOPPED, status_reason="Flattened by the operator")
            accounts.wake_trader(account.pk, "advanced")
        return bot


def follow_markets(bot: Bot, warmup_bars: int) -> None:
    """Have the feed keep the candles that the bot needs."""
    bars = max(HISTORY_BARS_MIN, warmup_bars + HISTORY_BARS_SPARE)
    for instrument in instruments_of([bot.pk])[bot.pk]:
        subscribe(instrument_id=instrument.pk, interval=bot.interval, history_bars=bars)


def refuse_modes(found: Iterable[Account]) -> None:
    """Refuse a pair of bots on an account where bots take turns: it needs both of its sides at all times."""
    for account in found:
        if account.allocation_mode != Mode.PERCENTAGE:
            raise UnableToOperate(
                "PAIR_NEEDS_PERCENTAGE",
                f"Bots of {account.name} take turns ({account.allocation_mode}); a pair needs percentages.",
            )


class _Side(NamedTuple):
    """A bot on its locked account."""

    account: Account
    bot: Bot


def _lock(bot_id: int) -> list[_Side]:
    """Lock the accounts first, as every money transaction does, in the order of their numbers; a pair's leader comes first."""
    leader_id = Bot.objects.values_list("leader_id", flat=True).get(id=bot_id) or bot_id
    ids = dict(Bot.objects.filter(Q(id=leader_id) | Q(leader=leader_id)).values_list("id", "book__account_id"))
    locked = {account_id: accounts.lock(account_id) for account_id in sorted(set(ids.values()))}
    bots = Bot.objects.select_related("book__account").filter(id__in=ids).order_by(F("leader_id").asc(nulls_first=True))
    return [_Side(locked[ids[bot.pk]], bot) for bot in bots]


def _asked(sides: Sequence[_Side], bot_id: int) -> Bot:
    return next(side.bot for side in sides if side.bot.pk == bot_id)


def _consult(bot_id: int) -> None:
    bot = Bot.objects.filter(id=bot_id).first()
    if bot is not None and bot.status != Bot.Status.RUNNING:
        _definition(bot)


def _definition(bot: Bot) -> StrategyDefinition:
    try:
        registry.consult(bot.strategy, bot.params, bot.interval)
        return registry.definition(bot.strategy)
    except (UnknownStrategy, registry.BadParameter) as error:
        raise UnableToOperate("STRATEGY_ERROR", f"{bot.name} cannot start: {error}") from error


def _beginning(sides: Sequence[_Side], definition: StrategyDefinition, closed_at: datetime) -> dict[str, Any]:
    """Say from where a bot, or a pair, goes on: from its memory, or warmed up anew."""
    leader = sides[0].bot
    warmup_bars = definition.warmup_bars(registry.make_params(leader.strategy, leader.params, leader.interval))
    for side in sides:
        follow_markets(side.bot, warmup_bars)
    state = BotState.objects.filter(bot=leader).first()
    if state is not None and leader.bar_closed_at is not None and _is_readable(definition, state):
        return {"started_at": max(closed_at, leader.bar_closed_at)}
    if state is not None:
        for side in sides:
            writers.forget_state(side.bot)
    anchor_at = closed_at - interval_length(leader.interval) * warmup_bars
    return {"anchor_at": anchor_at, "bar_closed_at": closed_at, "started_at": closed_at}


def _is_readable(definition: StrategyDefinition, state: BotState) -> bool:
    try:
        live_step.state_from_bytes(definition, unpack(bytes(state.data)))
    except live_step.StateSchemaChanged:
        return False
    return True


def _change(bot: Bot, action: str, request: Request, **values: Any) -> None:
    before = {"status": bot.status, "reason": bot.status_reason, "strategy_hash": bot.strategy_hash}
    writers.change(bot, **values)
    after = {"status": bot.status, "reason": bot.status_reason, "strategy_hash": bot.strategy_hash}
    audit.record(
        action=action,
        subject=f"bot:{bot.pk}",
        actor=request.by,
        before=before,
        after=after,
        now=request.now,
        request_id=request.request_id,
    )
