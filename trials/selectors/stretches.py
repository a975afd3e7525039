"""How far back the stored candles of bots reach: where a simulated trial can begin."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from bots.models import Bot
from bots.selectors import instruments_of
from marketdata.selectors import first_candle_at
from strategies import registry
from strategies.sources import UnknownStrategy
from trading.bars import interval_milliseconds

_DAY = timedelta(days=1)


def warm_up(strategy: str, params: dict[str, Any], interval: str) -> timedelta:
    """Return how much market time a strategy sees before its first turn."""
    made: Any = registry.make_params(strategy, params, interval)
    return timedelta(milliseconds=interval_milliseconds(interval)) * (registry.definition(strategy).warmup_bars(made) + 1)


def earliest_begin(bots: Sequence[Bot]) -> datetime | None:
    """Return the first midnight at which every bot is warm with the candles in the database.

    None where one has no candles, or a strategy that cannot be run.
    """
    try:
        return _earliest_begin(bots)
    except UnknownStrategy:
        return None


def _earliest_begin(bots: Sequence[Bot]) -> datetime | None:
    warm = []
    for bot, instruments in ((bot, instruments_of([bot.pk])[bot.pk]) for bot in bots):
        for instrument in instruments:
            first = first_candle_at(instrument_id=instrument.pk, interval=bot.interval)
            if first is None:
                return None
            warm.append(first + warm_up(bot.strategy, bot.params, bot.interval))
    if not warm:
        return None
    latest = max(warm)
    midnight = latest.replace(hour=0, minute=0, second=0, microsecond=0)
    return midnight if midnight == latest else midnight + _DAY
