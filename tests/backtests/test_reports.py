"""Reports of backtests: measured when they run, held against the fills, and written as one file."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from django.core.management import CommandError, call_command

from backtests import curves, jobs, services
from backtests.models import BacktestReport, BacktestRun, Sweep
from backtests.reports import document, layout, words
from backtests.reports.view import assumptions, report_view
from backtests.selectors import reports
from marketdata.models import Instrument
from tests.backtests.documents import carried
from tests.backtests.test_backtest_command import NOW, RUN, call, folder, instrument, make_spec
from tests.backtests.test_sweeps import make_spec as make_sweep
from tests.trading.markets import random_walk
from trading.bars import Floats
from trading.drawdowns import underwater

__all__ = ["folder", "instrument"]


@pytest.fixture
def run(folder: Path, instrument: Instrument) -> BacktestRun:
    """Return a run that is done, with its report."""
    asked = services.record_backtest(spec=make_spec(folder, params={"cost_gate": 0}), by=None, now=NOW)
    assert jobs.run_backtest(run_id=asked.pk, clock=lambda: NOW)
    return BacktestRun.objects.get(pk=asked.pk)


def content_of(run: BacktestRun) -> dict[str, Any]:
    content: dict[str, Any] = BacktestReport.objects.get(run=run).content
    return content


def test_the_figures_of_a_report_are_those_of_its_fills(run: BacktestRun) -> None:
    content, fills = content_of(run), list(run.fills.all())

    traded = sum((fill.quantity * fill.price for fill in fills), Decimal(0))
    assert Decimal(content["costs"]["traded"]) == traded
    assert Decimal(content["costs"]["fees"]) == Decimal(run.metrics["fees"])
    assert content["trades"]["trades"] == run.metrics["trades"] == len(content["trades"]["drawn"]) > 10
    assert sum(content["trades"]["distribution"]["counts"]) == run.metrics["trades"]
    assert content["returns"]["total"] == pytest.approx(run.metrics["total_return"], rel=1e-9)
    assert content["returns"]["sharpe"] == run.metrics["sharpe"]
    assert content["falls"]["deepest"] <= run.metrics["max_drawdown"] + 1e-12
    assert content["exposure"]["time"] == run.metrics["exposure"]
    months = [one for year in content["months"] for one in year["months"] if one is not None]
    assert np.prod([1 + one for one in months]) - 1 == pytest.approx(run.metrics["total_return"], rel=1e-9)
    total = sum((Decimal(row["profit"]) for row in content["trades"]["drawn"]), Decimal(0))
    assert total / run.metrics["trades"] == Decimal(content["trades"]["expectancy"])


def test_trades_are_told_in_r_and_orders_by_how_many_were_filled(run: BacktestRun) -> None:
    content, fills = content_of(run), list(run.fills.all())
    trades, orders = content["trades"], content["orders"]

    # Each of its entries comes with a stop, and the journal of the run keeps it.
    assert {fill.stop_price is not None for fill in fills if fill.kind == "ENTRY"} == {True}
    assert {fill.stop_price for fill in fills if fill.kind != "ENTRY"} == {None}
    multiples = [row["multiple"] for row in trades["drawn"]]
    assert (trades["r_trades"], trades["r_less"]) == (trades["trades"], 0)
    assert trades["r_expectancy"] == pytest.approx(np.mean(multiples), abs=1e-4)
    assert trades["sqn"] == pytest.approx(np.sqrt(len(multiples)) * np.mean(multiples) / np.std(multiples, ddof=1), rel=1e-3)
    assert orders["orders"] == sum(kind["orders"] for kind in orders["kinds"]) > len(multiples)
    assert orders["filled"] <= len({(fill.filled_at, fill.side) for fill in fills})
    assert run.metrics["orders"] == orders
    labels = {row.label: row for section in layout.sections(content, luck=None) for row in section["rows"]}
    assert f"{len(multiples)} trades with a stop" in labels["Mean of a trade in R"].note
    assert "break-even 0" in labels["System quality (SQN)"].note
    assert labels["Orders filled"].note.endswith("by quantity " + words.share(orders["by_quantity"]))


def test_without_a_stop_there_is_no_r(folder: Path, instrument: Instrument) -> None:
    asked = services.record_backtest(spec=make_spec(folder, strategy="grid"), by=None, now=NOW)
    jobs.run_backtest(run_id=asked.pk, clock=lambda: NOW)
    content = content_of(asked)
    labels = {row.label: row for section in layout.sections(content, luck=None) for row in section["rows"]}

    assert content["trades"]["trades"] == content["trades"]["r_less"] > 5
    assert (labels["Mean of a trade in R"].text, labels["System quality (SQN)"].text) == (words.NONE, words.NONE)
    assert "no stop, no R" in labels["Mean of a trade in R"].note
    assert content["orders"]["by_count"] is not None


def test_a_report_of_before_it_was_measured_says_so(run: BacktestRun) -> None:
    kept = BacktestReport.objects.get(run=run)
    kept.content["trades"] = {name: value for name, value in kept.content["trades"].items() if name != "sqn" and name[:2] != "r_"}
    del kept.content["orders"]
    for name in ("drawn", "best_of", "worst_of"):
        kept.content["trades"][name] = [
            {field: value for field, value in row.items() if field != "multiple"} for row in kept.content["trades"][name]
        ]

    written = document.backtest_document(run, kept, now=NOW)

    assert written.count("not measured when this ran: run it again") == 2


def test_candles_whose_order_was_a_guess_are_told_with_their_share(run: BacktestRun) -> None:
    run.metrics["ambiguous_bars"] = 7
    kept = BacktestReport.objects.get(run=run)

    told = dict(assumptions(report_view(run, kept)))["Ambiguous candles"]

    assert told == f"7 ({7 / kept.content['base_candles']:.2%}), in which both ends met an order"


def test_a_trade_never_went_less_far_than_it_ended(run: BacktestRun) -> None:
    for row in content_of(run)["trades"]["drawn"]:
        # Fees and spread are no way of the price.
        assert row["adverse"] - 0.003 <= row["part"] <= row["favourable"] + 0.0001
        assert row["adverse"] <= 0 <= row["favourable"]


def test_holding_is_bought_at_the_first_open_that_could_trade(run: BacktestRun, folder: Path) -> None:
    content = content_of(run)
    candles = random_walk(seed=21, bars=2880)
    first = int(np.searchsorted(candles.times, content["from"])) + 1
    bought = (1 - 0.001) / 1.00005 / candles.values[0, first]

    assert content["held"]["total"] == pytest.approx(bought * candles.values[3, -1] - 1, rel=1e-9)
    assert content["candles"]["ETH/USDT"]["close"][-1] == candles.values[3, -1]


def test_nothing_in_a_report_is_no_number(run: BacktestRun) -> None:
    json.dumps(content_of(run), allow_nan=False)


def test_a_run_again_gives_the_same_report(run: BacktestRun, folder: Path) -> None:
    again = services.record_backtest(spec=make_spec(folder, params={"cost_gate": 0}), by=None, now=NOW)
    jobs.run_backtest(run_id=again.pk, clock=lambda: NOW)

    first, second = BacktestReport.objects.order_by("id")
    assert (first.content, first.data_hash) == (second.content, second.data_hash)


def test_several_markets_have_a_report_too(folder: Path, instrument: Instrument) -> None:
    report = call(*RUN, "--data", str(folder), "--param", "cost_gate=0")
    assert BacktestReport.objects.get(run_id=report["run"]).content["held"]["symbols"] == ["ETH/USDT"]


def test_a_strategy_that_never_trades_says_so(folder: Path, instrument: Instrument) -> None:
    asked = services.record_backtest(spec=make_spec(folder, allocation=Decimal(1)), by=None, now=NOW)
    jobs.run_backtest(run_id=asked.pk, clock=lambda: NOW)
    content = content_of(asked)

    assert content["trades"]["trades"] == 0
    assert content["falls"]["listed"] == []
    assert {row.text for row in layout.tiles(content) if row.label == "Win rate"} == {words.NONE}
    written = document.backtest_document(asked, BacktestReport.objects.get(run=asked), now=NOW)
    assert "No trade was closed" in written
    assert "never fell below its peak" in written


def test_tries_are_counted_and_their_luck_is_taken_off(run: BacktestRun, folder: Path) -> None:
    kept = BacktestReport.objects.get(run=run)
    assert (reports.tried(run).backtests, reports.tried(run).sweep_trials) == (1, 0)
    sweep = services.record_sweep(spec=make_sweep(folder), by=None, now=NOW)
    while jobs.run_sweep_chunk(sweep_id=sweep.pk, clock=lambda: NOW):
        pass

    # A sweep of another strategy is none of its tries.
    assert reports.tried(run).trials == 1
    Sweep.objects.update(strategy=run.strategy)
    assert reports.tried(run).sweep_trials == 220
    # Ten days have no ratio, so nothing can be deflated.
    assert report_view(run, kept)["luck"] is None
    kept.content["returns"] |= {"sharpe_daily": 0.1, "sharpe_error": 0.05}
    counted = reports.Tried(1, 220, 0.05**2)
    from backtests.reports.view import luck

    found = luck(kept.content, counted)
    assert found is not None
    assert 0.01 < found["deflated"] < 0.3


def test_the_file_is_whole_and_asks_nobody(run: BacktestRun, tmp_path: Path) -> None:
    target = tmp_path / "report.html"
    call_command("backtest", "report", str(run.pk), "--to", str(target), stdout=StringIO())

    text = target.read_text(encoding="utf-8")
    assert "drawReport" in text
    assert len(carried(text, "report-data")["trades"]["opened"]) == run.metrics["trades"]
    assert run.fingerprint[:12] in text


def test_a_run_without_a_report_says_why(run: BacktestRun, tmp_path: Path) -> None:
    BacktestReport.objects.all().delete()
    with pytest.raises(CommandError, match="run it again"):
        call_command("backtest", "report", str(run.pk), "--to", str(tmp_path / "x.html"))
    with pytest.raises(CommandError, match="There is no backtest 4711"):
        call_command("backtest", "report", "4711")


def test_a_curve_keeps_its_deepest_fall_and_its_end() -> None:
    worths: Floats = np.cumprod(1 + np.random.default_rng(3).normal(0, 0.001, 250_000), dtype=np.float64)
    times = np.arange(len(worths), dtype=np.int64) * 60_000

    drawn = curves.curve(times, worths * 1e6)

    assert len(drawn["times"]) <= curves.POINTS_MAX
    assert min(drawn["drawdown"]) == round(float(underwater(worths).min()), 6)
    assert (drawn["times"][-1], drawn["equity"][-1]) == (times[-1], round(float(worths[-1] * 1e6), 2))
    assert len(curves.averaged(worths)) == len(curves.picked(worths)) == len(drawn["times"])


def test_candles_are_put_together_to_what_a_plot_can_show() -> None:
    candles = random_walk(seed=4, bars=100_000)

    drawn = curves.thinned(candles, interval_ms=300_000)

    assert curves.BARS_MAX / 2 < len(drawn["times"]) <= curves.BARS_MAX + 1
    assert drawn["interval_ms"] % 300_000 == 0
    assert (max(drawn["high"]), min(drawn["low"])) == (candles.values[1].max(), candles.values[2].min())
    assert curves.evenly(10_000, 5) == [0, 2500, 5000, 7499, 9999]
    assert curves.evenly(3, 5) == [0, 1, 2]


def test_words_have_a_true_minus_and_a_dash_for_the_unknown() -> None:
    assert (words.change(-0.0123, 2), words.share(None), words.gain("1234.5")) == (
        "\N{MINUS SIGN}1.23 %",
        "\N{EN DASH}",
        "+1,234.50",
    )
    assert (words.span(93_600_000), words.span(0), words.span(59_000)) == ("1 d 2 h", "0 s", "59 s")
    assert words.interval(None, 1.0, words.figure) == ""
    assert words.minute(int(datetime(2024, 3, 1, 12, 5, tzinfo=UTC).timestamp() * 1000)) == "2024-03-01 12:05"
