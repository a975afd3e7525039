"""Which bots get how much after a trial: one rule, said in numbers, and a plain word where the sample supports no choice."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from statistics import NormalDist
from typing import Final

import numpy as np

from trading.metrics import OBSERVATIONS_MIN, Z_95
from trading.trials import GRIDS, TrialFigures

# What a bot is measured by, and how much each counts.
WEIGHTS: Final[Mapping[str, float]] = {"sharpe": 0.40, "max_drawdown": 0.25, "consistency": 0.20, "fit": 0.15}
# A score moves a share by half at most.
TILT: Final = 0.5
# No bot gets more, however good it looks.
CAP_PERCENT: Final = 40
TRADES_MIN: Final = 30
LEGS_MIN: Final = 5
_HUNDREDTHS: Final = 100
# Luck reaches so many deviations further once in twenty times.
_ONE_IN_TWENTY: Final = 1.6448536269514722
_EULER: Final = 0.5772156649015329


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A bot of a trial; one whose share is locked keeps it."""

    book_id: int
    name: str
    figures: TrialFigures
    locked_percent: Decimal | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What the rule says of one bot."""

    percent: Decimal
    score: float
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Doubt:
    """What the sample cannot tell; one that is grave means that it supports no choice."""

    code: str
    message: str
    is_grave: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """Shares for the bots of a trial, and what speaks against them."""

    # By book.
    verdicts: Mapping[int, Verdict]
    doubts: tuple[Doubt, ...]

    @property
    def is_supported(self) -> bool:
        """Say whether the sample can carry the choice."""
        return not any(doubt.is_grave for doubt in self.doubts)


def choose(candidates: Sequence[Candidate], *, room: Decimal, is_same_market: bool, is_whole: bool = True) -> Choice:
    """Propose shares that add up to `room` percent at most.

    Bots that lost money get nothing: cash is a choice. The others share by the inverse of how much they swing, tilted by
    their score, none above the cap. `is_same_market` says whether all of them saw the same hours.
    """
    scores = _scores(candidates)
    locked = {one.book_id: one.locked_percent for one in candidates if one.locked_percent is not None}
    fit_for = [one for one in candidates if one.book_id not in locked and _why_not(one.figures) == ""]
    left = room - sum(locked.values(), Decimal(0))
    shares = _shared_out(fit_for, scores, int(left * _HUNDREDTHS))
    verdicts = {}
    for one in candidates:
        kept = locked.get(one.book_id)
        why = "its share is locked" if kept is not None else _why_not(one.figures) or "earned its costs"
        percent = kept if kept is not None else Decimal(shares.get(one.book_id, 0)) / _HUNDREDTHS
        verdicts[one.book_id] = Verdict(percent=percent, score=scores[one.book_id], why=why)
    return Choice(verdicts=verdicts, doubts=tuple(_doubts(candidates, is_same_market, is_whole)))


def lucky_sharpe(candidates: int, observations: int, periods: int) -> float:
    """Answer the yearly Sharpe ratio that the best of so many bots without any skill is expected to show."""
    if candidates < 2 or observations < 2:
        return 0.0
    quantile = NormalDist().inv_cdf
    best = (1 - _EULER) * quantile(1 - 1 / candidates) + _EULER * quantile(1 - 1 / (candidates * math.e))
    return best * math.sqrt(periods / (observations - 1))


def _why_not(figures: TrialFigures) -> str:
    if not figures.legs:
        return "has no finished turn"
    if not figures.trades:
        return "closed no trade"
    if figures.total_return <= 0:
        return "did not earn its costs"
    if figures.sharpe is not None and figures.sharpe <= 0:
        return "has no Sharpe ratio above zero"
    return ""


def _scores(candidates: Sequence[Candidate]) -> dict[int, float]:
    """Add up how far each bot is from the others, in deviations; what is unknown counts as the worst known."""
    totals = dict.fromkeys((one.book_id for one in candidates), 0.0)
    for figure, weight in WEIGHTS.items():
        values = {one.book_id: getattr(one.figures, figure) for one in candidates}
        known = np.array([value for value in values.values() if value is not None], dtype=np.float64)
        spread = float(np.std(known)) if len(known) else 0.0
        if spread == 0.0:
            continue
        middle, worst = float(np.mean(known)), float(np.min(known))
        for book_id, value in values.items():
            totals[book_id] += weight * ((worst if value is None else value) - middle) / spread
    return totals


def _shared_out(fit_for: Sequence[Candidate], scores: Mapping[int, float], room: int) -> dict[int, int]:
    """Share hundredths of a percent out; what the cap takes from one goes to the others."""
    swings = [one.figures.volatility for one in fit_for]
    is_known = all(swing is not None and swing > 0 for swing in swings)
    pulls = {
        one.book_id: (1 / swing if is_known and swing else 1.0) * (1 + TILT * math.tanh(scores[one.book_id]))
        for one, swing in zip(fit_for, swings, strict=True)
    }
    shares: dict[int, int] = {}
    while pulls and room > 0:
        whole = sum(pulls.values())
        above = [book_id for book_id, pull in pulls.items() if pull / whole * room > CAP_PERCENT * _HUNDREDTHS]
        if not above:
            return shares | {book_id: int(pull / whole * room) for book_id, pull in pulls.items()}
        for book_id in above:
            shares[book_id] = min(CAP_PERCENT * _HUNDREDTHS, room)
            room -= shares[book_id]
            del pulls[book_id]
    return shares


def _doubts(candidates: Sequence[Candidate], is_same_market: bool, is_whole: bool) -> list[Doubt]:
    doubts = []
    if not is_whole:
        doubts.append(Doubt(code="TRIAL_INCOMPLETE", message="Not every bot had all its turns, running to their ends."))
    thin = [one.name for one in candidates if one.figures.observations < OBSERVATIONS_MIN]
    if thin:
        doubts.append(
            Doubt(
                code="TRIAL_OBSERVATIONS_FEW",
                message=f"{_names(thin)}: fewer than {OBSERVATIONS_MIN} hours or days to compare, so there is no Sharpe ratio.",
            )
        )
    few = [f"{one.name} ({one.figures.trades})" for one in candidates if one.figures.trades < TRADES_MIN]
    if few:
        doubts.append(Doubt(code="TRIAL_TRADES_FEW", message=f"Fewer than {TRADES_MIN} closed trades: {_names(few)}."))
    doubts += _doubts_of_best(candidates)
    unclear = [one.name for one in candidates if _is_unclear(one.figures)]
    if unclear:
        message = f"The interval of the win rate holds the break-even rate: {_names(unclear)}."
        doubts.append(Doubt(code="TRIAL_WIN_RATE_UNCLEAR", message=message, is_grave=False))
    short = [one.name for one in candidates if one.figures.legs < LEGS_MIN]
    if short:
        message = f"Fewer than {LEGS_MIN} turns say little of consistency and of markets of one kind: {_names(short)}."
        doubts.append(Doubt(code="TRIAL_TURNS_FEW", message=message, is_grave=False))
    if not is_same_market:
        message = "The bots traded at different hours, so part of the difference is the market's and not theirs."
        doubts.append(Doubt(code="TRIAL_DIFFERENT_HOURS", message=message, is_grave=False))
    return doubts


def _doubts_of_best(candidates: Sequence[Candidate]) -> list[Doubt]:
    """Ask whether the best stands out from the others, and from luck."""
    ranked = sorted((one for one in candidates if one.figures.sharpe is not None), key=lambda one: -(one.figures.sharpe or 0.0))
    if not ranked:
        return []
    figures, doubts = ranked[0].figures, []
    best, low, high = figures.sharpe or 0.0, figures.sharpe_low or 0.0, figures.sharpe_high or 0.0
    periods = next(count for _, name, count in GRIDS if name == figures.sharpe_step)
    luck, deviation = lucky_sharpe(len(candidates), figures.observations, periods), (high - low) / (2 * Z_95)
    if best <= luck + _ONE_IN_TWENTY * deviation:
        message = (
            f"The best Sharpe ratio is {best:.2f}; by luck alone the best of {len(candidates)} shows {luck:.2f}, "
            f"give or take {deviation:.2f}."
        )
        doubts.append(Doubt(code="TRIAL_BEST_BY_LUCK", message=message))
    if len(ranked) > 1 and low <= (ranked[1].figures.sharpe or 0.0):
        message = f"{ranked[0].name} and {ranked[1].name} cannot be told apart: the interval of the one holds the other."
        doubts.append(Doubt(code="TRIAL_NOT_SEPARATED", message=message))
    return doubts


def _is_unclear(figures: TrialFigures) -> bool:
    rate, low, high = figures.break_even_win_rate, figures.win_rate_low, figures.win_rate_high
    return rate is not None and low is not None and high is not None and low <= rate <= high


def _names(names: Sequence[str]) -> str:
    return ", ".join(names)
