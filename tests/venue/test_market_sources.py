"""Where prices come from: recorded candles, with all that can be wrong with them, and the synthetic market."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from tests.shared_data import ABSENT, SHARED_DATA
from venue.amounts import UNIT
from venue.market.bars import DAY_MS, INTERVALS, MINUTE_MS, Bar
from venue.market.candles import FormingCandles
from venue.market.replay import ReplayMarket
from venue.market.source import UnusableMarket
from venue.market.synthetic import COINS, HISTORY_DAYS, START, SyntheticMarket

ROOT = Path(__file__).resolve().parents[2]
REAL_DATA = SHARED_DATA / "ohlcv"
MARCH = 1_709_251_200_000
FIVE = 5 * MINUTE_MS


def _write(path: Path, times: list[int], prices: list[tuple[float, float, float, float]], volume: float = 10.0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    columns = list(zip(*prices, strict=True))
    table = {"open_time": pa.array(times, pa.int64())}
    table |= {name: pa.array(column) for name, column in zip(("open", "high", "low", "close"), columns, strict=True)}
    parquet.write_table(pa.table(table | {"volume": pa.array([volume] * len(times))}), path)


def _steady(path: Path, first: int, interval: int, count: int, price: float = 100.0) -> None:
    _write(path, [first + i * interval for i in range(count)], [(price, price + 1, price - 1, price)] * count)


def _closed(market: ReplayMarket | SyntheticMarket, symbol: str, interval: int, first: int, last: int) -> list[Bar]:
    return list(market.closed(symbol, interval, first=first, last=last, limit=10_000, forward=True).bars())


def test_the_base_is_the_finest_interval_at_the_start(tmp_path: Path) -> None:
    _steady(tmp_path / "binance/ETHUSDT/5m__20240301_20240302.parquet", MARCH, FIVE, 288)
    _steady(tmp_path / "binance/ETHUSDT/1h.parquet", MARCH - 30 * DAY_MS, 12 * FIVE, 1000)
    _steady(tmp_path / "binance/BNBUSDT/1h.parquet", MARCH - 30 * DAY_MS, 12 * FIVE, 1000)
    _steady(tmp_path / "coinbase/ETH-USD/1m.parquet", MARCH, MINUTE_MS, 100)

    everything = ReplayMarket(tmp_path, start_time=MARCH)
    both = ReplayMarket(tmp_path, start_time=MARCH, symbols=("BNBUSDT", "ETHUSDT"))
    other = ReplayMarket(tmp_path, start_time=MARCH, exchange="coinbase")

    assert (everything.base_interval_ms, [item.symbol for item in everything.listings]) == (FIVE, ["ETHUSDT"])
    assert everything.left_out == ("BNBUSDT",)
    assert (both.base_interval_ms, len(both.listings)) == (12 * FIVE, 2)
    assert [item.symbol for item in other.listings] == ["ETHUSD"]
    assert len({everything.identity, both.identity, other.identity}) == 3


def test_history_before_the_base_comes_from_coarser_candles(tmp_path: Path) -> None:
    _steady(tmp_path / "binance/ETHUSDT/5m.parquet", MARCH, FIVE, 288)
    _steady(tmp_path / "binance/ETHUSDT/1h.parquet", MARCH - DAY_MS, 12 * FIVE, 48, price=90.0)
    market = ReplayMarket(tmp_path, start_time=MARCH)

    hours = _closed(market, "ETHUSDT", 12 * FIVE, 0, MARCH + DAY_MS)

    assert len(hours) == 48
    assert [bar.close // UNIT for bar in hours] == [90] * 24 + [100] * 24


def test_both_folder_layouts_are_read(tmp_path: Path) -> None:
    place = tmp_path / "parquet/exchange=binance/symbol=ETHUSDT/interval=5m/year=2024/month=03"
    _steady(place / "data.parquet", MARCH, FIVE, 10)

    market = ReplayMarket(tmp_path, start_time=MARCH)

    assert (market.listings[0].symbol, market.base_interval_ms) == ("ETHUSDT", FIVE)


@pytest.mark.fault("M08")
def test_gaps_stay_gaps_and_microseconds_are_recognised(tmp_path: Path) -> None:
    times = [MARCH, MARCH + FIVE, MARCH + 10 * FIVE]
    _write(tmp_path / "binance/ETHUSDT/5m.parquet", [t * 1000 for t in times], [(100.0, 101.0, 99.0, 100.0)] * 3)
    market = ReplayMarket(tmp_path, start_time=None)

    assert market.next_open(MARCH + FIVE) == MARCH + 10 * FIVE
    assert market.bars_at(MARCH + 2 * FIVE) == {}
    assert market.next_open(MARCH + 10 * FIVE) is None
    assert market.end_time == MARCH + 11 * FIVE


def test_the_tick_is_as_fine_as_the_recorded_prices(tmp_path: Path) -> None:
    _write(tmp_path / "binance/ETHUSDT/5m.parquet", [MARCH], [(100.0, 101.0, 99.9995, 100.0)])
    [listing] = ReplayMarket(tmp_path, start_time=MARCH).listings

    assert (listing.tick, listing.step) == (UNIT // 10_000, UNIT // 10_000)


WRONG = [
    ((100.0, 99.0, 98.0, 100.0), "cannot be true"),
    ((float("nan"), 101.0, 99.0, 100.0), "cannot be true"),
    ((0.0, 101.0, 0.0, 100.0), "cannot be true"),
]


@pytest.mark.parametrize(("candle", "message"), WRONG)
def test_a_candle_that_cannot_be_true_is_named(tmp_path: Path, candle: tuple[float, float, float, float], message: str) -> None:
    _write(tmp_path / "binance/ETHUSDT/5m.parquet", [MARCH, MARCH + FIVE], [(100.0, 101.0, 99.0, 100.0), candle])

    with pytest.raises(UnusableMarket, match=message):
        ReplayMarket(tmp_path, start_time=MARCH)


@pytest.mark.parametrize("damage", ["missing", "empty", "truncated", "text", "outside"])
def test_unusable_data_ends_the_program_with_one_clear_sentence(tmp_path: Path, damage: str) -> None:
    file = tmp_path / "data/binance/ETHUSDT/5m.parquet"
    begin = "2024-03-01"
    if damage != "missing":
        _steady(file, MARCH, FIVE, 100)
    if damage == "empty":
        file.unlink()
    elif damage == "truncated":
        file.write_bytes(file.read_bytes()[:-20])
    elif damage == "text":
        file.write_text("open_time,open\n")
    elif damage == "outside":
        begin = "2019-01-01"
    words = ["--market", "replay", "--data", str(tmp_path / "data"), "--from", begin, "--port", "1"]
    command = [sys.executable, "-m", "venue", "--data-dir", str(tmp_path / "books"), *words]

    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=30, check=False)

    assert done.returncode == 2
    assert done.stderr.startswith("venue: ")
    assert "Traceback" not in done.stderr
    assert any(word in done.stderr for word in ("Fetch it again", "Name the folder", "Expected", "Choose another"))


@pytest.mark.skipif(not REAL_DATA.is_dir(), reason=ABSENT)
def test_the_real_candles_replay_as_recorded() -> None:
    market = ReplayMarket(REAL_DATA, start_time=MARCH)

    assert market.base_interval_ms == FIVE
    assert {"BTCUSDT", "ETHUSDT", "SOLUSDT"} <= {item.symbol for item in market.listings}
    peak = _closed(market, "BTCUSDT", DAY_MS, MARCH + 13 * DAY_MS, MARCH + 13 * DAY_MS)[0]
    assert peak.high == 7_377_700_000_000 or abs(peak.high / UNIT - 73_777) < 1
    assert len(_closed(market, "ETHUSDT", FIVE, MARCH - 1500 * FIVE, MARCH - FIVE)) == 1500


def test_the_synthetic_market_is_the_same_from_anywhere() -> None:
    kept: dict[int, str] = {}
    walked = SyntheticMarket(7, keep=kept.__setitem__)
    far = _closed(walked, "ETHUSDT", MINUTE_MS, START + 30 * DAY_MS, START + 31 * DAY_MS)

    resumed = SyntheticMarket(7, checkpoints={day: state for day, state in kept.items() if day == 29})
    other_seed = SyntheticMarket(8)

    assert _closed(resumed, "ETHUSDT", MINUTE_MS, START + 30 * DAY_MS, START + 31 * DAY_MS) == far
    assert _closed(other_seed, "ETHUSDT", MINUTE_MS, START, START + FIVE) != far[:5]
    assert "synthetic" in walked.label.lower()


def test_a_second_exchange_shows_the_same_market_at_other_prices() -> None:
    first, second = SyntheticMarket(7), SyntheticMarket(7, basis_ppm=6000)
    here, there = (
        market.closed("BTCUSDT", FIVE, first=START, last=START + 10 * DAY_MS, limit=100_000, forward=True)
        for market in (first, second)
    )
    apart = there.rows[4] / here.rows[4] - 1

    assert (there.rows[0] == here.rows[0]).all()
    assert np.abs(apart).max() <= 0.0061
    # Both ways, and far enough for two fees of a thousandth often enough.
    assert (apart > 0.0033).mean() > 0.05
    assert (apart < -0.0033).mean() > 0.05
    # A candle opens where the one before it closed, over midnight as well.
    assert (there.rows[1][1:] == there.rows[4][:-1]).mean() > 0.99
    assert first.identity != second.identity
    assert second.label == "Synthetic market, seed 7, up to 0.6 % beside the first"


def test_synthetic_candles_are_true_and_on_the_grid() -> None:
    market = SyntheticMarket(11)
    for item in market.listings:
        bars = market.closed(item.symbol, MINUTE_MS, first=0, last=START + 4 * DAY_MS, limit=100_000, forward=True)
        _, opens, highs, lows, closes, volumes, _, _ = bars.rows
        assert (lows > 0).all()
        assert (lows <= np.minimum(opens, closes)).all()
        assert (highs >= np.maximum(opens, closes)).all()
        assert not (bars.rows[1:5] % item.tick).any()
        assert not (volumes % item.step).any()
    assert len(market.listings) == len(COINS)


def test_synthetic_history_warms_strategies_up() -> None:
    market = SyntheticMarket(7)
    fives = _closed(market, "ETHUSDT", FIVE, 0, START - FIVE)

    assert HISTORY_DAYS >= 14
    assert len(fives) >= 14 * 288 * 0.99


@pytest.mark.parametrize("seed", [1, 7, 42])
def test_a_grid_on_ether_sees_several_fills_in_two_hours(seed: int) -> None:
    """Count how often a price moves from one grid level to the next within 24 bars of five minutes."""
    market = SyntheticMarket(seed)
    bars = market.closed("ETHUSDT", FIVE, first=START, last=START + 30 * DAY_MS, limit=100_000, forward=True)
    levels = np.log(bars.rows[1:5].T.reshape(-1).astype(float)) / 0.0065
    moves = np.abs(np.diff(np.rint(levels)))
    windows = np.add.reduceat(moves, np.arange(0, len(moves), 24 * 4))

    assert 3 <= np.median(windows) <= 40


def test_coins_move_together_but_not_as_one() -> None:
    market = SyntheticMarket(7)
    closes = [
        market.closed(name, 12 * FIVE, first=START, last=START + 40 * DAY_MS, limit=10_000, forward=True).rows[4]
        for name in ("BTCUSDT", "ETHUSDT", "DOGEUSDT")
    ]
    length = min(map(len, closes))
    together = np.corrcoef([np.diff(np.log(close[:length].astype(float))) for close in closes])

    assert (together[np.triu_indices(3, 1)] > 0.4).all()
    assert (together[np.triu_indices(3, 1)] < 0.98).all()


def test_candles_that_form_close_as_those_that_are_asked_for() -> None:
    """Walk a day bar by bar: every candle that closes equals the aggregate of the recording."""
    market = SyntheticMarket(3)
    forming = FormingCandles(market, "ETHUSDT", START + 7 * MINUTE_MS)
    opened: int | None = START + 7 * MINUTE_MS
    count = 0
    while opened is not None and opened < START + DAY_MS + 60 * MINUTE_MS:
        forming.fold(market.bars_at(opened)["ETHUSDT"])
        opened = market.next_open(opened)
        assert opened is not None
        for interval, bar in forming.close_until(opened):
            [asked] = _closed(market, "ETHUSDT", interval, bar.open_time, bar.open_time)
            assert bar == asked
            count += 1

    assert count > 1440
    assert set(forming.intervals) == set(INTERVALS.values())
