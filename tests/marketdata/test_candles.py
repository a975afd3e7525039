from __future__ import annotations

import math

import pytest

from marketdata.candles import ClosedCandle, floor_to_interval, milliseconds, moment, sift

FIVE_MINUTES = 300_000
START = 1_709_251_200_000
GOOD = ClosedCandle(1, "5m", START, 100.0, 101.0, 99.0, 100.5, 3.0)


@pytest.mark.parametrize(
    ("nonsense", "why"),
    [
        (GOOD._replace(close=math.nan), "not a finite number"),
        (GOOD._replace(high=math.inf), "not a finite number"),
        (GOOD._replace(low=0.0), "not above zero"),
        (GOOD._replace(open=-1.0), "not above zero"),
        (GOOD._replace(volume=-1.0), "negative volume"),
        (GOOD._replace(high=98.0), "high below its low"),
        (GOOD._replace(close=102.0), "outside its range"),
        (GOOD._replace(open_time=START + 1), "grid"),
        (GOOD._replace(open_time=START * 1000), "no time in UTC milliseconds"),
        (GOOD._replace(open_time=START // 1000), "no time in UTC milliseconds"),
        (GOOD._replace(open=1e10, high=1e10, low=1e10, close=1e10), "too far from the last close"),
        (GOOD._replace(open=1e-6, high=1e-6, low=1e-6, close=1e-6), "too far from the last close"),
    ],
)
def test_a_candle_that_cannot_be_true_is_refused(nonsense: ClosedCandle, why: str) -> None:
    accepted, refused = sift([nonsense], {(1, "5m"): 100.0})

    assert accepted == []
    assert why in refused[0].reason


def test_a_refused_candle_does_not_take_its_neighbours_along() -> None:
    nonsense = GOOD._replace(open_time=START + FIVE_MINUTES, close=math.nan)
    later = GOOD._replace(open_time=START + 2 * FIVE_MINUTES)

    accepted, refused = sift([later, nonsense, GOOD], {})

    assert accepted == [GOOD, later]
    assert [refusal.candle.open_time for refusal in refused] == [nonsense.open_time]


def test_the_last_word_on_a_candle_wins() -> None:
    corrected = GOOD._replace(close=100.75)

    accepted, _ = sift([GOOD, corrected], {})

    assert accepted == [corrected]


def test_times_survive_the_way_to_datetimes_and_back() -> None:
    assert milliseconds(moment(START + 1)) == START + 1
    assert floor_to_interval(START + FIVE_MINUTES - 1, "5m") == START
