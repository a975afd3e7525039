"""Comparisons of plans: every plan once, through crashes and cancels, and what is stored says what was simulated."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from backtests import account_runs, comparison_spec, jobs, services
from backtests.account_spec import read_plan
from backtests.comparison_spec import BadComparison, ComparisonSpec, PlanAsked
from backtests.models import ComparedPlan, PlanComparison
from backtests.reports.comparison import page_of
from backtests.selectors import comparisons
from backtests.writers import comparisons as writers
from marketdata.models import Instrument
from tests.backtests.test_account_command import folder, write
from tests.backtests.test_backtest_command import instrument
from trading.accounts.simulation import simulate
from trading.frictions import Frictions, Rest
from trading.metrics import max_drawdown

__all__ = ["folder", "instrument"]
NOW = datetime(2024, 6, 1, tzinfo=UTC)


def clock() -> datetime:
    return NOW


def content(folder: Path, **account: Any) -> dict[str, Any]:
    """Return the content of a plan of two bots."""
    found: dict[str, Any] = json.loads(write(folder / "plan.json", **account).read_text())
    return found


def make_spec(folder: Path, *plans: PlanAsked, **changes: Any) -> ComparisonSpec:
    values: dict[str, Any] = {
        "plans": plans
        or (PlanAsked(content=content(folder)), PlanAsked(content=content(folder), mode="single", bot="GridTrading")),
        "begin_at": datetime(2024, 1, 8, tzinfo=UTC),
        "end_at": datetime(2024, 1, 11, tzinfo=UTC),
        "capital": Decimal("9882.30"),
        "interval": "",
        "base_interval": "",
        "folder": str(folder),
        "fee": Decimal("0.001"),
        "half_spread": Decimal("0.00005"),
        "slippage": Decimal(0),
        "is_limited": True,
    }
    return ComparisonSpec(**{**values, **changes})


def test_frictions_are_part_of_the_question(folder: Path, instrument: Instrument) -> None:
    asked = make_spec(folder, frictions=Frictions(latency_ms=400, rest=Rest.WAIT), participation=Decimal("0.05"))
    found = services.record_comparison(spec=asked, by=None, now=NOW)
    first, _ = finish(found)

    assert comparisons.spec_of(found) == asked
    assert comparisons.spec_of(found).fingerprint == found.fingerprint != make_spec(folder).fingerprint
    assert first.report == json.loads(json.dumps(account_runs.report(simulate(account_runs.put_together(asked, 0)))))
    assert page_of(found, now=NOW)["conditions"].endswith(
        "5.0 % of a candle's volume · rest of a market order: wait · orders on their way for 400 ms"
    )
    with pytest.raises(ValueError, match="latency is from 0 to one candle"):
        make_spec(folder, frictions=Frictions(latency_ms=300_001)).checked()


@pytest.fixture
def comparison(folder: Path, instrument: Instrument) -> PlanComparison:
    """Return a comparison of two plans that nobody has begun."""
    return services.record_comparison(spec=make_spec(folder), by=None, now=NOW)


def finish(comparison: PlanComparison) -> list[ComparedPlan]:
    while jobs.run_comparison_plan(comparison_id=comparison.pk, clock=clock):
        pass
    comparison.refresh_from_db()
    return comparisons.plans(comparison)


def test_a_stored_plan_is_what_the_simulation_says(folder: Path, comparison: PlanComparison) -> None:
    first, second = finish(comparison)

    assert (comparison.state, first.state, second.state) == ("done", "done", "done")
    spec = comparisons.spec_of(comparison)
    assert spec == make_spec(folder)
    assert spec.fingerprint == comparison.fingerprint
    for number, plan in enumerate((first, second)):
        asked = account_runs.put_together(spec, number)
        result = simulate(asked)
        assert result.bots[0].fills
        assert plan.report == json.loads(json.dumps(account_runs.report(result)))
        assert plan.report["orders"]["orders"] >= plan.report["orders"]["filled"] > 0
        assert plan.report["r_trades"] + plan.report["r_less"] == plan.report["trades"]
        assert plan.data_hash == account_runs.data_fingerprint(asked)
        assert min(plan.curve["drawdown"]) == pytest.approx(max_drawdown(result.worths), abs=1e-6)
        assert plan.curve["equity"][-1] == pytest.approx(float(result.final_equity), abs=0.01)
    assert comparison.frictions == {}
    assert first.fingerprint != second.fingerprint
    assert first.data_hash == second.data_hash
    assert comparisons.plans_tried(comparison) == 2


def test_what_is_held_is_bought_once_at_the_first_open(folder: Path, comparison: PlanComparison) -> None:
    asked = account_runs.put_together(comparisons.spec_of(comparison), 0)
    result = simulate(asked)
    (candles,) = asked.bots[0].candles
    first = int(np.searchsorted(candles.times, result.times[0]))

    held = account_runs.benchmark(asked, result.times)

    bought = 9882.30 * 0.999 / 1.00005 / candles.values[0, first]
    assert held["symbols"] == ["ETH/USDT"]
    assert held["curve"]["equity"][-1] == pytest.approx(bought * candles.values[3, -1], rel=1e-4)
    assert held["total_return"] == pytest.approx(bought * candles.values[3, len(candles) - 1] / 9882.30 - 1, rel=1e-9)


def test_time_in_the_market_is_that_of_the_fills(comparison: PlanComparison) -> None:
    result = simulate(account_runs.put_together(comparisons.spec_of(comparison), 1))
    (grid,) = (bot for bot in result.bots if bot.fills)

    owned, expected = Decimal(0), np.zeros(len(result.times), dtype=bool)
    for fill, following in zip(grid.fills, [*(fill.time for fill in grid.fills[1:]), int(result.times[-1]) + 1], strict=True):
        owned += fill.quantity - fill.fee if fill.side == "buy" else -fill.quantity
        expected[(result.times > fill.time) & (result.times <= following)] = owned * grid.holdings[0].mark > 5

    # Fills inside a candle count from the next one on; the mark of the end stands for all.
    assert np.mean(result.is_in_market != expected) < 0.02
    assert 0 < result.invested.max() < 9882.30 * 1.2


def test_a_lost_worker_is_followed_by_another(comparison: PlanComparison) -> None:
    lost = writers.claim_plan(comparison_id=comparison.pk, now=NOW)
    assert lost is not None
    assert writers.note_progress(plan=lost, market_at=comparison.begin_at + timedelta(days=1), now=NOW)
    jobs.run_comparison_plan(comparison_id=comparison.pk, clock=clock)
    assert not jobs.run_comparison_plan(comparison_id=comparison.pk, clock=clock)
    advance = comparisons.progress(comparison, now=NOW)
    assert (advance.bars_done, advance.bars) == (round(2 * 864 * 4 / 3), 2 * 2 * 864)

    later = NOW + timedelta(minutes=10)
    assert comparisons.stalled_comparisons(now=later) == [comparison.pk]
    assert jobs.run_comparison_plan(comparison_id=comparison.pk, clock=lambda: later)

    comparison.refresh_from_db()
    assert comparison.state == "done"
    assert not writers.note_progress(plan=lost, market_at=comparison.end_at, now=later)
    assert {plan.attempts for plan in comparisons.plans(comparison)} == {1, 2}
    first, second = comparisons.plans(comparison)
    assert first.report != second.report


def test_a_cancel_stops_the_plan_under_way(comparison: PlanComparison) -> None:
    jobs.run_comparison_plan(comparison_id=comparison.pk, clock=clock)
    calls = iter(range(10**6))

    def impatient() -> datetime:
        # The first look at the clock claims the plan; a person cancels after a few more.
        if next(calls) == 3:
            services.cancel_comparison(comparison_id=comparison.pk, now=NOW)
        return NOW

    assert not jobs.run_comparison_plan(comparison_id=comparison.pk, clock=impatient)

    comparison.refresh_from_db()
    assert next(calls) < jobs.SLICES
    assert [plan.state for plan in comparisons.plans(comparison)] == ["done", "running"]
    assert comparison.state == "cancelled"
    assert comparisons.stalled_comparisons(now=NOW + timedelta(days=1)) == []
    with pytest.raises(services.ComparisonIsOver):
        services.cancel_comparison(comparison_id=comparison.pk, now=NOW)


def test_one_plan_that_cannot_be_does_not_stop_the_others(folder: Path, comparison: PlanComparison) -> None:
    ComparedPlan.objects.filter(comparison=comparison, number=0).update(bot="ghost", asked_mode="single")

    first, second = finish(comparison)

    assert (first.state, second.state, comparison.state) == ("failed", "done", "done")
    assert "There is no bot ghost" in first.error


def test_other_code_than_was_asked_for_is_not_run(comparison: PlanComparison) -> None:
    PlanComparison.objects.filter(pk=comparison.pk).update(source_hash="0" * 64)

    assert {plan.state for plan in finish(comparison)} == {"failed"}
    assert comparison.state == "failed"


def test_a_plan_that_loses_every_worker_ends(comparison: PlanComparison) -> None:
    now = NOW
    for _ in range(3):
        assert writers.claim_plan(comparison_id=comparison.pk, now=now) is not None
        assert writers.claim_plan(comparison_id=comparison.pk, now=now) is not None
        assert writers.claim_plan(comparison_id=comparison.pk, now=now) is None
        now += timedelta(minutes=10)
    while jobs.run_comparison_plan(comparison_id=comparison.pk, clock=lambda: now):
        pass

    comparison.refresh_from_db()
    assert comparison.state == "failed"
    assert {plan.error for plan in comparisons.plans(comparison)} == {"The plan lost its worker 3 times"}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"plans": ()}, "1 to 12 plans"),
        ({"end_at": datetime(2024, 1, 8, tzinfo=UTC)}, "must be after"),
        ({"base_interval": "7m"}, "Unknown interval"),
        ({"interval": "1m", "end_at": datetime(2060, 1, 1, tzinfo=UTC)}, "at most 20,000,000"),
    ],
)
def test_what_cannot_be_compared_is_refused(folder: Path, changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        replace(make_spec(folder), **changes).checked()


def test_too_many_bots_are_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comparison_spec, "BOTS_MAX", 1)
    with pytest.raises(BadComparison, match="Plan 1 has 2 bots"):
        make_spec(folder).checked()


def test_limits_of_a_plan_are_read(folder: Path) -> None:
    file = read_plan(write(folder / "limited.json", limits={"soft_loss_percent": "2", "opposite_positions": "refuse"}))
    assert (file.account.limits.soft_loss_percent, file.account.limits.opposite_positions) == (Decimal(2), "refuse")
    with pytest.raises(ValueError, match=r"limits\.soft_los_percent"):
        read_plan(write(folder / "wrong.json", limits={"soft_los_percent": "2"}))
