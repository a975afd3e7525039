"""Sweeps from the command line, the service and the queue: every trial once, through crashes and cancels."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from django.core.management import CommandError, call_command

from backtests import jobs, runs, selectors, services, sweep_runs, sweep_spec, writers
from backtests.models import Sweep, SweepChunk
from backtests.selectors import sweeps
from backtests.spec import BacktestSpec, moment
from backtests.sweep_spec import BadSweep, SweepSpec, parse_grid
from marketdata.history.files import import_file
from marketdata.models import Instrument
from tests.backtests.test_backtest_command import folder, instrument
from tests.marketdata.test_history_files import BEGIN, HOUR, drawn, write
from tests.trading.markets import FIRST_OPEN
from trading.frictions import FeeIn, FeeTier, Frictions, Rest
from trading.sweeps.figures import Terms

__all__ = ["folder", "instrument"]
NOW = datetime(2024, 6, 1, tzinfo=UTC)
TIERS = (FeeTier(Decimal(2_000), Decimal("0.0005"), Decimal("0.0003")),)


def clock() -> datetime:
    return NOW


def make_spec(folder: Path, **changes: Any) -> SweepSpec:
    begin_at = datetime.fromtimestamp(FIRST_OPEN / 1000, tz=UTC)
    values: dict[str, Any] = {
        "strategy": "sma_cross",
        "grid": parse_grid(["fast=2:40:2", "slow=10:60:5"]),
        "fixed": {},
        "sample": 0,
        "seed": 7,
        "symbol": "ETH/USDT",
        "interval": "5m",
        "folder": str(folder),
        "begin_at": begin_at,
        "end_at": begin_at + timedelta(days=10),
        "allocation": Decimal(1000),
        "fee": Decimal("0.001"),
        "half_spread": Decimal("0.00005"),
        "slippage": Decimal(0),
    }
    return SweepSpec(**{**values, **changes})


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweep_spec, "CHUNK_TRIALS", 50)


def request(folder: Path, **changes: Any) -> Sweep:
    return services.record_sweep(spec=make_spec(folder, **changes), by=None, now=NOW)


def finish(sweep: Sweep) -> pa.Table:
    while jobs.run_sweep_chunk(sweep_id=sweep.id, clock=clock):
        pass
    sweep.refresh_from_db()
    assert sweep.state == Sweep.State.DONE, sweep.error
    table = sweeps.results(sweep)
    assert table is not None
    return table


def same(one: pa.Table, other: pa.Table) -> bool:
    """Compare tables in which NaN equals NaN."""
    return repr(one.to_pydict()) == repr(other.to_pydict())


@pytest.mark.django_db
def test_every_combination_that_makes_sense_is_tried_once(folder: Path, small_chunks: None) -> None:
    sweep = request(folder)

    table = finish(sweep)

    tried = list(zip(table.column("fast").to_pylist(), table.column("slow").to_pylist(), strict=True))
    assert sorted(tried) == sorted((f, s) for f in range(2, 41, 2) for s in range(10, 61, 5) if f < s)
    assert sweep.chunks.count() == 5
    assert np.nanmax(table.column("trades").to_numpy()) > 10


@pytest.mark.django_db
def test_chunks_find_what_one_pass_finds(folder: Path, small_chunks: None) -> None:
    spec = make_spec(folder).checked()
    attempt = sweep_runs.attempt_of(spec, candles=sweeps.candles(spec), instrument=None)
    whole = sweep_runs.run_trials(spec, begin=0, end=spec.trials, attempt=attempt)

    assert same(finish(request(folder)), whole)


@pytest.mark.django_db
def test_a_strategy_is_swept_by_whole_backtests(folder: Path, instrument: Instrument) -> None:
    grid = parse_grid(["fast=5,8", "middle=13,21,34"])
    table = finish(request(folder, strategy="triple_ema", grid=grid, fixed={"cost_gate": 0}))

    # middle=13 lies too close to fast=13 only; 13/8 is 1.6 and fits.
    assert table.num_rows == 5 + (13 >= 1.6 * 8)
    assert np.isfinite(table.column("total_return").to_numpy()).all()


@pytest.mark.django_db
def test_a_swept_strategy_is_its_backtest_with_the_same_frictions(folder: Path, instrument: Instrument) -> None:
    frictions = Frictions(slippage_volatility=Decimal("0.3"), fee_tiers=TIERS, rest=Rest.WAIT, latency_ms=300_000)
    grid = parse_grid(["fast=5,8"])
    asked: dict[str, Any] = {"strategy": "triple_ema", "grid": grid, "fixed": {"cost_gate": 0}, "participation": Decimal("0.05")}
    sweep = request(folder, **asked, frictions=frictions)
    table = finish(sweep)

    assert sweeps.spec_of(sweep) == make_spec(folder, **asked, frictions=frictions).checked()
    for fast, found in zip(table.column("fast").to_pylist(), table.column("total_return").to_pylist(), strict=True):
        spec = BacktestSpec(
            strategy="triple_ema",
            params={"fast": fast, "cost_gate": 0},
            base_interval="5m",
            anchor_at=None,
            trade_from_at=None,
            taker_fee=sweep.fee,
            maker_fee=sweep.fee,
            frictions=frictions,
            participation=Decimal("0.05"),
            **{name: getattr(sweep, name) for name in ("symbol", "interval", "folder", "begin_at", "end_at", "allocation")},
            **{name: getattr(sweep, name) for name in ("half_spread", "slippage")},
        ).checked()
        outcome = runs.run(spec, candles=selectors.candles(spec), instruments=[selectors.known_instrument("ETH/USDT")])
        assert outcome.metrics["total_return"] == found
    without = finish(request(folder, **{**asked, "participation": Decimal("0.1")}))
    assert without.column("total_return").to_pylist() != table.column("total_return").to_pylist()


@pytest.mark.django_db
def test_a_sample_is_drawn_from_its_seed(folder: Path) -> None:
    grid = parse_grid(["period=5:60:1", "width=0.5:3:0.1", "stop=0,0.01,0.02"])
    one = finish(request(folder, strategy="bollinger_reversal", grid=grid, sample=40))
    again = finish(request(folder, strategy="bollinger_reversal", grid=grid, sample=40))
    other = finish(request(folder, strategy="bollinger_reversal", grid=grid, sample=40, seed=8))

    assert one.num_rows == 40
    assert same(one, again)
    assert not one.select(["period", "width", "stop"]).equals(other.select(["period", "width", "stop"]))


@pytest.mark.django_db
def test_a_lost_worker_is_followed_by_another(folder: Path, small_chunks: None) -> None:
    sweep = request(folder)
    jobs.run_sweep_chunk(sweep_id=sweep.id, clock=clock)
    lost = writers.claim_chunk(sweep_id=sweep.id, now=NOW)
    assert lost is not None

    while jobs.run_sweep_chunk(sweep_id=sweep.id, clock=clock):
        pass
    assert sweep.chunks.exclude(state=SweepChunk.State.DONE).get().id == lost.id
    later = NOW + timedelta(minutes=10)
    assert sweeps.stalled_sweeps(now=later) == [sweep.id]
    jobs.run_sweep_chunk(sweep_id=sweep.id, clock=lambda: later)

    sweep.refresh_from_db()
    assert sweep.state == Sweep.State.DONE
    assert not writers.finish_chunk(chunk=lost, results=b"", data_hash=sweep.data_hash, now=later)
    assert sweeps.stalled_sweeps(now=later) == []


@pytest.mark.django_db
def test_a_chunk_that_kills_its_workers_ends_the_sweep(folder: Path) -> None:
    sweep = request(folder)
    for hour in range(writers.ATTEMPTS_MAX):
        assert writers.claim_chunk(sweep_id=sweep.id, now=NOW + timedelta(hours=hour))

    jobs.run_sweep_chunk(sweep_id=sweep.id, clock=lambda: NOW + timedelta(hours=9))

    sweep.refresh_from_db()
    assert sweep.state == Sweep.State.FAILED
    assert "lost their worker" in sweep.error


@pytest.mark.django_db
def test_cancelling_keeps_what_was_found(folder: Path, small_chunks: None) -> None:
    sweep = request(folder)
    jobs.run_sweep_chunk(sweep_id=sweep.id, clock=clock)

    services.cancel_sweep(sweep_id=sweep.id, now=NOW)

    assert not jobs.run_sweep_chunk(sweep_id=sweep.id, clock=clock)
    sweep.refresh_from_db()
    assert sweep.state == Sweep.State.CANCELLED
    table = sweeps.results(sweep)
    assert table is not None
    assert 0 < table.num_rows <= 50
    with pytest.raises(services.UnableToSteer, match="cancelled already"):
        services.cancel_sweep(sweep_id=sweep.id, now=NOW)


@pytest.mark.django_db
def test_candles_that_change_midway_are_noticed(folder: Path, small_chunks: None) -> None:
    sweep = request(folder)
    jobs.run_sweep_chunk(sweep_id=sweep.id, clock=clock)
    path = next(folder.rglob("*.parquet"))
    columns = pq.read_table(path).to_pydict()
    columns["high"][100] += 1.0
    pq.write_table(pa.table(columns), path)

    jobs.run_sweep_chunk(sweep_id=sweep.id, clock=clock)

    sweep.refresh_from_db()
    assert (sweep.state, sweep.error[:20]) == (Sweep.State.FAILED, "The candles changed ")


@pytest.mark.django_db
def test_progress_tells_rate_and_time_left(folder: Path, small_chunks: None) -> None:
    sweep = request(folder)
    assert sweeps.progress(sweep, now=NOW).trials_per_second is None
    jobs.run_sweep_chunk(sweep_id=sweep.id, clock=clock)
    sweep.refresh_from_db()

    progress = sweeps.progress(sweep, now=NOW + timedelta(seconds=5))

    assert (progress.trials_done, progress.trials) == (50, 220)
    assert progress.trials_per_second == pytest.approx(10)
    assert progress.seconds_left == pytest.approx(17)


def test_a_heat_map_shows_medians_and_plateaus() -> None:
    grid = {"a": [1.0, 2.0, 3.0], "b": [1.0, 2.0], "c": [0.0, 1.0, 2.0]}
    rows = [(a, b, c) for a in grid["a"] for b in grid["b"] for c in grid["c"] if (a, b) != (3.0, 2.0)]
    columns = {name: [row[k] for row in rows] for k, name in enumerate(grid)}
    # One cell is lucky; the third value of c is always unknown.
    sharpe = [9.0 if (a, b) == (1.0, 1.0) else a + c for a, b, c in rows]
    sharpe = [value if c < 2 else np.nan for value, (_, _, c) in zip(sharpe, rows, strict=True)]
    table = pa.table({**columns, "sharpe": sharpe})

    found = sweeps.heat_map(table, grid=grid, x="a", y="b", figure="sharpe")

    assert found.cells == [[9.0, 2.5, 3.5], [1.5, 2.5, None]]
    assert found.plateau == [[2.5, 2.5, None], [2.5, 2.5, None]]
    with pytest.raises(sweeps.NoSuchAxis, match="Known: a, b, c"):
        sweeps.heat_map(table, grid=grid, x="a", y="z", figure="sharpe")


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (["fast=5:50:5"], {"fast": list(range(5, 51, 5))}),
        (["width=0.1:0.5:0.1"], {"width": [0.1, 0.2, 0.3, 0.4, 0.5]}),
        (["mode=a,b", "k=3"], {"mode": ["a", "b"], "k": [3]}),
    ],
)
def test_a_grid_is_read(texts: list[str], expected: dict[str, Any]) -> None:
    assert parse_grid(texts) == expected


@pytest.mark.parametrize(
    "text",
    ["fast", "fast=", "=1:2:1", "fast=50:5:5", "fast=1:9:0", "fast=1:9:-1", "fast=1:x:1", "a=1:2:3:4", "a=0:nan:1", "a=0:9:1e-9"],
)
def test_a_grid_that_cannot_be_read_is_refused(text: str) -> None:
    with pytest.raises(BadSweep):
        parse_grid([text])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"strategy": "sma_crossing"}, "Did you mean 'sma_cross'"),
        ({"grid": {}}, "needs a grid"),
        ({"grid": {"fast": [1], "slwo": [2]}}, "Did you mean 'slow'"),
        ({"grid": {"fast": [2.5], "slow": [9]}}, "whole number"),
        ({"grid": {"fast": [0], "slow": [9]}}, "from 1 to 5000"),
        ({"grid": {"fast": [5, 5], "slow": [9]}}, "twice"),
        ({"grid": {"fast": ["x"], "slow": [9]}}, "must be a number"),
        ({"grid": {"fast": [float("nan")], "slow": [9]}}, "from 1 to"),
        ({"grid": {"fast": [50], "slow": [9]}}, "contradicts itself"),
        ({"grid": {"fast": list(range(1, 1001)), "slow": list(range(2, 1002))}}, "too many"),
        ({"fixed": {"fast": 3}}, "fixed and in the grid"),
        ({"end_at": datetime(2020, 1, 1, tzinfo=UTC)}, "must be after"),
        ({"interval": "7m"}, "Unknown interval"),
        ({"participation": Decimal(0)}, "a share of the volume"),
        # What signals that are tried event by event cannot know is named, and never left out in silence.
        ({"frictions": Frictions(slippage_volatility=Decimal("0.1"))}, "slippage by volatility cannot be taken into account"),
        ({"frictions": Frictions(slippage_impact=Decimal(1), latency_ms=5)}, "slippage by size, latency cannot be"),
        ({"frictions": Frictions(fee_tiers=TIERS)}, "fee tiers cannot be .* Strategies can, .* triple_ema"),
        ({"frictions": Frictions(rest=Rest.WAIT, fee_in=FeeIn.QUOTE)}, "fees in quote, what thin candles leave"),
        ({"participation": Decimal("0.05")}, "a share of the volume cannot be"),
        ({"frictions": Frictions(latency_ms=300_001)}, "A latency is from 0 to one candle"),
    ],
)
def test_a_sweep_that_makes_no_sense_is_refused(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make_spec(tmp_path, **changes).checked()


@pytest.mark.django_db
def test_the_command_runs_shows_and_writes(folder: Path, tmp_path: Path) -> None:
    out, kept = StringIO(), tmp_path / "trials.parquet"
    call_command(
        "sweep", "run", "--strategy", "sma_cross", "--grid", "fast=5:20:5", "--grid", "slow=30,60", "--symbol", "ETHUSDT",
        "--interval", "5m", "--from", "2024-01-01", "--to", "2024-01-11", "--data", str(folder), "--by", "total_return",
        "--best", "3", "--out", str(kept), "--json", stdout=out,
    )  # fmt: skip
    report = json.loads(out.getvalue())

    assert (report["state"], report["trials"], len(report["best"])) == ("done", 8, 3)
    assert "not a promise" in report["note"]
    assert pq.read_table(kept).num_rows == 8
    returns = [row["total_return"] for row in report["best"]]
    assert returns == sorted(returns, reverse=True)
    with pytest.raises(CommandError, match="There is no sweep"):
        call_command("sweep", "show", "99999")


def test_costs_are_taken_on_both_ways() -> None:
    terms = Terms.of(fee=Decimal("0.1"), half_spread=Decimal("0.25"))

    assert terms.keep_in == pytest.approx(0.9 / 1.25)
    assert terms.keep_out == pytest.approx(0.9 * 0.75)


@pytest.mark.django_db
def test_candles_come_from_the_history_where_the_database_has_none(tmp_path: Path, settings: Any) -> None:
    settings.HISTORY_ROOT = tmp_path / "history"
    written = write(drawn([place for place in range(1500) if place != 700]), tmp_path, ".parquet")
    import_file(written, root=settings.HISTORY_ROOT, exchange="binance")
    hours: dict[str, Any] = {
        "symbol": "BTC/USDT",
        "interval": "1h",
        "begin_at": moment(BEGIN),
        "end_at": moment(BEGIN + 1500 * HOUR),
        "grid": parse_grid(["fast=2,3", "slow=4,5"]),
        "folder": "",
    }

    def ask(**changes: Any) -> Sweep:
        return services.record_sweep(spec=replace(make_spec(tmp_path), **{**hours, **changes}), by=None, now=NOW)

    unnamed = finish(ask())
    named = finish(ask(folder=str(settings.HISTORY_ROOT)))

    assert same(unnamed, named)
    assert np.nanmax(unnamed.column("trades").to_numpy()) > 50
    with pytest.raises(ValueError, match="No 1h candles of BTC/USDT"):
        ask(begin_at=moment(BEGIN - 9 * HOUR), end_at=moment(BEGIN - HOUR))
