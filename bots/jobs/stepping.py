"""Step bots over their closed candles, outside any transaction, and turn decisions into proposals."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import lru_cache
from typing import Any, Final

import numpy as np
import structlog

from bots.jobs.books import book_for_step, fills_to_tell
from bots.jobs.due import DueBot
from bots.memory import pack, unpack
from bots.models import Bot, BotState
from marketdata.candles import milliseconds
from marketdata.models import Market
from marketdata.selectors import CandlePanel, candle_panel, close_before
from portfolio.selectors import BookExact
from strategies import registry
from trading import live_step
from trading.bars import Floats
from trading.handover import HandOver, view_at
from trading.live_step import Decision, StepResult
from trading.proposals import Proposal, ProposalKind
from trading.sizing import SIZED_DTYPE, size_decisions
from trading.strategy import CLOSE, MAX_DECISIONS, REASONS, DecisionKind, Reason, Record, StrategyDefinition, View

log = structlog.get_logger(__name__)

STRATEGY_CHANGED: Final = "STRATEGY_CHANGED"
STRATEGY_ERROR: Final = "STRATEGY_ERROR"
STATE_CHANGED: Final = "STATE_CHANGED"
DATA_STALE: Final = "DATA_STALE"
MODE_BOT_PAUSED: Final = "MODE_BOT_PAUSED"

# A stored state begins with the fingerprint of its layout.
SCHEMA_BYTES: Final = 8
_ORDER_KINDS: Final = {DecisionKind.ENTER, DecisionKind.EXIT, DecisionKind.PLACE, DecisionKind.MOVE_STOP}


@dataclass(frozen=True, slots=True)
class BarDecisions:
    """What a bot decided at the close of one candle."""

    closed_at: datetime
    proposals: tuple[Proposal, ...]


@dataclass(frozen=True, slots=True, eq=False)
class _SharedPanel:
    """The candles of one interval for all bots that use it."""

    instrument_ids: list[int]
    candles: CandlePanel

    def of(self, due: DueBot) -> Floats:
        """Answer one bot's part, in the order of its instruments."""
        rows = [self.instrument_ids.index(instrument_id) for instrument_id in due.instrument_ids]
        return np.ascontiguousarray(self.candles.values[:, rows, :])

    def position(self, open_at: datetime) -> int:
        """Answer where the candle that opens at a moment stands."""
        return int(np.searchsorted(self.candles.times, milliseconds(open_at)))


