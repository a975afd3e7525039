"""Backtests from the command line, the service and the queue."""

from __future__ import annotations

import hashlib
import itertools
import json
from dataclasses import asdict
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

from backtests import jobs, selectors, services
from backtests.models import BacktestFill, BacktestReport, BacktestRun
from backtests.spec import BacktestSpec
from marketdata.models import Instrument, Market
from tests.trading.markets import random_walk

NOW = datetime(2024, 6, 1, tzinfo=UTC)
NEWER = ("participation", "detail_interval", "frictions", "taker_fees")
RUN = (
    "backtest",
    "run",
    "--strategy",
    "triple_ema",
    "--symbol",
    "ETHUSDT",
    "--from",
    "2024-01-01",
    "--to",
    "2024-01-11",
    "--json",
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Make a folder of candles as the history has them."""
    candles = random_walk(seed=21, bars=2880)
    columns = dict(zip(("open", "high", "low", "close", "volume"), candles.values, strict=True))
    place = tmp_path / "binance" / "ETHUSDT"
    place.mkdir(parents=True)
    pq.write_table(pa.table({"open_time": candles.times, **columns}), place / "5m__20240101_20240110.parquet")
    return tmp_path


@pytest.fixture
def instrument(db: None) -> Instrument:
    """List ETH/USDT."""
    market = Market.objects.create(exchange="binance", epoch="test", label="Test market", created_at=NOW)
    return Instrument.objects.create(
        market=market,
        symbol="ETH/USDT",
        venue_symbol="ETHUSDT",
        base="ETH",
        quote="USDT",
        tick_size=Decimal("0.01"),
        lot_size=Decimal("0.0001"),
        quantity_min=Decimal("0.0001"),
        quantity_max=Decimal(9000),
        notional_min=Decimal(5),
        filters_read_at=NOW,
    )


def call(*arguments: str) -> dict[str, Any]:
    out = StringIO()
    call_command(*arguments, stdout=out)
    answer: dict[str, Any] = json.loads(out.getvalue())
    return answer


def make_spec(folder: Path, **changes: Any) -> BacktestSpec:
    values: dict[str, Any] = {
        "strategy": "triple_ema",
        "params": {},
        "symbol": "ETH/USDT",
        "interval": "5m",
        "base_interval": "5m",
        "folder": str(folder),
        "begin_at": datetime(2024, 1, 1, tzinfo=UTC),
        "end_at": datetime(2024, 1, 11, tzinfo=UTC),
        "anchor_at": None,
        "trade_from_at": None,
        "allocation": Decimal("1976.46"),
        "taker_fee": Decimal("0.001"),
        "maker_fee": Decimal("0.001"),
        "half_spread": Decimal("0.00005"),
        "slippage": Decimal(0),
    }
    return BacktestSpec(**{**values, **changes})


def test_a_backtest_is_stored_fill_by_fill(folder: Path, instrument: Instrument) -> None:
    report = call(*RUN, "--data", str(folder), "--param", "cost_gate=0")

    stored = BacktestRun.objects.get(id=report["run"])
    assert stored.state == BacktestRun.State.DONE
    assert len(report["fills"]) == BacktestFill.objects.filter(run=stored).count() > 20
    assert {fill["fee_asset"] for fill in report["fills"]} == {"ETH", "USDT"}
    assert report["params"]["cost_gate"] == 0.0
    assert report["metrics"]["trades"] > 10
    # Ten days are too few for a yearly figure.
    assert report["metrics"]["sharpe"] is None
    assert call("backtest", "show", str(stored.id), "--json") == report


def test_nothing_is_kept_when_asked(folder: Path, instrument: Instrument) -> None:
    kept = call(*RUN, "--data", str(folder))
    unkept = call(*RUN, "--data", str(folder), "--no-store")

    assert unkept["fills"] == kept["fills"]
    assert BacktestRun.objects.count() == 1


def test_several_markets_share_one_purse_and_are_stored_with_their_names(folder: Path, instrument: Instrument) -> None:
    later = random_walk(seed=22, bars=2000, start=40_000.0)
    columns = dict(zip(("open", "high", "low", "close", "volume"), later.values, strict=True))
    place = folder / "binance" / "BTCUSDT"
    place.mkdir()
    pq.write_table(pa.table({"open_time": later.times, **columns}), place / "5m.parquet")
    instrument.pk, instrument.symbol, instrument.venue_symbol, instrument.base = None, "BTC/USDT", "BTCUSDT", "BTC"
    instrument._state.adding = True
    instrument.save()
    words = ["backtest", "run", "--strategy", "momentum", "--symbol", "ETHUSDT", "BTC-USDT", "--data", str(folder), "--json"]

    report = call(*words, "--from", "2024-01-01", "--to", "2024-01-11", "--param", "mode=donchian")

    stored = BacktestRun.objects.get(id=report["run"])
    assert (stored.symbol, stored.others, report["symbols"]) == ("ETH/USDT", ["BTC/USDT"], ["ETH/USDT", "BTC/USDT"])
    assert {fill.symbol for fill in BacktestFill.objects.filter(run=stored)} == {"ETH/USDT", "BTC/USDT"}
    assert sum(report["metrics"]["fills_per_symbol"].values()) == len(report["fills"]) > 40
    assert set(report["metrics"]["open_quantity"]) == {"ETH/USDT", "BTC/USDT"}
    assert call("backtest", "show", str(stored.id), "--json") == report


def test_a_strategy_of_one_market_refuses_two(folder: Path, instrument: Instrument) -> None:
    with pytest.raises(CommandError, match="triple_ema trades one of the markets at a time, not 2"):
        call(*RUN, "--symbol", "ETHUSDT", "ETHUSDT", "--data", str(folder))


def test_filters_may_be_given_instead_of_stored(folder: Path, instrument: Instrument) -> None:
    without_tables = list(RUN)
    without_tables[RUN.index("ETHUSDT")] = "ETH/USDT"
    given = call(*without_tables, "--data", str(folder), "--no-store", "--filters", "0.01,0.0001,5")

    assert given["fills"] == call(*RUN, "--data", str(folder), "--no-store")["fills"]


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (["--strategy", "triple_emma"], "Did you mean 'triple_ema'"),
        (["--symbol", "ETHUSD"], "Did you mean ETH/USDT"),
        (["--interval", "5min"], "Did you mean 5m"),
        (["--param", "fats=9"], "Did you mean 'fast'"),
        (["--param", "fast"], "NAME=VALUE"),
        (["--from", "yesterday"], "is no date"),
        (["--from", "2024-02-01"], "must be after"),
        (["--allocation", "-5"], "above zero"),
        (["--allocation", "much"], "must be a number"),
        (["--fee-rate", "1.5"], "from 0 to 1"),
        (["--from", "2024-01-10T22:00"], "too few"),
        (["--data", "/nowhere"], "No folder"),
    ],
)
def test_bad_input_gets_a_clear_message(folder: Path, instrument: Instrument, change: list[str], why: str) -> None:
    with pytest.raises(CommandError, match=why):
        call(*RUN, "--data", str(folder), *change)


def test_a_damaged_file_is_named(folder: Path, instrument: Instrument) -> None:
    path = next(folder.glob("**/*.parquet"))
    path.write_bytes(path.read_bytes()[:200])

    with pytest.raises(CommandError, match=f"{path.name} cannot be read"):
        call(*RUN, "--data", str(folder))


def test_candles_that_cannot_be_true_stop_the_run(folder: Path, instrument: Instrument) -> None:
    path = next(folder.glob("**/*.parquet"))
    rows = pq.read_table(path).to_pydict()
    rows["high"][700] = rows["low"][700] - 1
    pq.write_table(pa.table(rows), path)

    with pytest.raises(CommandError, match="below its low"):
        call(*RUN, "--data", str(folder))
    assert BacktestRun.objects.get().state == BacktestRun.State.FAILED


def test_a_queued_run_is_found_by_the_sweep_and_run_once(folder: Path, instrument: Instrument) -> None:
    run = services.record_backtest(spec=make_spec(folder), by=None, now=NOW)

    assert jobs.run_waiting(clock=lambda: NOW) == 1
    assert jobs.run_waiting(clock=lambda: NOW) == 0
    assert not jobs.run_backtest(run_id=run.id, clock=lambda: NOW)
    run.refresh_from_db()
    assert (run.state, run.finished_at) == (BacktestRun.State.DONE, NOW)


def test_a_run_whose_worker_died_is_taken_up_again(folder: Path, instrument: Instrument) -> None:
    run = services.record_backtest(spec=make_spec(folder), by=None, now=NOW)
    for attempt in (1, 2, 3):
        BacktestRun.objects.update(state=BacktestRun.State.RUNNING, claimed_at=NOW, attempts=attempt)
        assert selectors.waiting_runs(now=NOW + timedelta(minutes=2)) == []
        assert selectors.waiting_runs(now=NOW + timedelta(minutes=4)) == [run.id]
        assert jobs.run_waiting(clock=lambda: NOW + timedelta(minutes=4)) == 1
        run.refresh_from_db()
        assert (run.state, run.attempts) == ("done" if attempt < 3 else "failed", attempt + 1)
        BacktestFill.objects.all().delete()
        BacktestReport.objects.all().delete()
    assert run.error == "The backtest lost its worker 3 times"


def test_a_run_tells_how_far_it_is_and_can_be_cancelled_midway(
    folder: Path, instrument: Instrument, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = services.record_backtest(spec=make_spec(folder), by=None, now=NOW)
    seen: list[selectors.Progress] = []
    moments = itertools.count()

    def clock() -> datetime:
        """A second goes by whenever somebody looks; after the fifth word of the worker a person has had enough."""
        now = NOW + timedelta(seconds=next(moments))
        seen.append(selectors.progress(selectors.run(run.id), now=now))
        if seen[-1].bars_done > 0 and len(seen) == 10:
            services.cancel_backtest(run_id=run.id, now=now)
        return now

    assert jobs.run_backtest(run_id=run.id, clock=clock)
    run.refresh_from_db()
    assert (run.state, run.metrics, run.fills.count()) == ("cancelled", {}, 0)
    assert 0 < run.bars_done < run.bars
    told = [one for one in seen if one.bars_done]
    assert [one.bars_done for one in told] == sorted(one.bars_done for one in told)
    assert told[-1].bars_per_second is not None
    assert told[-1].seconds_left is not None
    assert told[-1].bars_per_second * told[-1].seconds_left == pytest.approx(run.bars - told[-1].bars_done)
    assert not jobs.run_backtest(run_id=run.id, clock=lambda: NOW + timedelta(hours=1))
    with pytest.raises(services.BacktestIsOver, match="cancelled already"):
        services.cancel_backtest(run_id=run.id, now=NOW)


@pytest.mark.fault("P08")
def test_a_run_that_needs_more_memory_than_there_is_fails_alone(
    folder: Path, instrument: Instrument, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worker says why in words, keeps nothing of it, and is fit for the next."""
    greedy, modest = (services.record_backtest(spec=make_spec(folder), by=None, now=NOW) for _ in range(2))
    with monkeypatch.context() as patched:
        patched.setattr(selectors, "details", lambda _spec: np.ones(1 << 50))
        assert jobs.run_backtest(run_id=greedy.id, clock=lambda: NOW)
    assert jobs.run_backtest(run_id=modest.id, clock=lambda: NOW)
    greedy.refresh_from_db()
    modest.refresh_from_db()
    assert (greedy.state, greedy.fills.count(), modest.state) == ("failed", 0, "done")
    assert greedy.error.startswith("It needs more memory than backtests may take")


def test_what_a_lost_worker_finishes_late_is_not_kept(folder: Path, instrument: Instrument) -> None:
    """Another worker has begun anew meanwhile: there is one result."""
    run = services.record_backtest(spec=make_spec(folder), by=None, now=NOW)
    looks = itertools.count()

    def clock() -> datetime:
        if next(looks) == 3:
            assert jobs.run_backtest(run_id=run.id, clock=lambda: NOW + timedelta(minutes=10))
        return NOW

    assert jobs.run_backtest(run_id=run.id, clock=clock)
    run.refresh_from_db()
    assert (run.state, run.attempts, run.finished_at) == ("done", 2, NOW + timedelta(minutes=10))
    assert run.fills.count() == run.metrics["fills"]


def test_the_same_question_has_the_same_fingerprint(folder: Path) -> None:
    question = make_spec(folder).checked()

    assert make_spec(folder).checked().fingerprint == question.fingerprint
    assert make_spec(folder, params={"fast": 9}).checked().fingerprint != question.fingerprint


def test_frictions_belong_to_the_question(folder: Path, instrument: Instrument) -> None:
    plain = call(*RUN, "--data", str(folder), "--param", "cost_gate=0")
    words = ("--slippage-volatility", "0.2", "--fee-tier", "5000=0.0009/0.0004", "--rest", "wait", "--latency-ms", "400")
    rough = call(*RUN, "--data", str(folder), "--param", "cost_gate=0", *words, "--volume-percent", "2", "--fee-in", "quote")
    first, second = BacktestRun.objects.order_by("id")

    assert first.frictions == {}
    assert second.frictions == {
        "slippage_volatility": "0.2",
        "fee_in": "quote",
        "fee_tiers": [{"volume": "5000", "taker_fee": "0.0009", "maker_fee": "0.0004"}],
        "rest": "wait",
        "latency_ms": 400,
    }
    assert (second.participation, rough["frictions"]) == (Decimal("0.02"), second.frictions)
    assert first.fingerprint != second.fingerprint
    assert selectors.spec_of(second).frictions.as_plain() == second.frictions
    assert {fill["fee_asset"] for fill in rough["fills"]} == {"USDT"}
    # The decision arrives after its candle has opened, so it meets the next one.
    assert rough["fills"][0]["time"] == plain["fills"][0]["time"] + 300_000


def test_what_was_asked_before_frictions_has_its_fingerprint_still(folder: Path) -> None:
    asked = {name: value for name, value in asdict(make_spec(Path("/somewhere"))).items() if name not in NEWER}

    written = json.dumps(asked, sort_keys=True, default=str).encode()
    assert make_spec(Path("/somewhere")).fingerprint == hashlib.sha256(written).hexdigest()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--latency-ms", "300001"), "from 0 to one candle"),
        (("--latency-ms", "-1"), "from 0 to one candle"),
        (("--slippage-volatility", "11"), "from 0 to 10"),
        (("--slippage-impact", "0.0000001"), "in steps of"),
        (("--slippage-impact", "NaN"), "from 0 to 100"),
        (("--fee-tier", "5000"), "VOLUME=TAKER/MAKER"),
        (("--fee-tier", "5000=x"), "VOLUME=TAKER/MAKER"),
        (("--fee-tier", "0=0.1"), "begins above 0"),
        (("--fee-tier", "9=0.1", "--fee-tier", "8=0.1"), "in order of their volume"),
        (("--fee-tier", "9=2"), "A rate must be"),
        (("--volume-percent", "0"), "above 0 and below 1"),
        (("--volume-percent", "100"), "A rate must be"),
        (("--detail-interval", "5m"), "do not make up"),
        (("--detail-interval", "1m"), "No 1m candles"),
    ],
)
def test_frictions_out_of_range_are_refused(folder: Path, instrument: Instrument, words: tuple[str, ...], message: str) -> None:
    with pytest.raises(CommandError, match=message):
        call(*RUN, "--data", str(folder), *words)
