"""Frictions inside the compiled walk: slippage by volatility and size, fee tiers, ambiguous candles and their details."""

import math
from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from trading.bars import Candles, Floats, Times
from trading.compilation import compiled
from trading.costs import rate_ppm
from trading.frictions import FeeIn, Frictions, Rest
from trading.instruments import units
from trading.kernels.world import DAYS
from trading.strategy import CLOSE, HIGH, LOW, OPEN, Record

# Candles that volatility and mean volume are taken from, all closed when the order comes.
WINDOW: Final = 20
# Rows of the ticks below the four prices: how much closes move, the mean volume, and where a bar's details begin and end.
SIGMA: Final = CLOSE + 1
MEAN: Final = SIGMA + 1
BEGIN: Final = MEAN + 1
END: Final = BEGIN + 1
# In the columns of details.
DETAIL_TIME: Final = SIGMA
DEEPER: Final = 0
WAIT: Final = 1
CANCEL: Final = 2
REST_RULES: Final = {Rest.DEEPER: DEEPER, Rest.WAIT: WAIT, Rest.CANCEL: CANCEL}


def has_slippage(frictions: Frictions) -> bool:
    """Say whether slippage is to be read from the candles."""
    return frictions.slippage_volatility > 0 or frictions.slippage_impact > 0


def equip(world: Record, frictions: Frictions, taker_ppm: int, maker_ppm: int) -> None:
    """Tell a world what it has to take into account."""
    w = world[0]
    w.lock_ppm = max(taker_ppm, maker_ppm)
    if frictions.is_none:
        return
    w.is_rough = 1
    w.reads_moves = int(has_slippage(frictions))
    w.volatility_ppm = int(frictions.slippage_volatility * 1_000_000)
    w.impact_ppm = int(frictions.slippage_impact * 1_000_000)
    w.fee_in_quote = int(frictions.fee_in == FeeIn.QUOTE)
    w.rest_rule = REST_RULES[frictions.rest]
    w.latency_ms = frictions.latency_ms
    w.tier_count = len(frictions.fee_tiers)
    rows = [(0, taker_ppm, maker_ppm)]
    rows += [(units(tier.volume), rate_ppm(tier.taker_fee), rate_ppm(tier.maker_fee)) for tier in frictions.fee_tiers]
    for k, (volume, taker, maker) in enumerate(rows):
        w.tiers[k].volume, w.tiers[k].taker_ppm, w.tiers[k].maker_ppm = volume, taker, maker
        w.lock_ppm = max(int(w.lock_ppm), taker, maker)


def moves_of(closes: Floats, lots: Times) -> tuple[Times, Times]:
    """Answer, per candle, what the closes before it moved by, in millionths, and the mean of their volumes."""
    count = len(closes)
    moves = np.zeros(count)
    np.square(np.diff(np.log(closes)), out=moves[1:])
    ends = np.arange(count)
    starts = np.maximum(0, ends - WINDOW)
    # The first close has moved from nowhere.
    known = np.maximum(1, ends - np.maximum(1, starts))
    total = np.concatenate(([0.0], np.cumsum(moves)))
    sigma = np.sqrt(np.maximum(0.0, total[ends] - total[starts]) / known)
    volume = np.concatenate(([0], np.cumsum(lots)))
    mean = (volume[ends] - volume[starts]) // np.maximum(1, ends - starts)
    return np.rint(sigma * 1e6).astype(np.int64), mean.astype(np.int64)


def details_of(base: Candles, ticks: Times, detail: Candles, detail_ticks: Times) -> tuple[Times, Times]:
    """Answer, per base candle, which detail candles make it up; none where they are not whole or tell something else."""
    begins = np.searchsorted(detail.times, base.times)
    ends = np.searchsorted(detail.times, base.times + base.interval_ms)
    whole = ends - begins == base.interval_ms // detail.interval_ms
    ends = np.where(whole, ends, begins)
    there = np.flatnonzero(whole)
    parts = detail_ticks[:, begins[there, np.newaxis] + np.arange(base.interval_ms // detail.interval_ms)]
    told = np.array([parts[OPEN, :, 0], parts[HIGH].max(axis=1), parts[LOW].min(axis=1), parts[CLOSE, :, -1]])
    differs = there[(told != ticks[:, there]).any(axis=0)]
    ends[differs] = begins[differs]
    return begins.astype(np.int64), ends.astype(np.int64)


def lay_ticks(
    rows: Sequence[tuple[Candles, Times, Times]], grid: Times, frictions: Frictions, details: Sequence[tuple[Candles, Times]]
) -> Times:
    """Lay the prices of all markets side by side, `[field][market][bar]`; zero where a candle is missing.

    Each row is a market's candles, their ticks and lots. Where slippage is read from the candles, or details are
    there, further rows hold what a bar brings, and columns beyond the bars the details with their times.
    """
    bars, fields = len(grid), CLOSE + 1
    if has_slippage(frictions) or details:
        fields = END + 1
    laid = np.zeros((fields, len(rows), bars + max((len(detail) for detail, _ in details), default=0)), dtype=np.int64)
    for k, (base, ticks, lots) in enumerate(rows):
        there = np.searchsorted(grid, base.times)
        laid[: CLOSE + 1, k, there] = ticks
        if has_slippage(frictions):
            laid[SIGMA, k, there], laid[MEAN, k, there] = moves_of(ticks[CLOSE].astype(np.float64), lots)
        if details:
            detail, finer = details[k]
            laid[BEGIN, k, there], laid[END, k, there] = (bars + found for found in details_of(base, ticks, detail, finer))
            laid[: CLOSE + 1, k, bars : bars + len(detail)] = finer
            laid[DETAIL_TIME, k, bars : bars + len(detail)] = detail.times
    return laid


@compiled
def meet_day(w: Any, at: int) -> None:
    """Close the days that are over, and take the fees of what the last 30 of them traded."""
    day = at // 86_400_000
    if w.tier_count == 0 or day == w.day:
        return
    if w.day > 0:
        w.volumes[w.day % DAYS] = w.volume_today
        for missed in range(w.day + 1, min(day, w.day + DAYS + 1)):
            w.volumes[missed % DAYS] = 0
    w.volume_today = 0
    w.day = day
    traded = 0
    for k in range(DAYS):
        traded += w.volumes[k]
    for k in range(w.tier_count + 1):
        if traded >= w.tiers[k].volume:
            w.taker_ppm = w.tiers[k].taker_ppm
            w.maker_ppm = w.tiers[k].maker_ppm
    w.is_told = 0


@compiled
def slippage_of(w: Any, lots: int) -> int:
    """Answer the slippage of a market order in millionths."""
    slippage = w.slippage_ppm + (w.volatility_ppm * w.sigma_ppm) // 1_000_000
    if w.impact_ppm > 0:
        size = lots / max(w.mean_lots, 1)
        slippage += int(w.impact_ppm * (w.sigma_ppm / 1_000_000) * math.sqrt(size))
    return int(slippage)
