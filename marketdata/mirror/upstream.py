"""What must be known of a real exchange before the local venue can show its prices."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from exchange.errors import ExchangeTrouble, Outcome
from exchange.ports import Listing, MarketPort, QuoteUpdate, StreamOpen

STREAM_SECONDS: Final = 10.0
# What the first bots trade; of the others those that are listed.
NEEDED: Final = ("BTC/USDT", "ETH/USDT")
WANTED: Final = (
    *NEEDED, "BNB/USDT", "SOL/USDT", "XRP/USDT", "ADA/USDT", "DOGE/USDT", "AVAX/USDT", "LINK/USDT", "DOT/USDT", "LTC/USDT",
)  # fmt: skip
TITLES: Final = {"binance": "Binance", "binanceus": "Binance.US", "coinbase": "Coinbase", "kraken": "Kraken"}


def title(exchange: str) -> str:
    """Name an exchange as people do."""
    return TITLES.get(exchange, exchange)


async def learn(port: MarketPort, exchange: str, wanted: Sequence[str] = WANTED) -> dict[str, Any]:
    """Ask what is listed, and see that candles and quotes are answered. Raises ExchangeTrouble."""
    found = {item.instrument.symbol: item for item in await port.instruments() if item.is_trading}
    missing = [name for name in NEEDED if name not in found]
    if missing:
        raise ExchangeTrouble(Outcome.REJECTED_MARKET, f"{title(exchange)} does not list {' and '.join(missing)}")
    chosen = [found[name] for name in wanted if name in found]
    quotes = await port.quotes(NEEDED)
    if len(quotes) < len(NEEDED):
        raise ExchangeTrouble(Outcome.UNAVAILABLE, f"{title(exchange)} answers no quotes of {' and '.join(NEEDED)}")
    market_ms = max(quote.market_ms for quote in quotes)
    if not await port.candles(NEEDED[0], "1m", market_ms - 3_600_000, 60):
        raise ExchangeTrouble(Outcome.UNAVAILABLE, f"{title(exchange)} answers no candles of the last hour")
    await _demand_stream(port, exchange)
    return {
        "exchange": exchange,
        "title": title(exchange),
        "market_ms": market_ms,
        "listings": [_row(item) for item in chosen],
    }


async def _demand_stream(port: MarketPort, exchange: str) -> None:
    """See that the stream of quotes opens: an address may answer questions and still tell nothing."""
    try:
        async with asyncio.timeout(STREAM_SECONDS):
            async for event in port.watch_quotes(NEEDED):
                if isinstance(event, StreamOpen | QuoteUpdate):
                    return
    except TimeoutError:
        raise ExchangeTrouble(Outcome.UNAVAILABLE, f"{title(exchange)} opens no stream of quotes") from None


def write(path: Path, facts: dict[str, Any]) -> None:
    """Write what was learned, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}")
    draft.write_text(json.dumps(facts, indent=1), encoding="utf-8")
    draft.replace(path)


def _row(item: Listing) -> dict[str, str]:
    instrument = item.instrument
    return {
        "symbol": instrument.symbol.replace("/", ""),
        "tick": _text(instrument.tick_size),
        "step": _text(instrument.lot_size),
        "min_quantity": _text(instrument.min_quantity),
        "max_quantity": _text(instrument.max_quantity),
        "min_notional": _text(instrument.min_notional),
    }


def _text(amount: Any) -> str:
    return f"{amount:.8f}"
