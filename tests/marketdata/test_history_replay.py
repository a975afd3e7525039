"""The history root is a market that the local venue replays."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq

from marketdata.history import files
from marketdata.history.columns import candle_columns
from tests.marketdata.test_history_files import BEGIN, HOUR, as_table, drawn
from venue.amounts import UNIT
from venue.market.replay import ReplayMarket


def test_the_venue_replays_the_root_as_it_is(tmp_path: Path) -> None:
    candles = drawn([place for place in range(1200) if place not in (700, 701)])
    path = tmp_path / "BTCUSDT-1h.parquet"
    pq.write_table(as_table(candles), path)
    root = tmp_path / "root"
    files.import_file(path, root=root, exchange="binance")
    # Its columns lie beside; they are no candles of the venue.
    candle_columns(root, symbol="BTCUSDT", interval="1h")

    market = ReplayMarket(root, start_time=BEGIN + 600 * HOUR)

    bar = market.bars_at(BEGIN + 699 * HOUR)["BTCUSDT"]
    assert market.base_interval_ms == HOUR
    assert bar.close == candles.values[3, 699] * UNIT
    assert market.next_open(BEGIN + 699 * HOUR) == BEGIN + 702 * HOUR
