"""Simulated trials: every bot over the same stretches, by the engine of backtests, cancelled, resumed, compared, applied."""

from __future__ import annotations

import json
from datetime import time, timedelta
from decimal import Decimal
from io import StringIO
from typing import Any

import numpy as np
import pytest
from django.core.management import call_command

from backtests import runs
from backtests.selectors.markets import load_candles
from bots.models import Bot
from marketdata.selectors import filters_of
from tests.bots.conftest import FIVE_MINUTES, MARKET_START, NOW, Desk, clock, desk
from trading.metrics import max_drawdown
from trading.trade_figures import risk_figures
from trading.trials import measure_legs
from trials import jobs, selectors, services
from trials.jobs.simulated import _spec
from trials.models import Trial, TrialLeg
from trials.outcomes import leg_of
from trials.spec import SimulatedTrial, UnableToTry

__all__ = ["desk"]
D = Decimal
BARS = 12 * 24 * 4
FROM = MARKET_START - timedelta(days=3)


def swinging(bars: int) -> np.ndarray[Any, Any]:
    """Draw a market that swings enough to be traded."""
    noise = np.random.default_rng(11).standard_normal(bars)
    return np.round(100.0 * np.exp(np.cumsum(0.002 * noise) * 0.3 + 0.03 * np.sin(np.arange(bars) / 40.0)), 2)


@pytest.fixture
def pair(desk: Desk) -> Desk:
    """Have two bots and four days of candles."""
    desk.bot("FIRST")
    desk.bot("SECOND", "triple_ema", symbol="ETH/USDT")
    desk.history(swinging, bars=BARS)
    return desk


def ask(desk: Desk, **changes: Any) -> Trial:
    asked: dict[str, Any] = {"bots": ("FIRST", "SECOND"), "hours": 6, "begin_at": FROM, "end_at": MARKET_START}
    spec = SimulatedTrial(**(asked | changes))
    return services.request_trial(account_id=desk.account.pk, spec=spec, by=None, now=NOW)


def finish(trial: Trial) -> Trial:
    while jobs.run_turns(trial_id=trial.pk, clock=clock):
        pass
    return selectors.trial(trial.pk)


def test_every_bot_trades_every_stretch_and_its_figures_are_the_backtests(pair: Desk) -> None:
    trial = ask(pair)
    assert (trial.state, trial.rounds, trial.legs.count()) == (Trial.State.QUEUED, 12, 24)
    assert finish(trial).state == Trial.State.DONE
    legs = list(trial.legs.select_related("trial").order_by("number"))
    assert [leg.name for leg in legs[:4]] == ["First", "Second", "First", "Second"]
    assert (legs[0].begin_at, legs[0].end_at) == (FROM, FROM + timedelta(hours=6))
    assert legs[0].begin_at == legs[1].begin_at

    assert trial.allocation is not None
    traded = next(leg for leg in legs if leg.name == "Second" and leg.outcome["trips"])
    instruments = [filters_of(instrument) for instrument in pair.market.instruments.filter(symbol="ETH/USDT")]
    spec = _spec(traded, instruments)
    candles = load_candles(
        folder="", symbol="ETH/USDT", interval="5m", begin_at=FROM - timedelta(days=1) + FIVE_MINUTES * 12, end_at=spec.end_at
    )
    again = runs.run(spec, candles=[candles], instruments=instruments)
    assert traded.pnl == again.result.final_equity - trial.allocation
    assert [(trip.profit, trip.risk) for trip in leg_of(traded).trips] == [(trip.profit, trip.risk) for trip in again.trips]
    assert list(leg_of(traded).orders or ()) == list(again.result.tallies)
    figures = measure_legs([leg_of(traded)])
    assert figures.in_r is not None
    assert (figures.in_r.r_expectancy, figures.in_r.r_less) == (again.metrics["r_expectancy"], again.metrics["r_less"])
    assert figures.orders is not None
    assert (figures.orders.orders, figures.orders.by_quantity) == (
        again.metrics["orders"]["orders"],
        again.metrics["orders"]["by_quantity"],
    )
    levels = np.append(float(trial.allocation), np.append(again.result.equity[:-1], float(again.result.final_equity)))
    assert traded.outcome["deepest"] == pytest.approx(max_drawdown(levels), abs=1e-9)
    assert len(traded.outcome["times"]) == 6


def test_a_cancelled_trial_keeps_what_it_found_and_goes_on_from_there(pair: Desk) -> None:
    trial = ask(pair)
    assert jobs.run_turns(trial_id=trial.pk, clock=clock)
    done = trial.legs.filter(state=TrialLeg.State.DONE).count()
    services.cancel_trial(trial_id=trial.pk, by=None, now=NOW)
    assert not jobs.run_turns(trial_id=trial.pk, clock=clock)
    with pytest.raises(UnableToTry, match="already"):
        services.cancel_trial(trial_id=trial.pk, by=None, now=NOW)
    kept = list(trial.legs.filter(state=TrialLeg.State.DONE).values_list("id", "pnl", "claimed_at"))
    assert len(kept) == done == 12

    services.resume_trial(trial_id=trial.pk, by=None, now=NOW)
    assert finish(trial).state == Trial.State.DONE
    ids = [row[0] for row in kept]
    assert list(trial.legs.filter(id__in=ids).values_list("id", "pnl", "claimed_at")) == kept


