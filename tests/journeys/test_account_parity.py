"""Five bots on one account over the real stack trade as the simulation of the whole account says, bot by bot."""

from __future__ import annotations

from pathlib import Path

import pytest

from bots.services import Wish
from portfolio.models import HandOver
from tests.journeys import account_parity
from tests.journeys.parity import first_difference

pytestmark = [pytest.mark.timeout(1800), pytest.mark.nightly]
BARS = 150
# One slot ends in each way that a hand-over knows.
WEEK = """
zone Europe/Berlin
gaps idle
daily 12:00-15:00 SASHA_HYBRID flatten
daily 15:00-17:00 GRID_TRADING transfer
daily 17:00-19:00 EMA_RIBBON wait 30m
daily 19:00-21:00 GRID_TRADING carry
daily 21:00-03:00 MEAN_REVERSION flatten
"""
MODES = {
    "percentage": None,
    "single": Wish(mode="single", bot="GRID_TRADING"),
    "rotation": Wish(mode="rotation", rotation=WEEK),
}


@pytest.mark.parametrize("mode", MODES)
def test_the_live_account_equals_the_simulated_one(transactional_db: None, shared_data: Path, tmp_path: Path, mode: str) -> None:
    market = ["--market", "replay", "--data", str(shared_data / "ohlcv"), "--exchange", "binance", "--from", "2024-08-05T10:55"]
    market += ["--symbols", "BTCUSDT,ETHUSDT", "--speed", "1000000"]

    story, live = account_parity.live_account(
        wish=MODES[mode], market=market, bars=BARS, directory=tmp_path / "stack", seconds=1500
    )
    found = account_parity.in_another_process(story)

    print(f"\n{mode}: fills { ({key: len(fills) for key, fills in live.items()}) }, hand-overs {HandOver.objects.count()}")
    assert {key: first_difference(live[key], found[key]) for key in live} == dict.fromkeys(live, "")
    assert sum(map(len, live.values())) >= 20
    assert sum(bool(fills) for fills in live.values()) >= (1 if mode == "single" else 2)
    assert account_parity.in_another_process(story.shifted) != live
