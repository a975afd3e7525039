"""Hold a strategy to what every strategy promises: no look ahead, an honest warm-up, a state that is all its memory."""

import math
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from trading import live_step
from trading.bars import Floats
from trading.strategy import (
    CLOSE,
    MAX_DECISIONS,
    DecisionKind,
    Reason,
    Record,
    StrategyDefinition,
    new_book,
    new_decisions,
)

EQUITY: Final = 2_000.0
# How far two numbers may lie apart after the warm-up, as a share of the larger.
CONVERGED: Final = 1e-6
CUTS: Final = (0.35, 0.6, 0.85)


@dataclass(frozen=True, slots=True)
class Finding:
    """One promise, whether it is kept, and where it is not."""

    promise: str
    is_kept: bool
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Walk:
    """What a strategy said at every bar, as bytes, and the state it was left with."""

    said: tuple[bytes, ...]
    decisions: tuple[Record, ...]
    state: bytes


def check_strategy(definition: StrategyDefinition, params: Record, panel: Floats) -> tuple[Finding, ...]:
    """Check every promise over the candles of a panel; an error that the strategy raises passes through."""
    whole = walk(definition, params, panel)
    findings = [
        _answers_are_valid(whole, panel),
        _repeats_itself(definition, params, panel, whole),
        _does_not_look_ahead(definition, params, panel, whole),
        _keeps_its_memory_in_its_state(definition, params, panel, whole),
        _takes_no_notice_of_a_gap(definition, params, panel),
        _wants_no_money_while_it_warms_up(definition, params, panel),
        _is_warm_when_it_says_so(definition, params, panel),
    ]
    return tuple(findings)


def walk(definition: StrategyDefinition, params: Record, panel: Floats, *, restart: bool = False, money: float = EQUITY) -> Walk:
    """Step over every bar of a panel with an unmoved book; with `restart` the state goes through bytes at every bar."""
    state, decisions = live_step.new_state(definition, params), new_decisions()
    # A step that writes into its candles is caught by numpy, which names the line.
    sealed = panel.copy()
    sealed.setflags(write=False)
    said, kept = [], []
    for i in range(panel.shape[2]):
        if restart:
            state = live_step.state_from_bytes(definition, live_step.state_to_bytes(definition, state))
            decisions = new_decisions()
        book = _book(panel, i, money)
        count = definition.step(state, _offered(definition, sealed, panel), i, book, params, decisions)
        if not 1 <= count <= MAX_DECISIONS:
            raise ValueError(f"step answered {count} at bar {i}: it must write 1 to {MAX_DECISIONS} decisions and say how many")
        kept.append(decisions[:count].copy())
        said.append(decisions[:count].tobytes())
    return Walk(tuple(said), tuple(kept), live_step.state_to_bytes(definition, state))


def _offered(definition: StrategyDefinition, sealed: Floats, panel: Floats) -> Floats:
    # Compiled code was compiled for arrays that can be written.
    return panel if hasattr(definition.step, "py_func") else sealed


def _book(panel: Floats, i: int, money: float) -> Record:
    book = new_book()
    b = book[0]
    b.cash = b.equity = b.allocation = money
    b.fee_rate = b.maker_fee_rate = 0.001
    b.half_spread = 0.00005
    for symbol in range(panel.shape[1]):
        b.close[symbol] = panel[CLOSE, symbol, i]
        b.tick[symbol], b.step[symbol], b.min_notional[symbol] = 0.01, 0.0001, 5.0
    return book


def _answers_are_valid(whole: Walk, panel: Floats) -> Finding:
    promise = "every bar has an answer with a reason, about a market that is there"
    for i, decisions in enumerate(whole.decisions):
        for one in decisions:
            if int(one.kind) not in set(DecisionKind) or int(one.reason) not in set(Reason) or one.reason == Reason.NONE:
                return Finding(promise, False, f"bar {i}: kind {int(one.kind)}, reason {int(one.reason)}")
            if not 0 <= one.symbol < panel.shape[1]:
                return Finding(promise, False, f"bar {i}: market {int(one.symbol)} of {panel.shape[1]}")
    return Finding(promise, True)


def _repeats_itself(definition: StrategyDefinition, params: Record, panel: Floats, whole: Walk) -> Finding:
    again = walk(definition, params, panel)
    return _compared("the same candles give the same answers", whole.said, again.said)


