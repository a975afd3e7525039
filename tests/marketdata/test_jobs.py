from __future__ import annotations

from decimal import Decimal

import numpy as np
import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from marketdata import doorbells, jobs, selectors, writers
from marketdata.candles import ClosedCandle, moment
from marketdata.models import Candle, Instrument, Mark, Market, Subscription
from tests.marketdata.conftest import NOW, bitcoin_filters
from trading.instruments import Instrument as Filters
from trading.strategy import CLOSE, VOLUME

START = 1_709_251_200_000
MINUTES = 60_000
FIVE = 5 * MINUTES


def candle(instrument: Instrument, number: int, close: float = 100.0) -> ClosedCandle:
    return ClosedCandle(instrument.id, "5m", START + number * FIVE, 100.0, 105.0, 95.0, close, 2.0)


def test_recording_the_same_candles_twice_changes_nothing(market: Market, bitcoin: Instrument) -> None:
    story = [candle(bitcoin, number) for number in range(5)]

    first = jobs.record_bars(market_id=market.id, candles=story)
    second = jobs.record_bars(market_id=market.id, candles=story)

    assert (first.new, first.revised) == (5, ())
    assert (second.new, second.revised) == (0, ())
    assert Candle.objects.count() == 5


def test_a_changed_candle_is_stored_as_a_revision(market: Market, bitcoin: Instrument) -> None:
    jobs.record_bars(market_id=market.id, candles=[candle(bitcoin, 0)])

    changed = candle(bitcoin, 0, close=101.0)
    recorded = jobs.record_bars(market_id=market.id, candles=[changed])

    stored = Candle.objects.get()
    assert recorded.revised == (changed,)
    assert (stored.close, stored.revision) == (101.0, 1)


def test_nonsense_is_refused_and_the_rest_is_kept(market: Market, bitcoin: Instrument) -> None:
    wrong = candle(bitcoin, 1)._replace(high=1.0)

    recorded = jobs.record_bars(market_id=market.id, candles=[candle(bitcoin, 0), wrong, candle(bitcoin, 2)])

    assert recorded.new == 2
    assert [refusal.candle for refusal in recorded.refused] == [wrong]


def test_market_time_moves_forward_only(market: Market, bitcoin: Instrument) -> None:
    jobs.record_bars(market_id=market.id, candles=[candle(bitcoin, 3)])
    jobs.record_bars(market_id=market.id, candles=[candle(bitcoin, 1)])

    market.refresh_from_db()
    assert market.market_time_at == moment(START + 4 * FIVE)


def test_a_subscription_knows_how_far_it_is_complete(market: Market, bitcoin: Instrument) -> None:
    wanted = writers.subscribe(instrument_id=bitcoin.id, interval="5m", history_bars=100)
    begin, end = moment(START), moment(START + 3 * FIVE)

    jobs.record_bars(
        market_id=market.id,
        candles=[candle(bitcoin, 0), candle(bitcoin, 2)],
        synced=[jobs.Synced(wanted.id, end, begin)],
    )
    jobs.record_bars(market_id=market.id, candles=[], synced=[jobs.Synced(wanted.id, begin)])

    wanted.refresh_from_db()
    assert (wanted.synced_from_at, wanted.synced_through_at) == (begin, end)
    assert jobs.is_known_through(wanted, end)
    assert not jobs.is_known_through(wanted, moment(START + 4 * FIVE))


def test_a_longer_history_wish_wins(bitcoin: Instrument) -> None:
    writers.subscribe(instrument_id=bitcoin.id, interval="5m", history_bars=1000)
    writers.subscribe(instrument_id=bitcoin.id, interval="5m", history_bars=300)

    assert Subscription.objects.get().history_bars == 1000


@pytest.mark.fault("M02")
def test_gaps_are_found(market: Market, bitcoin: Instrument) -> None:
    jobs.record_bars(market_id=market.id, candles=[candle(bitcoin, number) for number in (0, 1, 4, 5, 7)])

    found = selectors.gaps(instrument_id=bitcoin.id, interval="5m", since=moment(START), until=moment(START + 10 * FIVE))

    assert found == [
        (moment(START + 2 * FIVE), moment(START + 4 * FIVE)),
        (moment(START + 6 * FIVE), moment(START + 7 * FIVE)),
    ]


