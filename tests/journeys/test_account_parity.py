"""Five bots on one account over the real stack trade as the simulation of the whole account says, bot by bot."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from bots.services import Wish
from portfolio.models import BookTransfer, DecisionRecord, HandOver
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
# Bots of one coin follow each other, so that positions pass on, with stops and without.
CHAIN = """
zone Europe/Berlin
gaps idle
daily 13:00-14:00 SASHA_HYBRID transfer
daily 14:00-15:00 TRIPLE_EMA transfer
daily 15:00-16:00 SASHA_HYBRID transfer
daily 16:00-17:00 TRIPLE_EMA transfer
daily 17:00-18:00 GRID_TRADING transfer
daily 18:00-19:00 EMA_RIBBON transfer
daily 19:00-20:00 GRID_TRADING transfer
daily 20:00-21:00 EMA_RIBBON transfer
daily 21:00-22:00 SASHA_HYBRID transfer
daily 22:00-23:00 MEAN_REVERSION transfer
daily 23:00-24:00 SASHA_HYBRID transfer
daily 00:00-01:00 TRIPLE_EMA transfer
"""
MODES = {
    "percentage": None,
    "single": Wish(mode="single", bot="GRID_TRADING"),
    "rotation": Wish(mode="rotation", rotation=WEEK),
    "transfers": Wish(mode="rotation", rotation=CHAIN),
}


@pytest.mark.parametrize("mode", MODES)
def test_the_live_account_equals_the_simulated_one(transactional_db: None, shared_data: Path, tmp_path: Path, mode: str) -> None:
    market = ["--market", "replay", "--data", str(shared_data / "ohlcv"), "--exchange", "binance", "--from", "2024-08-05T10:55"]
    market += ["--symbols", "BTCUSDT,ETHUSDT", "--speed", "1000000"]

    story, live = account_parity.live_account(
        wish=MODES[mode], market=market, bars=BARS, directory=tmp_path / "stack", seconds=1500
    )
    found = account_parity.in_another_process(story)

    passed = BookTransfer.objects.count()
    counts = {key: len(fills) for key, fills in live.items()}
    print(f"\n{mode}: fills {counts}, hand-overs {HandOver.objects.count()}, positions passed on {passed}")
    # Where the two part, this says what the live account was refused meanwhile, and why.
    for row in DecisionRecord.objects.filter(outcome="denied").exclude(denial__startswith="MODE_").order_by("bar_closed_at"):
        print(row.book.name, row.bar_closed_at, row.reason, row.denial, row.facts.get("denial"))
    assert {key: first_difference(live[key], found[key]) for key in live} == dict.fromkeys(live, "")
    assert sum(map(len, live.values())) >= 15
    assert passed >= (3 if mode == "transfers" else 0)
    assert sum(bool(fills) for fills in live.values()) >= (1 if mode == "single" else 2)
    assert account_parity.in_another_process(story.shifted) != live


def test_money_that_comes_and_goes_while_coins_are_held(transactional_db: None, shared_data: Path, tmp_path: Path) -> None:
    """A deposit is dealt out to the bots, and a withdrawal taken from what nobody has makes all their shares smaller."""
    market = ["--market", "replay", "--data", str(shared_data / "ohlcv"), "--exchange", "binance", "--from", "2024-08-05T10:55"]
    market += ["--symbols", "BTCUSDT,ETHUSDT", "--speed", "1000000"]
    payments = account_parity.Payments(Decimal(16), {30: Decimal(3000), 90: Decimal(-1500)})

    story, live = account_parity.live_account(
        payments=payments, market=market, bars=BARS, directory=tmp_path / "stack", seconds=1500
    )
    found = account_parity.in_another_process(story)

    print(f"\nfills { {key: len(fills) for key, fills in live.items()} }, flows {story.flows}")
    assert {key: first_difference(live[key], found[key]) for key in live} == dict.fromkeys(live, "")
    assert sum(map(len, live.values())) >= 15
    # Both are felt: without either of them the fills would be others.
    for flows in (story.flows[:1], story.flows[1:]):
        assert account_parity.in_another_process(replace(story, flows=flows)) != live