def _does_not_look_ahead(definition: StrategyDefinition, params: Record, panel: Floats, whole: Walk) -> Finding:
    promise = "the future cannot change the past"
    for share in CUTS:
        cut = int(panel.shape[2] * share)
        other = panel.copy()
        # Another future, far from the true one: whoever reads it answers differently before the cut.
        other[: CLOSE + 1, :, cut:] *= 3.0
        seen = walk(definition, params, np.ascontiguousarray(other))
        finding = _compared(promise, whole.said[:cut], seen.said[:cut])
        if not finding.is_kept:
            return Finding(promise, False, f"{finding.detail}: the answer depends on candles from bar {cut} on")
        shorter = walk(definition, params, np.ascontiguousarray(panel[:, :, :cut]))
        finding = _compared(promise, whole.said[:cut], shorter.said)
        if not finding.is_kept:
            return Finding(promise, False, f"{finding.detail}: the answer depends on how many candles follow")
    return Finding(promise, True)


def _keeps_its_memory_in_its_state(definition: StrategyDefinition, params: Record, panel: Floats, whole: Walk) -> Finding:
    restarted = walk(definition, params, panel, restart=True)
    finding = _compared("a restart at any bar changes nothing", whole.said, restarted.said)
    if finding.is_kept and restarted.state != whole.state:
        return Finding(finding.promise, False, "the state at the end differs")
    return finding


def _takes_no_notice_of_a_gap(definition: StrategyDefinition, params: Record, panel: Floats) -> Finding:
    promise = "a missing candle may be stepped over or left out"
    middle = panel.shape[2] // 2
    holed = panel.copy()
    holed[:, :, middle : middle + 3] = math.nan
    stepped = walk(definition, params, holed, money=0.0)
    left_out = walk(definition, params, np.ascontiguousarray(np.delete(panel, slice(middle, middle + 3), axis=2)), money=0.0)
    same = stepped.state == left_out.state
    return Finding(promise, same, "" if same else f"the state differs after a gap at bar {middle}")


def _wants_no_money_while_it_warms_up(definition: StrategyDefinition, params: Record, panel: Floats) -> Finding:
    promise = "without money it only holds"
    for i, decisions in enumerate(walk(definition, params, panel, money=0.0).decisions):
        if (decisions["kind"] != DecisionKind.HOLD).any():
            return Finding(promise, False, f"bar {i}: asks for {DecisionKind(int(decisions['kind'].max())).name}")
    return Finding(promise, True)


def _is_warm_when_it_says_so(definition: StrategyDefinition, params: Record, panel: Floats) -> Finding:
    """Start late by as much as there is beyond two warm-ups: after one of them both must say the same."""
    promise = "after its warm-up it no longer matters where it began"
    bars, warm = panel.shape[2], definition.warmup_bars(params)
    late = bars - 2 * warm
    if late < 1:
        return Finding(promise, True, f"not tried: {bars} candles are fewer than two warm-ups of {warm}")
    # As the engine does it: the first bars are seen without money.
    began_late = _warmed(definition, params, np.ascontiguousarray(panel[:, :, late:]), warm)
    began_early = _warmed(definition, params, panel, late + warm)
    for i, (early, lately) in enumerate(zip(began_early, began_late, strict=True)):
        if len(early) != len(lately) or not _close(early, lately):
            return Finding(
                promise, False, f"bar {late + warm + i}: {_shown(early)} from the beginning, {_shown(lately)} from bar {late}"
            )
    return Finding(promise, True)


def _warmed(definition: StrategyDefinition, params: Record, panel: Floats, warm: int) -> list[Record]:
    state = live_step.state_from_bytes(definition, live_step.warm(definition, params, panel, warm))
    decisions, answers = new_decisions(), []
    for i in range(warm, panel.shape[2]):
        count = definition.step(state, panel, i, _book(panel, i, EQUITY), params, decisions)
        answers.append(decisions[:count].copy())
    return answers


def _close(early: Record, lately: Record) -> bool:
    for name in ("kind", "symbol", "slot", "side", "reason"):
        if (early[name] != lately[name]).any():
            return False
    numbers: Any = ("share", "limit", "stop")
    return all(np.allclose(early[name], lately[name], rtol=CONVERGED, atol=1e-12, equal_nan=True) for name in numbers)


def _shown(decisions: Record) -> str:
    return ", ".join(f"{DecisionKind(int(one.kind)).name} {Reason(int(one.reason)).name}" for one in decisions)


def _compared(promise: str, ours: tuple[bytes, ...], theirs: tuple[bytes, ...]) -> Finding:
    for i, (one, other) in enumerate(zip(ours, theirs, strict=True)):
        if one != other:
            return Finding(promise, False, f"bar {i}")
    return Finding(promise, True)
