"""Run turns of a simulated trial: the backtest engine over stored candles, the same step and matching as everywhere."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import numpy as np
import structlog
from django.db import transaction

from backtests import runs
from backtests.candle_files import NoCandles
from backtests.selectors.markets import load_candles
from backtests.spec import BacktestSpec, milliseconds
from marketdata.models import Instrument as StoredInstrument
from marketdata.selectors import filters_of
from trading.bars import Candles, Times, interval_milliseconds
from trading.compilation import sources_hash
from trading.instruments import Instrument
from trading.strategy import CLOSE
from trading.trials import regime_of
from trials import writers
from trials.models import Trial, TrialLeg
from trials.outcomes import TurnOutcome
from trials.selectors.measuring import closes_between
from trials.selectors.rows import trial as find_trial
from trials.selectors.stretches import warm_up
from trials.writers import Asked

log = structlog.get_logger(__name__)


def run_turns(*, trial_id: int, clock: Callable[[], datetime]) -> bool:
    """Run the next turns of one bot and store what came of them; false when there is nothing left to do."""
    with transaction.atomic():
        legs = writers.claim_turns(trial_id=trial_id, now=clock())
    if not legs:
        return False
    try:
        outcomes = _run(legs)
    except ValueError as error:
        trial = find_trial(trial_id)
        with transaction.atomic():
            writers.put_back_turns(trial)
            asked = Asked(by=trial.requested_by, now=clock())
            writers.change_state(trial, Trial.State.FAILED, asked, action="trial.failed", error=f"{legs[0].name}: {error}")
        log.warning("trial.failed", trial=trial_id, error=str(error))
        return False
    with transaction.atomic():
        is_kept = writers.finish_turns(legs=legs, outcomes=outcomes, now=clock())
    log.info("trial.turns", trial=trial_id, bot=legs[0].name, turns=len(legs), is_kept=is_kept)
    return is_kept


def _run(legs: Sequence[TrialLeg]) -> list[TurnOutcome]:
    trial, setup = legs[0].trial, legs[0].setup
    if max(leg.attempts for leg in legs) > writers.ATTEMPTS_MAX:
        raise ValueError(f"Its turns lost their worker {writers.ATTEMPTS_MAX} times")
    if trial.source_hash != sources_hash():
        raise ValueError("The code changed since the trial was asked for; ask for it again")
    stored = StoredInstrument.objects.in_bulk(setup["instruments"])
    instruments = [filters_of(stored[number]) for number in setup["instruments"]]
    warmup = warm_up(setup["strategy"], setup["params"], setup["interval"])
    begins, ends = [_moment(leg.begin_at) for leg in legs], [_moment(leg.end_at) for leg in legs]
    candles = [
        load_candles(
            folder=trial.folder,
            symbol=instrument.symbol,
            interval=setup["interval"],
            begin_at=min(begins) - warmup,
            end_at=max(ends),
        )
        for instrument in instruments
    ]
    return [_turn(_spec(leg, instruments), candles, instruments, warmup) for leg in legs]


def _turn(spec: BacktestSpec, candles: Sequence[Candles], instruments: Sequence[Instrument], warmup: timedelta) -> TurnOutcome:
    begin, end = _milliseconds(spec.trade_from_at), _milliseconds(spec.end_at)
    first = begin - int(warmup.total_seconds() * 1000)
    if any(not _reaches(part.times, first, begin, end) for part in candles):
        raise NoCandles(
            f"No candles of {', '.join(spec.symbols)} around {spec.trade_from_at:%Y-%m-%d %H:%M} with enough before it: "
            "fetch more on the page History, or choose another stretch"
        )
    cut = [_between(part, first, end) for part in candles]
    outcome = runs.run(replace(spec, anchor_at=None), candles=cut, instruments=instruments)
    result = outcome.result
    length = interval_milliseconds(spec.interval)
    # A bar's figures are those of its close; the last one is told by what is left in the end.
    times, equity = result.times + length, result.equity.copy()
    equity[-1] = float(result.final_equity)
    position = np.nan_to_num(result.position)
    return TurnOutcome(
        starting_equity=result.allocation,
        times=times,
        equity=equity,
        trips=outcome.trips,
        pnl=result.final_equity - result.allocation,
        fees=runs.fees_in_quote(result),
        exposure=float(np.mean(position[:-1] > 0)) if len(position) > 1 else 0.0,
        orders=result.tallies,
        prices=runs.last_prices(result, instruments),
        regime=regime_of(closes_between(candles[0].times, candles[0].values[CLOSE], begin, end)),
    )


def _spec(leg: TrialLeg, instruments: Sequence[Instrument]) -> BacktestSpec:
    trial, setup, begin_at = leg.trial, leg.setup, _moment(leg.begin_at)
    assert trial.allocation is not None
    return BacktestSpec(
        strategy=setup["strategy"],
        params=setup["params"],
        symbol=instruments[0].symbol,
        others=tuple(instrument.symbol for instrument in instruments[1:]),
        interval=setup["interval"],
        base_interval=setup["interval"],
        folder=trial.folder,
        begin_at=begin_at,
        end_at=_moment(leg.end_at),
        anchor_at=None,
        trade_from_at=begin_at,
        allocation=trial.allocation,
        taker_fee=trial.taker_fee,
        maker_fee=trial.maker_fee,
        half_spread=trial.half_spread,
        slippage=trial.slippage,
    )


def _reaches(times: Times, first: int, begin: int, end: int) -> bool:
    """Say whether there are candles before the begin of a turn, to warm up, and in it."""
    cut = times[(times >= first) & (times < end)]
    return len(cut) > 0 and int(cut[0]) < begin <= int(cut[-1])


def _between(candles: Candles, begin: int, end: int) -> Candles:
    first, last = np.searchsorted(candles.times, [begin, end])
    # Kernels are compiled for arrays of one kind: whole, not views of longer ones.
    return Candles(candles.interval_ms, candles.times[first:last].copy(), np.ascontiguousarray(candles.values[:, first:last]))


def _moment(at: datetime | None) -> datetime:
    assert at is not None
    return at


def _milliseconds(at: datetime | None) -> int:
    found = milliseconds(at)
    assert found is not None
    return found
