"""Five bots on one account over the real stack trade as the simulation of the whole account says, bot by bot."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.journeys import account_parity
from tests.journeys.parity import first_difference

pytestmark = [pytest.mark.timeout(1800), pytest.mark.nightly]
BARS = 150


def test_the_live_account_equals_the_simulated_one(transactional_db: None, shared_data: Path, tmp_path: Path) -> None:
    market = ["--market", "replay", "--data", str(shared_data / "ohlcv"), "--exchange", "binance", "--from", "2024-08-05T10:55"]
    market += ["--symbols", "BTCUSDT,ETHUSDT", "--speed", "1000000"]

    story, live = account_parity.live_account(market=market, bars=BARS, directory=tmp_path / "stack", seconds=1500)
    found = account_parity.in_another_process(story)

    assert {key: first_difference(live[key], found[key]) for key in live} == dict.fromkeys(live, "")
    assert sum(map(len, live.values())) >= 20
    assert sum(bool(fills) for fills in live.values()) >= 3
    assert account_parity.in_another_process(story.shifted) != live
