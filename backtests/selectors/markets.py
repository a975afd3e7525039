"""Which stored market a backtest means, its filters and its candles.

`BTC/USDT` is that of the exchange that is traded on, of several the one that was there first; `BTC/USDT@kraken` is the
newest of another exchange, and `BTC/USDT@2` the market of that number.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Final

import numpy as np
from django.conf import settings

from backtests import candle_files
from backtests.spec import milliseconds
from marketdata import selectors as marketdata
from marketdata.history.catalog import NoHistory
from marketdata.history.columns import candle_columns
from marketdata.models import Instrument as StoredInstrument
from marketdata.models import Market
from trading.bars import Candles, interval_milliseconds
from trading.instruments import Instrument, UnknownSymbol, find_instrument

USUAL_EXCHANGE: Final = "binance"


def known_instrument(text: str) -> Instrument:
    """Find the instrument that a person means; UnknownSymbol says which there are."""
    symbol, _, place = text.partition("@")
    # Of two markets that list a symbol the last one counts there.
    found = find_instrument(symbol, [marketdata.filters_of(instrument) for instrument in reversed(_listed(place))])
    return replace(found, symbol=f"{found.symbol}@{place}") if place else found


def known_instruments(texts: Sequence[str]) -> list[Instrument]:
    """Find several that share a purse; UnknownSymbol also where two words mean one market."""
    found = [known_instrument(text) for text in texts]
    stored = [stored_instrument(one.symbol) for one in found]
    if len({one.pk for one in stored if one is not None}) < len(found):
        raise UnknownSymbol(f"{', '.join(texts)}: two of these are one market")
    return found


def stored_instrument(text: str) -> StoredInstrument | None:
    """Find the stored instrument of a symbol, exactly as `known_instrument` names it."""
    symbol, _, place = text.partition("@")
    return next((instrument for instrument in _listed(place) if instrument.symbol == symbol), None)


def load_candles(*, folder: str, symbol: str, interval: str, begin_at: datetime, end_at: datetime) -> Candles:
    """Load candles from a folder, or from the database, or from the history on disk where the database has none."""
    begin, end = milliseconds(begin_at) or 0, milliseconds(end_at) or 0
    if folder:
        root = Path(folder)
        if not any(root.glob("parquet/exchange=*")):
            return candle_files.read_candles(root, symbol=symbol, interval=interval, begin=begin, end=end)
        return _from_history(root, symbol=symbol, interval=interval, begin=begin, end=end)
    stored = stored_instrument(symbol)
    if stored is not None:
        panel = marketdata.candle_panel(instrument_ids=[stored.id], interval=interval, begin_at=begin_at, end_at=end_at)
        there = ~np.isnan(panel.values[0, 0])
        if there.any():
            values = np.ascontiguousarray(panel.values[:, 0, there])
            return Candles(interval_milliseconds(interval), panel.times[there], values)
    return _from_history(settings.HISTORY_ROOT, symbol=symbol, interval=interval, begin=begin, end=end)


def _listed(place: str) -> list[StoredInstrument]:
    """List what a place lists, the best first: markets that are traded on in the order of their numbers, then the newest."""
    stored = StoredInstrument.objects.select_related("market")
    if place:
        stored = stored.filter(market=int(place)) if _is_number(place) else stored.filter(market__exchange=place)
    traded = set(marketdata.markets_traded())
    found = sorted(stored, key=lambda one: (one.market_id not in traded, one.market_id * (1 if one.market_id in traded else -1)))
    if place and not found:
        known = ", ".join(f"@{market.exchange} (@{market.pk})" for market in Market.objects.order_by("pk"))
        raise UnknownSymbol(f"No market @{place} lists anything. Known: {known or 'none'}.")
    return found


def _is_number(place: str) -> bool:
    # As long as the number of a row may be.
    return place.isascii() and place.isdigit() and len(place) < 10


def _from_history(root: Path, *, symbol: str, interval: str, begin: int, end: int) -> Candles:
    name, _, place = symbol.partition("@")
    exchange = _listed(place)[0].market.exchange if _is_number(place) else place or USUAL_EXCHANGE
    try:
        found = candle_columns(root, symbol=name, interval=interval, begin_ms=begin, end_ms=end, exchange=exchange)
    except NoHistory as error:
        raise candle_files.NoCandles(f"No {interval} candles of {symbol} in that stretch: {error}") from error
    # Kernels are compiled for arrays of one kind: whole and writable, not views of a mapped file.
    values = np.require(found.values, requirements=["C", "W", "O"])
    return Candles(found.interval_ms, np.require(found.times, requirements=["C", "W", "O"]), values)
