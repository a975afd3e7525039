from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from bots import lineups
from bots.lineups import BadPlan, UnknownBot

PLAN = lineups.load()


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("MEAN_REVERSION", "MeanReversion"),
        ("mean_reversion", "MeanReversion"),
        ("MeanReversion", "MeanReversion"),
        ("SashaHybrid", "Sasha-Hybrid-Optimized"),
        ("Sasha-Hybrid-Optimized", "Sasha-Hybrid-Optimized"),
        ("sasha_hybrid", "Sasha-Hybrid-Optimized"),
        ("GridTrading", "GridTrading"),
        ("grid", "GridTrading"),
        ("triple_ema", "TripleEMA"),
        ("EMARibbon", "EMARibbon"),
    ],
)
def test_a_bot_answers_to_every_name_people_use(typed: str, meant: str) -> None:
    assert lineups.find(typed, PLAN.bots, lineups.aliases_of(PLAN)).name == meant


def test_an_unknown_bot_is_refused_with_the_list_and_the_closest_match() -> None:
    with pytest.raises(UnknownBot) as refused:
        lineups.find("TripleEMMA", PLAN.bots, lineups.aliases_of(PLAN))

    assert str(refused.value) == (
        "Unknown bot 'TripleEMMA'. Did you mean TripleEMA? "
        "Known: MeanReversion, Sasha-Hybrid-Optimized, GridTrading, TripleEMA, EMARibbon."
    )


def test_the_shipped_plan_is_line_up_a() -> None:
    shown = [(bot.key, bot.strategy, bot.symbols, bot.interval, bot.percent) for bot in PLAN.bots]

    assert shown == [
        ("MEAN_REVERSION", "mean_reversion", ("BTC/USDT",), "5m", Decimal(20)),
        ("SASHA_HYBRID", "sasha_hybrid", ("BTC/USDT",), "5m", Decimal(20)),
        ("GRID_TRADING", "grid", ("ETH/USDT",), "5m", Decimal(20)),
        ("TRIPLE_EMA", "triple_ema", ("BTC/USDT",), "5m", Decimal(20)),
        ("EMA_RIBBON", "ema_ribbon", ("ETH/USDT",), "5m", Decimal(20)),
    ]


def test_the_environment_replaces_shares() -> None:
    seeded = lineups.seeded(PLAN, {"GRID_TRADING": "10", "TRIPLE_EMA": "30 %"})

    assert [bot.percent for bot in seeded.bots] == [20, 20, 10, 30, 20]


@pytest.mark.parametrize(
    ("percents", "why"),
    [
        ({"GRID_TRADING": "-1"}, "BOT_PERCENT_GRID_TRADING must be from 0 to 100, not '-1'"),
        ({"GRID_TRADING": "100.5"}, "from 0 to 100"),
        ({"GRID_TRADING": "NaN"}, "from 0 to 100"),
        ({"GRID_TRADING": "a lot"}, "must be a number from 0 to 100"),
        ({"GRID_TRADING": "21"}, "sum to 101 %, past 100 %"),
    ],
)
def test_impossible_shares_are_refused(percents: dict[str, str], why: str) -> None:
    with pytest.raises(BadPlan, match=why):
        lineups.seeded(PLAN, percents)


def test_a_share_for_an_unknown_bot_is_refused() -> None:
    with pytest.raises(UnknownBot, match="Did you mean GridTrading"):
        lineups.seeded(PLAN, {"GRID_TRADER": "10"})


GOOD = {"key": "A", "name": "A", "strategy": "mean_reversion", "symbols": ["BTC/USDT"], "interval": "5m", "percent": "20"}


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("{", "not a plan file"),
        ({}, "not a plan file"),
        ({"bots": [{**GOOD, "leverage": 10}]}, "unknown"),
        ({"bots": [{name: value for name, value in GOOD.items() if name != "strategy"}]}, "lacks"),
        ({"bots": [GOOD, GOOD]}, "names a bot twice"),
        ({"bots": [{**GOOD, "percent": "60"}, {**GOOD, "key": "B", "name": "B", "percent": "50"}]}, "past 100 %"),
    ],
)
def test_a_damaged_plan_is_refused(tmp_path: Path, content: Any, why: str) -> None:
    path = tmp_path / "plan.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))

    with pytest.raises(BadPlan, match=why):
        lineups.load(path)


def test_a_missing_plan_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadPlan, match="cannot be read"):
        lineups.load(tmp_path / "nowhere.json")
