"""Start, stop, pause, resume and flatten bots: one short transaction each, with an audit entry."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from django.db import transaction

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
from trading import live_step
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
    """Let a bot trade from the next candle on, with the strategy as it is now.

    A bot that runs stays as it is. `market_at` is for a market that has no candle yet.
    """
    with transaction.atomic():
        account, bot = _lock(bot_id)
        if bot.status == Bot.Status.RUNNING:
            return bot
        definition = _definition(bot)
        since = account.synced_through_at or account.market.market_time_at or market_at
        if since is None:
            raise UnableToOperate("DATA_STALE", f"{bot.name} cannot start: its market has no time yet. Is the feed running?")
        values = {
            "status": Bot.Status.RUNNING,
            "status_reason": "",
            "strategy_hash": definition.source_hash,
            **_beginning(bot, definition, last_close(since, bot.interval)),
        }
        _change(bot, "bot.start", Request(by=by, now=now, request_id=request_id), **values)
        return bot


def stop_bot(*, bot_id: int, by: User | None, now: datetime, request_id: str = "") -> Bot:
    """Stop a bot: its resting entries are cancelled, its positions and their stops stay."""
    with transaction.atomic():
        account, bot = _lock(bot_id)
        if bot.status != Bot.Status.STOPPED:
            request_cancels(account, now=now, book_ids=[bot.book_id], entries_only=True)
            request = Request(by=by, now=now, request_id=request_id)
            _change(bot, "bot.stop", request, status=Bot.Status.STOPPED, status_reason="")
            accounts.wake_trader(account.pk, "advanced")
        return bot


def pause_bot(*, bot_id: int, by: User | None, now: datetime, request_id: str = "") -> Bot:
    """Keep a bot from entering: it goes on minding what it holds, and its resting entries are cancelled."""
    with transaction.atomic():
        account, bot = _lock(bot_id)
        if bot.status == Bot.Status.PAUSED:
            return bot
        if bot.status != Bot.Status.RUNNING:
            raise UnableToOperate("MODE_BOT_NOT_ACTIVE", f"{bot.name} is {bot.status}: only a running bot can be paused.")
        request_cancels(account, now=now, book_ids=[bot.book_id], entries_only=True)
        request = Request(by=by, now=now, request_id=request_id)
        _change(bot, "bot.pause", request, status=Bot.Status.PAUSED, status_reason="Entries paused by the operator")
        return bot


def resume_bot(*, bot_id: int, by: User | None, now: datetime, request_id: str = "") -> Bot:
    """Let a paused bot enter again."""
    with transaction.atomic():
        _, bot = _lock(bot_id)
        if bot.status == Bot.Status.RUNNING:
            return bot
        if bot.status != Bot.Status.PAUSED:
            raise UnableToOperate("MODE_BOT_NOT_ACTIVE", f"{bot.name} is {bot.status}: start it instead of resuming it.")
        request = Request(by=by, now=now, request_id=request_id)
        _change(bot, "bot.resume", request, status=Bot.Status.RUNNING, status_reason="")
        return bot


def flatten_bot(*, bot_id: int, by: User | None, now: datetime, request_id: str = "") -> Bot:
    """Stop a bot, cancel everything of it and sell all it holds."""
    with transaction.atomic():
        account, bot = _lock(bot_id)
        market_at = account.synced_through_at or account.market.market_time_at
        if market_at is None:
            raise UnableToOperate("DATA_STALE", f"{bot.name} cannot be flattened: its market has no time yet.")
        flatten(account, bot.book_id, market_at=market_at, now=now, reason="OPERATOR_FLATTEN")
        request = Request(by=by, now=now, request_id=request_id)
        _change(bot, "bot.flatten", request, status=Bot.Status.STOPPED, status_reason="Flattened by the operator")
        accounts.wake_trader(account.pk, "advanced")
        return bot


def follow_markets(bot: Bot, warmup_bars: int) -> None:
    """Have the feed keep the candles that the bot needs."""
    bars = max(HISTORY_BARS_MIN, warmup_bars + HISTORY_BARS_SPARE)
    for instrument in instruments_of([bot.pk])[bot.pk]:
        subscribe(instrument_id=instrument.pk, interval=bot.interval, history_bars=bars)


def _lock(bot_id: int) -> tuple[Account, Bot]:
    """Lock the account first, as every money transaction does; steps of its bots wait."""
    account_id = Bot.objects.values_list("book__account_id", flat=True).get(id=bot_id)
    account = accounts.lock(account_id)
    return account, Bot.objects.select_related("book__account").get(id=bot_id)


def _definition(bot: Bot) -> StrategyDefinition:
    try:
        registry.param_values(bot.strategy, bot.params, bot.interval)
        return registry.definition(bot.strategy)
    except (registry.UnknownStrategy, registry.BadParameter) as error:
        raise UnableToOperate("STRATEGY_ERROR", f"{bot.name} cannot start: {error}") from error


def _beginning(bot: Bot, definition: StrategyDefinition, closed_at: datetime) -> dict[str, Any]:
    """Say from where the bot goes on: from its memory, or warmed up anew."""
    warmup_bars = definition.warmup_bars(registry.make_params(bot.strategy, bot.params, bot.interval))
    follow_markets(bot, warmup_bars)
    state = BotState.objects.filter(bot=bot).first()
    if state is not None and bot.bar_closed_at is not None and _is_readable(definition, state):
        return {"started_at": max(closed_at, bot.bar_closed_at)}
    if state is not None:
        writers.forget_state(bot)
    anchor_at = closed_at - interval_length(bot.interval) * warmup_bars
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
