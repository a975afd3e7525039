"""Open a port to an exchange. Its client is imported here and not earlier: it costs seconds."""

from __future__ import annotations

from typing import Final

from exchange.ports import KeyPermissions, MarketPort, TradingPort
from exchange.profiles import BINANCE, LOCAL_VENUE, VenueProfile
from exchange.rights import TRADE, demand_rights

_SPEAKING_BINANCE: Final = ("binance",)


class UnknownExchange(ValueError):
    """Raised for an exchange that nobody has written an adapter for."""


def trading_port(
    *, exchange: str, key: str, secret: str, rest_url: str = "", stream_url: str = "", is_local: bool = False
) -> TradingPort:
    """Open the port of one account. Needs a running event loop."""
    _check(exchange)
    from exchange.binance.trading import BinanceTrading

    return BinanceTrading(profile=profile(is_local=is_local), key=key, secret=secret, rest_url=rest_url, stream_url=stream_url)


def market_port(*, exchange: str, rest_url: str = "", stream_url: str = "") -> MarketPort:
    """Open the port of a public market. Needs a running event loop."""
    _check(exchange)
    from exchange.binance.market import BinanceMarket

    return BinanceMarket(profile=BINANCE, rest_url=rest_url, stream_url=stream_url)


def profile(*, is_local: bool) -> VenueProfile:
    """Return the time bounds: only the local venue promises to show at once what it did."""
    return LOCAL_VENUE if is_local else BINANCE


def check_permissions(permissions: KeyPermissions) -> None:
    """Refuse a key that can move money out, or that cannot trade (S01)."""
    demand_rights(permissions, role=TRADE)


def _check(exchange: str) -> None:
    if exchange not in _SPEAKING_BINANCE:
        raise UnknownExchange(f"No adapter speaks to {exchange!r}. Known: {', '.join(_SPEAKING_BINANCE)}.")
