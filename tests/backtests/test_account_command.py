"""Whole accounts from the command line: plans side by side, as a table and as JSON."""

from __future__ import annotations

import json
import shutil
from decimal import Decimal
from io import StringIO
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from django.core.management import CommandError, call_command

from backtests.account_spec import read_plan
from bots import lineups
from tests.trading.markets import random_walk

BOTS = [("GRID", "grid", "GridTrading"), ("TRIPLE", "triple_ema", "TripleEMA")]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Make a folder of candles as the history has them, a week to warm up and nine days to trade."""
    candles = random_walk(seed=21, bars=4608)
    columns = dict(zip(("open", "high", "low", "close", "volume"), candles.values, strict=True))
    place = tmp_path / "binance" / "ETHUSDT"
    place.mkdir(parents=True)
    pq.write_table(pa.table({"open_time": candles.times, **columns}), place / "5m.parquet")
    return tmp_path


def write(path: Path, **account: Any) -> Path:
    """Write a plan of two bots."""
    bots = [
        {"key": key, "name": name, "strategy": strategy, "symbols": ["ETH/USDT"], "interval": "5m", "percent": "40"}
        | {"position_cap_percent": "70", "params": {"cost_gate": 0} if strategy == "triple_ema" else {}}
        for key, strategy, name in BOTS
    ]
    path.write_text(json.dumps({"schema": 1, "name": path.stem, "bots": bots, "account": account}))
    return path


def run(*plans: Path, folder: Path, more: tuple[str, ...] = ()) -> str:
    """Call the command."""
    out = StringIO()
    stretch = ("--from", "2024-01-08", "--to", "2024-01-17", "--data", str(folder), "--filters", "ETH/USDT=0.01,0.0001,5")
    call_command("backtest", "account", "--plan", *map(str, plans), *stretch, *more, stdout=out)
    return out.getvalue()


def test_plans_are_compared_side_by_side(folder: Path, tmp_path: Path) -> None:
    first = write(tmp_path / "first.json")
    second = write(tmp_path / "second.json", rebase_hours=24, reserve_percent="5")
    week = tmp_path / "week.txt"
    week.write_text("zone UTC\ndaily 00:00-12:00 GridTrading flatten\ndaily 12:00-24:00 TripleEMA carry\n")
    more = ("--mode", "percentage", "single", "rotation", "--bot", "gridtrading", "--rotation", str(week), "--no-caps", "--json")

    reports = json.loads(run(first, second, folder=folder, more=more))

    assert [report["name"] for report in reports] == [
        f"{name}, {mode}" for name in ("first", "second") for mode in ("percentage", "single", "rotation")
    ]
    assert all(report["fills"] > 0 for report in reports)
    # Turns do not read the schedule of shares.
    assert reports[1] | {"name": ""} == reports[4] | {"name": ""}
    assert reports[0]["final_equity"] != reports[3]["final_equity"]
    assert reports[2]["switches"] > 10
    assert {bot["key"] for report in reports for bot in report["bots"]} == {"GRID", "TRIPLE"}


def test_an_account_is_simulated_with_frictions(folder: Path, tmp_path: Path) -> None:
    one = write(tmp_path / "one.json")
    plain, rough, late = (
        json.loads(run(one, folder=folder, more=("--mode", "single", "--bot", "TripleEMA", "--json", *more)))[0]
        for more in (
            (),
            ("--slippage-volatility", "0.5", "--fee-tier", "100000=0.0005/0.0002"),
            ("--latency-ms", "400", "--volume-percent", "5", "--rest", "wait", "--fee-in", "quote"),
        )
    )

    assert rough["fills"] >= 10
    assert len({plain["final_equity"], rough["final_equity"], late["final_equity"]}) == 3
    with pytest.raises(CommandError, match="latency is from 0 to one candle"):
        run(one, folder=folder, more=("--latency-ms", "300001"))
    with pytest.raises(CommandError, match="share of the volume"):
        run(one, folder=folder, more=("--volume-percent", "0"))


def test_a_table_shows_what_the_json_says(folder: Path, tmp_path: Path) -> None:
    asked = write(tmp_path / "first.json")

    (report,) = json.loads(run(asked, folder=folder, more=("--json",)))
    table = run(asked, folder=folder)

    lines = {line.split("  ")[0]: line for line in table.splitlines()}
    assert f"{float(report['final_equity']):.2f}" in lines["final equity"]
    assert str(report["fills"]) in lines["fills"]
    for code, count in report["refusals"].items():
        assert str(count) in lines[code]


def test_what_is_wrong_is_said(folder: Path, tmp_path: Path) -> None:
    asked = write(tmp_path / "first.json")
    with pytest.raises(CommandError, match="--bot"):
        run(asked, folder=folder, more=("--mode", "single"))
    with pytest.raises(CommandError, match="There is no bot ghost"):
        run(asked, folder=folder, more=("--mode", "single", "--bot", "ghost"))
    with pytest.raises(CommandError, match="--rotation"):
        run(asked, folder=folder, more=("--mode", "rotation"))
    with pytest.raises(CommandError, match="cannot be read"):
        run(tmp_path / "absent.json", folder=folder)
    bad = tmp_path / "bad.json"
    bad.write_text('{"schema": 1, "name": "x", "bots": [{"key": "A"}], "colour": "red"}')
    with pytest.raises(CommandError, match="colour"):
        run(bad, folder=folder)


def test_a_bot_of_several_markets_takes_part(folder: Path, tmp_path: Path) -> None:
    other = folder / "binance" / "BTCUSDT"
    other.mkdir()
    shutil.copy(folder / "binance" / "ETHUSDT" / "5m.parquet", other)
    asked = write(tmp_path / "plan.json")
    content = json.loads(asked.read_text())
    content["bots"][1] |= {"strategy": "hedge", "symbols": ["ETH/USDT", "BTC/USDT"], "params": {"bars_per_day": 288}}
    asked.write_text(json.dumps(content))
    more = ("--json", "--no-caps", "--filters", "BTC/USDT=0.01,0.00001,5", "--filters", "ETH/USDT=0.01,0.0001,5")

    (report,) = json.loads(run(asked, folder=folder, more=more))

    hedge = report["bots"][1]
    assert (hedge["symbol"], len(hedge["held"].split())) == ("ETH/USDT, BTC/USDT", 2)
    assert hedge["fills"] > 0

    content["bots"][1]["exchanges"] = ["binance", "kraken"]
    asked.write_text(json.dumps(content))
    with pytest.raises(CommandError, match="simulated on one exchange: take the bot out"):
        run(asked, folder=folder, more=more)


def test_the_shipped_line_up_is_read_as_the_product_reads_it() -> None:
    mine, shipped = read_plan(lineups.LINEUP_A), lineups.load(lineups.LINEUP_A)

    assert [
        (bot.key, bot.name, bot.strategy, bot.symbols, bot.interval, bot.percent, bot.position_cap_percent) for bot in mine.bots
    ] == [
        (bot.key, bot.name, bot.strategy, bot.symbols, bot.interval, bot.percent, bot.position_cap_percent)
        for bot in shipped.bots
    ]


def test_a_plan_may_have_money_come_and_go(folder: Path, tmp_path: Path) -> None:
    flows = [
        {"every": "week", "amount": "100.5"},
        {"at": "2024-01-10T06:02:00Z", "amount": "-2000"},
        {"at": "2024-01-11T00:00:00+02:00", "amount": "-50000"},
    ]
    still, flowing = write(tmp_path / "still.json"), write(tmp_path / "flowing.json", flows=flows, rebases_after_flows=True)

    before, after = json.loads(run(still, flowing, folder=folder, more=("--no-caps", "--json")))
    table = run(still, flowing, folder=folder, more=("--no-caps",))

    told = after["flows"]
    assert [(item["at"], item["amount"], item["done"], item["code"]) for item in told["items"]] == [
        ("2024-01-10T06:05:00+00:00", "-2000", "-2000", ""),
        ("2024-01-10T22:00:00+00:00", "-50000", "0", "CAPITAL_INSUFFICIENT"),
        ("2024-01-15T00:00:00+00:00", "100.5", "100.5", ""),
    ]
    assert [told[name] for name in ("deposits", "withdrawals", "waits", "refused")] == ["100.5", "2000", "0", 1]
    assert Decimal(after["final_equity"]) == Decimal("9882.30") + Decimal("100.5") - 2000 + Decimal(after["profit"])
    assert Decimal(after["profit"]) == sum(Decimal(bot["profit"]) for bot in after["bots"])
    # Nearly the same bets on less money: the return is nearly the same, and not that of the money.
    assert abs(after["total_return"] - before["total_return"]) < 0.02
    assert abs(float(after["final_equity"]) / 9882.30 - 1 - after["total_return"]) > 0.15
    assert before["flows"]["items"] == []
    lines = {line.split("  ")[0]: line.split() for line in table.splitlines()}
    assert lines["withdrawals"][1:] == ["0.00", "2000.00"]
    assert lines["flows CAPITAL_INSUFFICIENT"][2:] == ["0", "1"]


@pytest.mark.parametrize(
    ("flow", "words"),
    [
        ({"at": "2024-01-10T00:00:00Z", "amount": "NaN"}, "finite"),
        ({"at": "2024-01-10T00:00:00Z", "amount": "0"}, "a deposit is above zero"),
        ({"at": "2024-01-07T23:59:59Z", "amount": "5"}, "must lie between the beginning"),
        ({"at": "2024-01-16T23:56:00Z", "amount": "5"}, "must lie between the beginning"),
        ({"at": "2024-01-10T00:00:00Z", "every": "week", "amount": "5"}, "either `at`"),
        ({"amount": "5"}, "either `at`"),
        ({"every": "day", "amount": "5"}, "'week' or 'month'"),
        ({"every": "month", "amount": "1e400000"}, "at most 10,000,000,000"),
    ],
)
def test_a_flow_that_cannot_be_is_refused(folder: Path, tmp_path: Path, flow: dict[str, Any], words: str) -> None:
    with pytest.raises(CommandError, match=words):
        run(write(tmp_path / "plan.json", flows=[flow]), folder=folder)