@dataclass(frozen=True, slots=True, eq=False)
class Stepped:
    """A bot after its candles: the new state, and what it decided on each."""

    due: DueBot
    state: BotState
    bars: tuple[BarDecisions, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Failed:
    """A bot that cannot go on, and why a person should look."""

    due: DueBot
    reason: str


# Under which hand-over a candle closes, if under any.
HandOverAt = Callable[[datetime], HandOver | None]


def step_all(
    dues: Sequence[DueBot], exact: Mapping[int, BookExact], market: Market, hand_over_at: HandOverAt
) -> list[Stepped | Failed]:
    """Step every due bot; an error of one strategy fails that bot alone."""
    panels = _load_panels(dues)
    answers: list[Stepped | Failed] = []
    for due in dues:
        try:
            answers.append(_step_bot(due, exact[due.bot.book_id], market, panels[due.bot.interval], hand_over_at))
        except live_step.StateSchemaChanged as error:
            answers.append(Failed(due, f"{STATE_CHANGED}: {error}"))
        except Exception as error:
            # The outermost loop of this bot: whatever a strategy does wrong, the others trade on.
            log.exception("bot.strategy_error", bot=due.bot.pk, strategy=due.bot.strategy)
            answers.append(Failed(due, f"{STRATEGY_ERROR}: {type(error).__name__}: {error}"))
    return answers


def _step_bot(due: DueBot, exact: BookExact, market: Market, panel: _SharedPanel, hand_over_at: HandOverAt) -> Stepped | Failed:
    bot = due.bot
    definition = registry.definition(bot.strategy)
    if definition.source_hash != bot.strategy_hash:
        return Failed(due, f"{STRATEGY_CHANGED}: the strategy's sources are not those the bot was started with; start it again")
    views = [view_at(hand_over_at(closed_at), exact.book_id, closed_at) for closed_at in due.closes]
    return _walk(due, exact, market, panel, definition, views)


def _walk(
    due: DueBot,
    exact: BookExact,
    market: Market,
    panel: _SharedPanel,
    definition: StrategyDefinition,
    views: Sequence[View],
) -> Stepped:
    bot, values = due.bot, panel.of(due)
    params = params_of(bot.strategy, json.dumps(bot.params, sort_keys=True), bot.interval)
    memory = unpack(bytes(due.state.data)) if due.state is not None else _warmed(due, definition, params)
    fills = fills_to_tell(exact)
    last_fill_id = max((fill.fill_id for fill in fills), default=exact.last_fill_id)
    has_told = False
    offset = panel.position(due.closes[0] - due.length)
    closes = _closes_before(due, values, offset)
    bars: list[BarDecisions] = []
    for number, (closed_at, view) in enumerate(zip(due.closes, views, strict=True)):
        i = offset + number
        closes = [float(now) if math.isfinite(now) else before for now, before in zip(values[CLOSE, :, i], closes, strict=True)]
        is_told = view != View.NOTHING and not has_told
        has_told = has_told or is_told
        book = book_for_step(due, exact, market, closes=closes, fills=fills if is_told else (), view=view)
        result = live_step.run_step(definition, params, memory, values, panel.candles.times, i, book)
        memory = result.state_bytes
        # What closed before the bot was started is caught up with in silence.
        if bot.started_at is None or closed_at > bot.started_at:
            newest = closed_at == due.closes[-1]
            bars.append(BarDecisions(closed_at, _proposals(due, definition, result, book, is_newest=newest)))
    # What no candle could be told waits for the next step.
    seen = last_fill_id if has_told else due.last_fill_id
    return Stepped(due, _new_state(due, memory, seen), tuple(bars))


@lru_cache(maxsize=256)
def params_of(strategy: str, params: str, interval: str) -> Record:
    """Make the record of a bot's parameters from their JSON."""
    return registry.make_params(strategy, json.loads(params), interval)


def _warmed(due: DueBot, definition: StrategyDefinition, params: Record) -> bytes:
    bot = due.bot
    assert bot.anchor_at is not None
    assert bot.bar_closed_at is not None
    history = candle_panel(
        instrument_ids=due.instrument_ids, interval=bot.interval, begin_at=bot.anchor_at, end_at=bot.bar_closed_at
    )
    return live_step.warm(definition, params, history.values)


def _proposals(
    due: DueBot, definition: StrategyDefinition, result: StepResult, book: Record, *, is_newest: bool
) -> tuple[Proposal, ...]:
    sized = np.zeros(MAX_DECISIONS, dtype=SIZED_DTYPE)
    size_decisions(result.records, result.count, book, due.numbers, sized)
    return tuple(
        _proposal(due, definition, decision, sized[leg], leg, is_newest=is_newest)
        for leg, decision in enumerate(result.decisions)
    )


def _proposal(
    due: DueBot, definition: StrategyDefinition, decision: Decision, sized: Any, leg: int, *, is_newest: bool
) -> Proposal:
    instrument = due.instruments[decision.symbol]
    acts = decision.kind in _ORDER_KINDS
    limit, stop = int(sized.limit_ticks), int(sized.stop_ticks)
    proposal = Proposal(
        book_id=due.bot.book_id,
        rank=due.bot.rank,
        leg=leg,
        instrument_id=instrument.pk,
        kind=ProposalKind(decision.kind.name.lower()),
        reason=decision.reason.name,
        side=("buy" if int(sized.side) > 0 else "sell") if acts else "",
        slot=decision.slot,
        lots=int(sized.lots),
        limit_price=instrument.tick_size * limit if limit > 0 else None,
        stop_price=instrument.tick_size * stop if stop > 0 else None,
        facts=decision.facts,
        denial="" if int(sized.deny) == Reason.NONE else REASONS[int(sized.deny)],
        strategy_hash=definition.source_hash,
        config_hash=due.config_hash,
    )
    denial = proposal.denial or _standing_denial(due, proposal, is_newest=is_newest)
    return replace(proposal, denial=denial)


def _standing_denial(due: DueBot, proposal: Proposal, *, is_newest: bool) -> str:
    if proposal.kind == ProposalKind.HOLD:
        return ""
    if not is_newest:
        return DATA_STALE
    if due.bot.status == Bot.Status.PAUSED and proposal.is_entry:
        return MODE_BOT_PAUSED
    return ""


def _new_state(due: DueBot, memory: bytes, last_fill_id: int) -> BotState:
    return BotState(
        bot=due.bot,
        bar_closed_at=due.closes[-1],
        schema_hash=memory[:SCHEMA_BYTES].hex(),
        last_fill_id=last_fill_id,
        data=pack(memory),
    )


def _load_panels(dues: Sequence[DueBot]) -> dict[str, _SharedPanel]:
    """Read the candles of all bots at once: one query for each interval."""
    groups: dict[str, list[DueBot]] = defaultdict(list)
    for due in dues:
        groups[due.bot.interval].append(due)
    panels = {}
    for interval, group in groups.items():
        ids = sorted({instrument_id for due in group for instrument_id in due.instrument_ids})
        panel = candle_panel(
            instrument_ids=ids,
            interval=interval,
            begin_at=min(due.closes[0] - due.length for due in group),
            end_at=max(due.closes[-1] for due in group),
        )
        panels[interval] = _SharedPanel(ids, panel)
    return panels


def _closes_before(due: DueBot, values: Floats, offset: int) -> list[float]:
    """Answer the last closes before the first candle to step; asked for only where that candle is missing."""
    missing = np.isnan(values[CLOSE, :, offset])
    if not missing.any():
        return [math.nan] * len(due.instruments)
    begin_at = due.closes[0] - due.length
    return [close_before(instrument_id, due.bot.interval, begin_at) for instrument_id in due.instrument_ids]
