"""Buy a coin as it breaks out: above its highest high, out of a squeeze, or with a bar that outgrew the last."""

import math
from typing import Any, Final

from strategies import answers, lifecycle
from trading.bars import Floats
from trading.compilation import compiled
from trading.indicators import WINDOW_RING, bollinger, highest, lowest, percentile_rank
from trading.strategy import CLOSE, HIGH, LOW, OPEN, Reason, Record

DONCHIAN: Final = 1
SQUEEZE: Final = 2

CHANNEL_MOST: Final = 100
BAND: Final = 20
BAND_DEVIATIONS: Final = 2.0
WIDTHS: Final = 120

BREAKOUT_FIELDS: Final = [
    ("top_memory", "f8", (WINDOW_RING + CHANNEL_MOST,)),
    ("bottom_memory", "f8", (WINDOW_RING + CHANNEL_MOST,)),
    ("band_memory", "f8", (WINDOW_RING + BAND,)),
    ("width_memory", "f8", (WINDOW_RING + WIDTHS,)),
    # The channel without the bar that is judged by it.
    ("channel_high", "f8"),
    ("channel_low", "f8"),
    ("next_high", "f8"),
    ("next_low", "f8"),
    ("band_high", "f8"),
    ("band_middle", "f8"),
    ("width_rank", "f8"),
    ("width_rank_before", "f8"),
    ("rise", "f8"),
    ("span_before", "f8"),
    ("span", "f8"),
    ("units_held", "i8"),
    ("next_unit", "f8"),
    ("is_out", "i8"),
    ("was_out", "i8"),
]


@compiled
def observe(me: Any, panel: Floats, i: int, symbol: int, p: Any) -> None:
    """Fold the candle into channel, band and spans."""
    high, low, close = panel[HIGH, symbol, i], panel[LOW, symbol, i], panel[CLOSE, symbol, i]
    first = me.bars_seen == 1
    me.channel_high = math.nan if first else me.next_high
    me.channel_low = math.nan if first else me.next_low
    me.next_high = highest(me.top_memory, high, p.channel)
    me.next_low = lowest(me.bottom_memory, low, p.exit_channel)
    _, me.band_middle, me.band_high, sigma = bollinger(me.band_memory, close, BAND, BAND_DEVIATIONS)
    me.width_rank_before = math.nan if first else me.width_rank
    if math.isnan(sigma):
        me.width_rank = math.nan
    else:
        me.width_rank = percentile_rank(me.width_memory, sigma / me.band_middle, WIDTHS)
    me.span_before = math.nan if first else me.span
    me.span = high - low
    me.rise = close - panel[OPEN, symbol, i]
    me.was_out = me.is_out
    if not math.isnan(me.channel_high):
        me.is_out = 1 if close > me.channel_high else 0
    if me.holding == 0:
        me.units_held = 0


@compiled
def speak(me: Any, money: Any, symbol: int, p: Any, close: float, decisions: Record) -> int:
    """Mind what is held, or look for a breakout."""
    if me.holding == 1:
        return _mind(me, money, symbol, p, close, decisions)
    unknown = math.isnan(me.channel_high + me.channel_low + me.range_now + me.width_rank_before + me.span_before)
    if unknown or money.equity <= 0.0:
        return _hold(me, Reason.SIGNAL_WARMING_UP.value, close, decisions)
    if me.cooldown > 0:
        return _hold(me, Reason.COOLDOWN_ACTIVE.value, close, decisions)
    reason = _reason(me, p, close)
    me.may_retry = 0
    if reason == Reason.NONE.value:
        return _hold(me, Reason.SIGNAL_NO_OPINION.value, close, decisions)
    stop = close - p.stop_atr * me.range_now if p.stop_atr > 0.0 else 0.0
    lifecycle.plan_entry(me, stop, 0.0)
    me.units_held = 1
    me.next_unit = close + p.unit_atr * me.range_now
    units = p.units if p.mode == DONCHIAN else 1
    terms = (p.share / units, p.risk_share, stop)
    return answers.enter(decisions, reason, terms, close, me.channel_high, me.channel_low, me.range_now)


@compiled
def _reason(me: Any, p: Any, close: float) -> int:
    if p.mode == DONCHIAN:
        return Reason.SIGNAL_ENTRY_BREAKOUT.value if me.is_out == 1 and me.was_out == 0 else Reason.NONE.value
    if p.mode == SQUEEZE:
        squeezed = me.width_rank_before < p.squeeze_rank
        return Reason.SIGNAL_ENTRY_SQUEEZE.value if squeezed and close > me.band_high else Reason.NONE.value
    return Reason.SIGNAL_ENTRY_BREAKOUT.value if me.rise > p.surge * me.span_before > 0.0 else Reason.NONE.value


@compiled
def _mind(me: Any, money: Any, symbol: int, p: Any, close: float, decisions: Record) -> int:
    mended = lifecycle.mend_stop(me, money, symbol, decisions, close)
    if mended:
        return mended
    if p.mode != DONCHIAN and p.mode != SQUEEZE:
        # What a surge brought is sold at the next open.
        return _leave(me, Reason.SIGNAL_EXIT_TIME.value, close, decisions)
    if close < me.channel_low:
        return _leave(me, Reason.SIGNAL_EXIT_CHANNEL.value, close, decisions)
    if p.mode == DONCHIAN and me.units_held < p.units and close >= me.next_unit:
        me.units_held += 1
        me.next_unit = close + p.unit_atr * me.range_now
        me.stop = max(me.stop, close - p.stop_atr * me.range_now) if p.stop_atr > 0.0 else 0.0
        terms = (p.share * me.units_held / p.units, p.risk_share, me.stop)
        reason = Reason.SIGNAL_ENTRY_PYRAMID.value
        return answers.enter(decisions, reason, terms, close, me.channel_high, me.channel_low, me.range_now)
    return _hold(me, Reason.POSITION_HELD.value, close, decisions)


@compiled
def _hold(me: Any, reason: int, close: float, decisions: Record) -> int:
    return answers.hold(decisions, reason, close, me.channel_high, me.channel_low, me.range_now)


@compiled
def _leave(me: Any, reason: int, close: float, decisions: Record) -> int:
    return answers.leave(decisions, reason, close, me.channel_high, me.channel_low, me.range_now)