def test_turns_whose_worker_died_are_taken_again_and_given_up_in_the_end(pair: Desk) -> None:
    trial = ask(pair)
    late = NOW
    for _ in range(3):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("trials.jobs.simulated._run", _die)
            with pytest.raises(MemoryError):
                jobs.run_turns(trial_id=trial.pk, clock=lambda: late)  # noqa: B023
        assert trial.pk not in selectors.simulated_waiting(now=late)
        late += timedelta(minutes=4)
        assert trial.pk in selectors.simulated_waiting(now=late)
    assert not jobs.run_turns(trial_id=trial.pk, clock=lambda: late)
    found = selectors.trial(trial.pk)
    assert (found.state, "lost their worker" in found.error) == (Trial.State.FAILED, True)


def test_without_candles_a_trial_fails_and_says_which(pair: Desk) -> None:
    trial = ask(pair, begin_at=FROM - timedelta(days=30), end_at=FROM - timedelta(days=29))
    assert finish(trial).state == Trial.State.FAILED
    assert "No 5m candles" in selectors.trial(trial.pk).error

    # Some of the stretch is there, its begin is not.
    trial = ask(pair, begin_at=FROM - timedelta(days=2))
    assert finish(trial).state == Trial.State.FAILED
    assert "fetch more on the page History" in selectors.trial(trial.pk).error


def test_the_earliest_begin_is_a_midnight_from_which_every_turn_can_be_simulated(pair: Desk) -> None:
    begin = selectors.earliest_begin(list(Bot.objects.all()))
    assert begin is not None
    assert begin.time() == time(0)
    assert finish(ask(pair, begin_at=begin, end_at=begin + timedelta(days=1))).state == Trial.State.DONE
    assert finish(ask(pair, begin_at=begin - timedelta(days=1), end_at=begin + timedelta(days=1))).state == Trial.State.FAILED
    Bot.objects.filter(key="SECOND").update(interval="1d")
    assert selectors.earliest_begin(list(Bot.objects.all())) is None, "a bot whose candles nobody stored"


def test_progress_has_a_rate_and_a_rest(pair: Desk) -> None:
    trial = ask(pair)
    assert selectors.progress(trial, now=NOW).turns_per_second is None
    jobs.run_turns(trial_id=trial.pk, clock=clock)
    found = selectors.progress(selectors.trial(trial.pk), now=NOW + timedelta(seconds=4))
    assert (found.turns_done, found.share, found.turns_per_second, found.seconds_left) == (12, 0.5, 3.0, 4.0)


def test_the_comparison_is_one_table_with_the_same_hours_for_all(pair: Desk) -> None:
    trial = finish(ask(pair))
    compared = selectors.compare(trial)
    assert {row.figures.hours for row in compared.rows} == {72.0}
    assert compared.room == D(100)
    assert "TRIAL_DIFFERENT_HOURS" not in {doubt.code for doubt in compared.doubts}
    assert sum(row.verdict.percent for row in compared.rows) <= compared.room
    assert all(row.figures.pnl == sum(leg.pnl for leg in trial.legs.filter(book=row.book_id)) for row in compared.rows)
    trips = [trip for leg in trial.legs.all() if leg.name == "Second" for trip in leg_of(leg).trips]
    second = next(row.figures for row in compared.rows if row.name == "Second")
    assert second.in_r == risk_figures(trips)
    assert second.in_r.r_trades > 0
    assert all(row.curve[-1][1] == pytest.approx(1 + row.figures.total_return) for row in compared.rows)


def test_the_command_simulates_and_prints_the_table(pair: Desk) -> None:
    out = StringIO()
    words = ["--bots", "FIRST", "SECOND", "--hours", "12", "--from", f"{FROM:%Y-%m-%d}", "--to", "2024-03-01", "--json"]
    call_command("trial", "run", *words, stdout=out, stderr=StringIO())
    said = json.loads(out.getvalue())
    assert [row["turns_done"] for row in said["items"]] == [6, 6]
    assert not said["is_supported"]
    table = StringIO()
    call_command("trial", "compare", stdout=table)
    assert "The sample supports no choice" in table.getvalue()
    preview = StringIO()
    call_command("trial", "apply", "--preview", stdout=preview)
    assert "Nothing was changed." in preview.getvalue()


def _die(*_arguments: Any) -> None:
    raise MemoryError
