"""Paper trading over the real stack reproduces the backtest trade for trade."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.journeys import parity

pytestmark = [pytest.mark.timeout(400), pytest.mark.slow, pytest.mark.parity("P1", "P7")]


# A few hundred real candles each; `make parity` runs all five over as many as twenty trades need.
@pytest.mark.parametrize(
    ("strategy", "symbol", "bars"),
    [
        ("mean_reversion", "BTC/USDT", 300),
        ("grid", "ETH/USDT", 120),
        pytest.param(parity.OWN, "ETH/USDT", 120, marks=pytest.mark.nightly),
    ],
)
def test_the_live_stack_equals_the_backtest(
    transactional_db: None, shared_data: Path, tmp_path: Path, strategy: str, symbol: str, bars: int
) -> None:
    market = ["--market", "replay", "--data", str(shared_data / "ohlcv"), "--exchange", "binance", "--from", "2024-03-01"]
    market += ["--symbols", symbol.replace("/", ""), "--speed", "1000000"]

    comparison, story = parity.compare(
        strategy=strategy, symbol=symbol, market=market, bars=bars, directory=tmp_path / "stack", seconds=300
    )

    assert comparison.first_difference == ""
    assert len(comparison.live) >= 4
    # P7: orders at the market, stops and limits filled at what the monitor takes for the model's price.
    witness = comparison.witness
    assert (set(witness.shortfalls), witness.gaps) == ({0.0}, {})
    assert parity.in_another_process(parity.shifted_by_a_tick(story)) != comparison.live
