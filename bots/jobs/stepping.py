"""Step bots over their closed candles, outside any transaction, and turn decisions into proposals."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import lru_cache, partial
from typing import Any, Final, NamedTuple, TypeVar

import numpy as np
import structlog

from bots.jobs.books import book_for_step, fills_to_tell
from bots.jobs.due import DueBot
from bots.memory import pack, unpack
from bots.models import Bot, BotState
from marketdata.candles import milliseconds
from marketdata.models import Market
from marketdata.selectors import CandlePanel, candle_panel, close_before
from portfolio.selectors import BookExact, FillExact, together
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
class SteppedPair:
    """Two bots after their candles: what they remember, which is the same, and what was decided for either on each."""

    due: DueBot
    state: BotState
    follower_state: BotState
    bars: tuple[BarDecisions, ...]


class _Walked(NamedTuple):
    """What came of the candles: the strategy's memory, which fills it was told of, and what it decided on each candle."""

    memory: bytes
    told: tuple[FillExact, ...]
    has_told: bool
    bars: tuple[BarDecisions, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Failed:
    """A bot that cannot go on, and why a person should look."""

    due: DueBot
    reason: str


Answer = TypeVar("Answer")
# Under which hand-over a candle closes, if under any.
HandOverAt = Callable[[datetime], HandOver | None]


def step_all(
    dues: Sequence[DueBot], exact: Mapping[int, BookExact], market: Market, hand_over_at: HandOverAt
) -> list[Stepped | Failed]:
    """Step every due bot; an error of one strategy fails that bot alone."""
    panels = _load_panels(dues)
    return [
        _contained(due, partial(_step_bot, due, exact[due.bot.book_id], market, panels[due.bot.interval], hand_over_at))
        for due in dues
    ]


def step_pair(due: DueBot, exact: tuple[BookExact, BookExact], markets: tuple[Market, Market]) -> SteppedPair | Failed:
    """Step a pair of bots as one: the leader's strategy sees both books as one, and decides for both."""
    panel = _load_panels([due])[due.bot.interval]
    views = [View.WHOLE] * len(due.closes)
    walked = _contained(due, partial(_walk, due, together(*exact), markets, panel, views))
    if isinstance(walked, Failed):
        return walked
    told = {fill.fill_id for fill in walked.told}
    seen = [_seen(book, told) for book in exact]
    assert due.follower is not None
    states = [_new_state(due, bot, walked.memory, last) for bot, last in zip((due.bot, due.follower), seen, strict=True)]
    return SteppedPair(due, states[0], states[1], walked.bars)


def _contained(due: DueBot, step: Callable[[], Answer | Failed]) -> Answer | Failed:
    """Be the outermost loop of a bot: whatever its strategy does wrong, the others trade on."""
    try:
        return step()
    except live_step.StateSchemaChanged as error:
        return Failed(due, f"{STATE_CHANGED}: {error}")
    except Exception as error:
        log.exception("bot.strategy_error", bot=due.bot.pk, strategy=due.bot.strategy)
        return Failed(due, f"{STRATEGY_ERROR}: {type(error).__name__}: {error}")


def _seen(exact: BookExact, told: Collection[int]) -> int:
    """Answer the newest fill of one of several books that a step was told of; what it was not told of waits for the next."""
    untold = [fill.fill_id for fill in exact.fills if fill.fill_id not in told]
    return min(untold) - 1 if untold else exact.last_fill_id


def _step_bot(due: DueBot, exact: BookExact, market: Market, panel: _SharedPanel, hand_over_at: HandOverAt) -> Stepped | Failed:
    views = [view_at(hand_over_at(closed_at), exact.book_id, closed_at) for closed_at in due.closes]
    walked = _walk(due, exact, (market,), panel, views)
    if isinstance(walked, Failed):
        return walked
    # What no candle could be told waits for the next step.
    seen = max((fill.fill_id for fill in walked.told), default=exact.last_fill_id) if walked.has_told else due.last_fill_id
    return Stepped(due, _new_state(due, due.bot, walked.memory, seen), walked.bars)


def _walk(
    due: DueBot, exact: BookExact, markets: tuple[Market, ...], panel: _SharedPanel, views: Sequence[View]
) -> _Walked | Failed:
    definition = registry.definition(due.bot.strategy)
    if definition.source_hash != due.bot.strategy_hash:
        return Failed(due, f"{STRATEGY_CHANGED}: the strategy's sources are not those the bot was started with; start it again")
    bot, values = due.bot, panel.of(due)
    params = params_of(bot.strategy, json.dumps(bot.params, sort_keys=True), bot.interval)
    memory = unpack(bytes(due.state.data)) if due.state is not None else _warmed(due, definition, params)
    fills = fills_to_tell(exact)
    has_told = False
    offset = panel.position(due.closes[0] - due.length)
    closes = _closes_before(due, values, offset)
    bars: list[BarDecisions] = []
    for number, (closed_at, view) in enumerate(zip(due.closes, views, strict=True)):
        i = offset + number
        closes = [float(now) if math.isfinite(now) else before for now, before in zip(values[CLOSE, :, i], closes, strict=True)]
        is_told = view != View.NOTHING and not has_told
        has_told = has_told or is_told
        book = book_for_step(due, exact, markets, closes=closes, fills=fills if is_told else (), view=view)
        result = live_step.run_step(definition, params, memory, values, panel.candles.times, i, book)
        memory = result.state_bytes
        # What closed before the bot was started is caught up with in silence.
        if bot.started_at is None or closed_at > bot.started_at:
            newest = closed_at == due.closes[-1]
            bars.append(BarDecisions(closed_at, _proposals(due, definition, result, book, is_newest=newest)))
    return _Walked(memory, fills if has_told else (), has_told, tuple(bars))


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
    instrument, owner = due.instruments[decision.symbol], due.owner_of(decision.symbol)
    is_leg = decision.reason in definition.leg_reasons
    acts = decision.kind in _ORDER_KINDS
    limit, stop = int(sized.limit_ticks), int(sized.stop_ticks)
    proposal = Proposal(
        book_id=owner.book_id,
        rank=owner.rank,
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
        pair=int(decision.facts["pair"] or 0) if is_leg or decision.reason in definition.mend_reasons else 0,
        is_leg=is_leg,
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


def _new_state(due: DueBot, bot: Bot, memory: bytes, last_fill_id: int) -> BotState:
    return BotState(
        bot=bot,
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