def test_the_panel_lays_candles_on_one_grid_with_gaps_as_nan(market: Market, bitcoin: Instrument) -> None:
    ether = writers.upsert_instrument(
        market_id=market.id,
        venue_symbol="ETHUSDT",
        filters=Filters("ETH/USDT", "ETH", "USDT", *[Decimal("0.01")] * 2, *[Decimal(1)] * 3),
        raw={},
        order_count_max=200,
        now=NOW,
    )
    story = [candle(bitcoin, 0, 99.0), candle(bitcoin, 2, 97.0), candle(ether, 1, 98.0)]
    jobs.record_bars(market_id=market.id, candles=story)

    panel = selectors.candle_panel(
        instrument_ids=[ether.id, bitcoin.id], interval="5m", begin_at=moment(START), end_at=moment(START + 3 * FIVE)
    )

    assert panel.times.tolist() == [START, START + FIVE, START + 2 * FIVE]
    np.testing.assert_array_equal(panel.values[CLOSE], [[np.nan, 98.0, np.nan], [99.0, np.nan, 97.0]])
    np.testing.assert_array_equal(panel.values[VOLUME], [[np.nan, 2.0, np.nan], [2.0, np.nan, 2.0]])
    assert panel.values.flags.c_contiguous


def test_a_panel_off_the_grid_is_refused(bitcoin: Instrument) -> None:
    with pytest.raises(ValueError, match="grid"):
        selectors.candle_panel(
            instrument_ids=[bitcoin.id], interval="5m", begin_at=moment(START + 1), end_at=moment(START + FIVE)
        )


def test_a_panel_of_five_instruments_and_a_thousand_bars_is_read_in_one_go(market: Market, bitcoin: Instrument) -> None:
    generator = np.random.default_rng(1)
    closes = 100.0 + generator.uniform(-4.0, 4.0, (5, 1000))
    filters = bitcoin_filters()
    ids = []
    for row in range(5):
        name = f"C{row}"
        instrument = writers.upsert_instrument(
            market_id=market.id,
            venue_symbol=name,
            filters=Filters(f"{name}/USDT", name, "USDT", filters.tick_size, filters.lot_size, *[Decimal(1)] * 3),
            raw={},
            order_count_max=200,
            now=NOW,
        )
        ids.append(instrument.id)
        story = [candle(instrument, number, float(closes[row, number])) for number in range(1000)]
        jobs.record_bars(market_id=market.id, candles=story)
    asked = {"interval": "5m", "begin_at": moment(START), "end_at": moment(START + 1000 * FIVE)}

    with CaptureQueriesContext(connection) as asked_of_the_database:
        panel = selectors.candle_panel(instrument_ids=ids, **asked)  # type: ignore[arg-type]

    np.testing.assert_array_equal(panel.values[CLOSE], closes)
    assert len(asked_of_the_database) <= 1


@pytest.mark.fault("E41")
def test_changed_filters_raise_their_version(market: Market, bitcoin: Instrument) -> None:
    again = {"market_id": market.id, "venue_symbol": "BTCUSDT", "raw": {}, "order_count_max": 200, "now": NOW}

    same = writers.upsert_instrument(filters=bitcoin_filters(), **again)  # type: ignore[arg-type]
    coarser = writers.upsert_instrument(filters=bitcoin_filters(tick_size="0.1"), **again)  # type: ignore[arg-type]

    assert (same.filters_version, coarser.filters_version) == (1, 2)
    assert selectors.filters_of(coarser) == bitcoin_filters(tick_size="0.1")


@pytest.mark.fault("M04")
def test_marks_keep_only_real_prices(market: Market, bitcoin: Instrument) -> None:
    at = moment(START)
    for price in (Decimal(100), Decimal("NaN"), Decimal(0), Decimal(-1), Decimal(101)):
        jobs.record_marks(market_id=market.id, marks=[(bitcoin.id, price, at)], now=NOW)

    assert Mark.objects.get().price == 101
    assert selectors.marks([bitcoin.id]) == {bitcoin.id: Decimal(101)}


def test_bars_ring_the_floors_above(market: Market, monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[tuple[int, object]] = []
    monkeypatch.setattr(doorbells, "on_bars", [lambda *, market_id, market_at: heard.append((market_id, market_at))])

    jobs.ring_bars(market_id=market.id, market_at=moment(START))

    assert heard == [(market.id, moment(START))]
