"""A whole account of five shipped strategies for a year, in every mode: what is timed alone and beside other engines."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

from backtests.candle_files import read_candles
from bench.peers.market import random_walk
from strategies import registry
from trading.accounts.plan import AccountBot, AccountPlan, Shares, Turns, Version, single
from trading.bars import Candles, interval_milliseconds
from trading.handover import Mode
from trading.instruments import Instrument
from trading.risk import opening_limits
from trading.rotation_text import parse_rotation

MARKETS = {
    "BTC/USDT": Instrument("BTC/USDT", "BTC", "USDT", *map(Decimal, ("0.01", "0.00001", "0.00001", "9000", "5"))),
    "ETH/USDT": Instrument("ETH/USDT", "ETH", "USDT", *map(Decimal, ("0.01", "0.0001", "0.0001", "9000", "5"))),
}
INTERVAL = "15m"
BEGIN_AT, END_AT = datetime(2024, 1, 8, tzinfo=UTC), datetime(2025, 1, 1, tzinfo=UTC)
WARM_FROM = datetime(2024, 1, 1, tzinfo=UTC)
CAPITAL = Decimal("9882.30")
BOTS = {
    "mean_reversion": "BTC/USDT",
    "sasha_hybrid": "BTC/USDT",
    "grid": "ETH/USDT",
    "triple_ema": "BTC/USDT",
    "ema_ribbon": "ETH/USDT",
}
WEEK = "zone UTC\n" + "\n".join(
    f"daily {hours} {name} flatten"
    for hours, name in zip(("00:00-05:00", "05:00-10:00", "10:00-15:00", "15:00-20:00", "20:00-24:00"), BOTS, strict=True)
)


def bot_bars() -> int:
    """Count the candles that all bots together step."""
    return int((END_AT - BEGIN_AT).total_seconds() * 1000) // interval_milliseconds(INTERVAL) * len(BOTS)


def candles_of(folder: Path | None) -> dict[str, Candles]:
    """Read a year of candles of both markets from a folder, or draw random walks as long."""
    begin, end = (int(at.timestamp()) * 1000 for at in (WARM_FROM, END_AT))
    if folder is not None:
        return {symbol: read_candles(folder, symbol=symbol, interval=INTERVAL, begin=begin, end=end) for symbol in MARKETS}
    length = interval_milliseconds(INTERVAL)
    bars = (end - begin) // length
    return {
        symbol: random_walk(bars=bars, seed=seed, interval_ms=length, start=start)
        for seed, (symbol, start) in enumerate(zip(MARKETS, (60_000.0, 3_000.0), strict=True), start=1)
    }


def plans(candles: dict[str, Candles]) -> dict[str, AccountPlan]:
    """Put the same five bots into every mode."""
    bots = tuple(
        AccountBot(
            key=name,
            definition=registry.definition(name),
            params=registry.make_params(name, {}, INTERVAL),
            interval_ms=interval_milliseconds(INTERVAL),
            instruments=(MARKETS[symbol],),
            candles=(candles[symbol],),
        )
        for name, symbol in BOTS.items()
    )
    ways: dict[str, Shares | Turns] = {
        "percentage": Shares(versions=(Version(at=BEGIN_AT, percents=dict.fromkeys(BOTS, Decimal(20))),)),
        "rotation": Turns(mode=Mode.ROTATION, rotation=parse_rotation(WEEK)),
        "single": single("grid"),
    }
    return {
        name: AccountPlan(
            name=name,
            bots=bots,
            sharing=way,
            capital=CAPITAL,
            begin_at=BEGIN_AT,
            end_at=END_AT,
            limits=opening_limits(CAPITAL),
        )
        for name, way in ways.items()
    }
