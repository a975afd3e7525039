"""The bots of a trial beside each other, and the shares that its rule proposes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Final

from portfolio.selectors.allocations import newest_version, policy_of, slices_at
from trading.allocations import HUNDRED
from trading.bars import Floats
from trading.trial_choice import Candidate, Doubt, Verdict, choose
from trading.trials import Leg, TrialFigures, chained, measure_legs
from trials.models import Trial, TrialLeg
from trials.outcomes import leg_of
from trials.selectors.measuring import market_regime

CURVE_POINTS: Final = 400


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Row:
    """One bot of a trial."""

    name: str
    bot_id: int | None
    book_id: int
    turns: int
    figures: TrialFigures
    verdict: Verdict
    percent_now: Decimal
    regime_now: str
    # Hours of the bot's own turns, and what one unit had become by then.
    curve: tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Comparison:
    """All bots, best score first, and what the sample cannot tell."""

    rows: tuple[Row, ...]
    doubts: tuple[Doubt, ...]
    is_supported: bool
    # Percent that the bots of the trial may share: what is neither reserved nor another bot's.
    room: Decimal
    # The version of the shares that this was worked out from.
    version: int

    @property
    def has_results(self) -> bool:
        """Say whether any turn is finished."""
        return any(row.figures.legs for row in self.rows)


def compare(found: Trial) -> Comparison:
    """Measure every bot of a trial on its finished turns, and propose shares."""
    turns: dict[int, list[TrialLeg]] = {}
    for row in found.legs.order_by("number"):
        turns.setdefault(row.book_id, []).append(row)
    slices = slices_at(found.account_id)
    newest = newest_version(found.account_id)
    reserve = policy_of(newest).reserve_percent
    others = sum((part.percent for book_id, part in slices.items() if book_id not in turns), Decimal(0))
    room = max(Decimal(0), HUNDRED - reserve - others)
    regimes = {book_id: _regime_now(found, rows[0]) for book_id, rows in turns.items()}
    legs = {book_id: [leg_of(row) for row in rows if row.state == TrialLeg.State.DONE] for book_id, rows in turns.items()}
    figures = {book_id: measure_legs(legs[book_id], regime=regimes[book_id]) for book_id in turns}
    candidates = [
        Candidate(
            book_id=book_id,
            name=turns[book_id][0].name,
            figures=figures[book_id],
            locked_percent=slices[book_id].percent if book_id in slices and slices[book_id].is_locked else None,
        )
        for book_id in turns
    ]
    # A turn with a note was not the bot's own to the end.
    is_whole = all(row.state == TrialLeg.State.DONE and not row.note for rows in turns.values() for row in rows)
    is_same = found.kind == Trial.Kind.SIMULATION
    choice = choose(candidates, room=room, is_same_market=is_same, is_whole=is_whole)
    rows = [
        Row(
            name=parts[0].name,
            bot_id=parts[0].bot_id,
            book_id=book_id,
            turns=len(parts),
            figures=figures[book_id],
            verdict=choice.verdicts[book_id],
            percent_now=slices[book_id].percent if book_id in slices else Decimal(0),
            regime_now=regimes[book_id],
            curve=_curve(legs[book_id]),
        )
        for book_id, parts in turns.items()
    ]
    return Comparison(
        rows=tuple(sorted(rows, key=lambda row: (-row.verdict.score, row.name))),
        doubts=choice.doubts,
        is_supported=choice.is_supported,
        room=room,
        version=newest.number if newest is not None else 0,
    )


def _regime_now(found: Trial, leg: TrialLeg) -> str:
    """Name what the bot's market has done lately, over as long as a turn lasts."""
    at = found.account.market.market_time_at
    return "" if at is None else market_regime(leg, at - timedelta(hours=found.hours), at)


def _curve(legs: list[Leg]) -> tuple[tuple[float, float], ...]:
    if not legs:
        return ()
    levels: Floats = chained(legs)
    hours = sum(leg.end - leg.begin for leg in legs) / 3_600_000
    stride = max(1, len(levels) // CURVE_POINTS)
    places = [*range(0, len(levels) - 1, stride), len(levels) - 1]
    return tuple((round(hours * place / max(1, len(levels) - 1), 2), float(levels[place])) for place in places)
