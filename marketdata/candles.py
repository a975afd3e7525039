"""Closed candles on their way from an exchange to the tables: their shape, and which are refused at the door."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

from trading.bars import BadCandles, Bar, interval_milliseconds, validate_bar

# No market is older than the first Bitcoin exchange, and no candle comes from the far future.
OPEN_TIME_MIN: Final = 1_262_304_000_000
OPEN_TIME_MAX: Final = 4_102_444_800_000
# Nothing closes so long after the market's own time.
AHEAD_MAX_MS: Final = 86_400_000
# A price ten times the last close is a wrong scale, not a market.
JUMP_MAX: Final = 10.0

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class ClosedCandle(NamedTuple):
    """A closed candle of one instrument; `open_time` in UTC milliseconds."""

    instrument_id: int
    interval: str
    open_time: int
    open: float
    high: float
    low: float
    close: float
    volume: float

    @property
    def close_time(self) -> int:
        """Answer the moment it closed."""
        return self.open_time + interval_milliseconds(self.interval)


class Refusal(NamedTuple):
    """A candle that was not let in, and why."""

    candle: ClosedCandle
    reason: str


def moment(milliseconds: int) -> datetime:
    """Turn UTC milliseconds into an aware datetime, exactly."""
    return EPOCH + timedelta(milliseconds=milliseconds)


def milliseconds(at: datetime) -> int:
    """Turn an aware datetime into UTC milliseconds, exactly."""
    return (at - EPOCH) // timedelta(milliseconds=1)


def floor_to_interval(time_ms: int, interval: str) -> int:
    """Answer the last moment up to this one at which a candle of the interval closed."""
    return time_ms - time_ms % interval_milliseconds(interval)


def sift(
    candles: Iterable[ClosedCandle], last_closes: dict[tuple[int, str], float], market_now: int | None = None
) -> tuple[list[ClosedCandle], list[Refusal]]:
    """Part believable candles from nonsense, oldest first; `last_closes` are the newest ones accepted before."""
    accepted: dict[tuple[int, str, int], ClosedCandle] = {}
    refused: list[Refusal] = []
    closes = dict(last_closes)
    for candle in sorted(candles, key=lambda candle: candle.open_time):
        stream = (candle.instrument_id, candle.interval)
        reason = _objection(candle, closes.get(stream), market_now)
        if reason:
            refused.append(Refusal(candle, reason))
            continue
        closes[stream] = candle.close
        # The last word on a candle wins: an exchange may send it twice in one answer.
        accepted[(*stream, candle.open_time)] = candle
    return list(accepted.values()), refused


def _objection(candle: ClosedCandle, last_close: float | None, market_now: int | None) -> str:
    if not OPEN_TIME_MIN <= candle.open_time <= OPEN_TIME_MAX:
        return f"opens at {candle.open_time}, which is no time in UTC milliseconds"
    if candle.open_time % interval_milliseconds(candle.interval):
        return f"does not start on the grid of {candle.interval}"
    if market_now and candle.close_time > market_now + AHEAD_MAX_MS:
        return f"closes at {candle.close_time}, when the market is at {market_now}"
    try:
        validate_bar(Bar(candle.open_time, *candle[3:]))
    except BadCandles as error:
        return str(error)
    if last_close and not 1 / JUMP_MAX < candle.low / last_close <= candle.high / last_close < JUMP_MAX:
        return f"goes from {candle.low:g} to {candle.high:g}, too far from the last close {last_close:g}"
    return ""
