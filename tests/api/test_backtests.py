"""Backtests through the API: asked for, run, and read as report, candles and file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.utils import timezone

from backtests import jobs
from backtests.models import BacktestRun
from backtests.reports.view import assumptions
from marketdata.models import Instrument
from portfolio.models import AuditEntry
from tests.api.conftest import Api, token_for
from tests.backtests.test_backtest_command import folder, instrument
from tradeapp import tokens

__all__ = ["folder", "instrument"]
STRETCH = {"begin_at": "2024-01-03T00:00:00Z", "end_at": "2024-01-03T12:00:00Z", "symbol": "ETH/USDT"}


def body(folder: Path, **changes: Any) -> dict[str, Any]:
    return {
        "strategy": "triple_ema",
        "params": {"cost_gate": "0"},
        "symbol": "ETH/USDT",
        "interval": "5m",
        "folder": str(folder),
        "begin_at": "2024-01-01T00:00:00Z",
        "end_at": "2024-01-11T00:00:00Z",
        "allocation": "1976.46",
        **changes,
    }


@pytest.fixture
def asked(api: Api, folder: Path, instrument: Instrument) -> dict[str, Any]:
    """Return a backtest that no worker has taken."""
    answer = api.post("backtests", body(folder))
    assert answer.status_code == 201, answer.content
    found: dict[str, Any] = answer.json()
    return found


def test_a_backtest_is_asked_for_run_and_read(api: Api, asked: dict[str, Any]) -> None:
    address = f"backtests/{asked['id']}"
    assert (asked["state"], asked["params"]["cost_gate"], asked["base_interval"]) == ("queued", 0.0, "5m")
    early = api.get(f"{address}/report")
    assert (early.status_code, early.json()["title"]) == (404, f"Backtest {asked['id']} has no report: it is queued")
    assert AuditEntry.objects.filter(action="api.request", subject__contains="backtests").exists()

    assert jobs.run_backtest(run_id=asked["id"], clock=timezone.now)

    after = api.get(address).json()
    assert (after["state"], after["metrics"]["trades"] > 10) == ("done", True)
    assert 0 < after["bars"] == after["bars_done"]
    assert api.get("backtests").json()["items"] == [after]
    report = api.get(f"{address}/report").json()
    assert report["run"] == after
    assert len(report["data_hash"]) == 64
    trades, orders = report["content"]["trades"], report["content"]["orders"]
    assert trades["r_trades"] == trades["trades"] == after["metrics"]["trades"]
    assert trades["r_expectancy_low"] < trades["r_expectancy"] < trades["r_expectancy_high"]
    assert orders == after["metrics"]["orders"]
    assert {kind["kind"] for kind in orders["kinds"]} == {"ENTRY", "EXIT"}
    assert report["orders"] == orders
    assert report["in_r"] == {name: value for name, value in trades.items() if name in report["in_r"]}
    assert len(report["in_r"]) == 8
    assert (report["backtests_tried"], report["luck"], report["is_synthetic"]) == (1, None, False)

    some = api.get(f"{address}/candles", **STRETCH).json()
    assert (some["interval_ms"], len(some["times"])) == (300_000, 144)
    first, last = some["times"][0], some["times"][-1] + 300_000
    fills = BacktestRun.objects.get().fills.all()
    there = [fill for fill in fills if first <= fill.filled_at.timestamp() * 1000 < last]
    assert [fill["price"] for fill in some["fills"]] == [float(fill.price) for fill in there]
    assert there

    file = api.get(f"{address}/file")
    assert file["Content-Type"] == "text/html; charset=utf-8"
    assert file["Content-Disposition"] == f'attachment; filename="backtest-{asked["id"]}-triple_ema.html"'
    # The product's own policy stays as it is; the file brings a stricter one along.
    assert "'unsafe-inline'" not in file["Content-Security-Policy"]
    assert b"default-src 'none'" in file.content


def test_a_backtest_that_waits_is_cancelled_once(api: Api, asked: dict[str, Any]) -> None:
    address = f"backtests/{asked['id']}"
    assert api.post(f"{address}/cancel").json()["state"] == "cancelled"
    again = api.post(f"{address}/cancel")
    assert (again.status_code, again.json()["code"]) == (409, "BACKTEST_IS_OVER")
    assert not jobs.run_backtest(run_id=asked["id"], clock=timezone.now)
    assert api.post("backtests/999999/cancel").status_code == 404
    assert AuditEntry.objects.filter(action="api.request", subject__contains="cancel").exists()


def test_frictions_are_asked_for_and_told_in_the_report(api: Api, folder: Path, instrument: Instrument) -> None:
    frictions = {
        "slippage_volatility": "0.1",
        "fee_in": "quote",
        "fee_tiers": [{"volume": "5000", "taker_fee": "0.0009", "maker_fee": "0.0004"}],
        "rest": "wait",
        "latency_ms": 400,
    }
    answer = api.post("backtests", body(folder, frictions=frictions, participation="0.05"))
    assert answer.status_code == 201, answer.content
    assert answer.json()["frictions"] == frictions

    assert jobs.run_backtest(run_id=answer.json()["id"], clock=timezone.now)

    told = dict(assumptions(api.get(f"backtests/{answer.json()['id']}/report").json()))
    assert told["Fees"].endswith("taken from quote")
    assert told["Volume"] == "5.0% of a candle's for its orders; more of a market order waits for the next candles"
    assert told["Frictions"] == (
        "slippage of 0.1 volatilities, and 0 for an order as large as a mean candle;"
        " from 5,000.00 traded in 30 days on taker 9.0000 bp, maker 4.0000 bp; orders on their way for 400 ms"
    )
    late = api.post("backtests", body(folder, frictions={"latency_ms": 300_001}))
    assert (late.status_code, "one candle of the strategy" in str(late.json())) == (422, True)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"strategy": "triple_emma"}, "Did you mean"),
        ({"params": {"cost_gate": 99}}, "from 0 to 5"),
        ({"params": {"nothing": 1}}, "nothing"),
        ({"params": {"cost_gate": {}}}, "params"),
        ({"interval": "7m"}, "Unknown interval"),
        ({"symbol": "NOPE/USDT"}, "NOPE"),
        ({"others": ["BTC/USDT"]}, "one of the markets"),
        ({"end_at": "2020-01-01T00:00:00Z"}, "must be after"),
        ({"allocation": "0"}, "greater than 0"),
        ({"taker_fee": "0.00000001"}, "taker_fee"),
    ],
)
def test_a_bad_backtest_is_refused_with_the_reason(
    api: Api, folder: Path, instrument: Instrument, changes: dict[str, Any], words: str
) -> None:
    answer = api.post("backtests", body(folder, **changes))

    assert answer.status_code == 422, answer.content
    assert words in answer.content.decode()
    assert not BacktestRun.objects.exists()


def test_candles_of_another_time_or_market_are_refused(api: Api, asked: dict[str, Any]) -> None:
    address = f"backtests/{asked['id']}/candles"

    assert api.get(address, **{**STRETCH, "symbol": "BTC/USDT"}).status_code == 422
    assert (
        api.get(address, **{**STRETCH, "begin_at": "2025-01-03T00:00:00Z", "end_at": "2025-01-04T00:00:00Z"}).status_code == 422
    )
    assert api.get("backtests/4711").status_code == api.get("backtests/4711/file").status_code == 404


def test_only_an_administrator_names_a_folder(folder: Path, instrument: Instrument) -> None:
    operator = User.objects.create_user("operator", password="a long enough password")
    operator.groups.set(Group.objects.all())
    script = token_for(operator, *sorted(tokens.scopes_of(operator)))

    assert script.post("backtests", body(folder)).status_code == 403
    assert not BacktestRun.objects.exists()
