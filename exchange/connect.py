"""Open a port to an exchange. Its client is imported here and not earlier: it costs seconds."""

from __future__ import annotations

from typing import Any, Final

from exchange.ports import KeyPermissions, MarketPort, TradingPort, TransferPort
from exchange.profiles import BINANCE, BINANCE_US, COINBASE, LOCAL_VENUE, VenueProfile
from exchange.rights import TRADE, demand_rights

# Those whose adapter has passed the contract (tests/exchange/test_contract.py). Nothing else may trade.
TRADABLE: Final = {"binance": BINANCE, "binanceus": BINANCE_US, "coinbase": COINBASE}
TRANSFERRING: Final = frozenset({"binance"})
# Those that speak Binance's protocol.
_BINANCE_LIKE: Final = frozenset(("binance", "binanceus"))


class UnknownExchange(ValueError):
    """Raised for an exchange that ccxt does not know."""

    code = "EXCHANGE_UNKNOWN"


class ReadOnlyExchange(ValueError):
    """Raised for an exchange whose adapter has not passed the contract: its market may be read, no order may leave."""

    code = "EXCHANGE_READ_ONLY"


def demand_tradable(exchange: str) -> None:
    """Refuse an exchange that no adapter of ours may trade on."""
    if exchange not in TRADABLE:
        raise ReadOnlyExchange(
            f"{exchange} is read-only here: its adapter has not passed the contract. Tradable: {', '.join(sorted(TRADABLE))}."
        )


def trading_port(
    *, exchange: str, key: str, secret: str, rest_url: str = "", stream_url: str = "", is_local: bool = False, uid: str = ""
) -> TradingPort:
    """Open the port of one account, bound to its number at the exchange. Needs a running event loop."""
    demand_tradable(exchange)
    terms = profile(exchange=exchange, is_local=is_local)
    if exchange not in _BINANCE_LIKE:
        from exchange.coinbase.trading import CoinbaseTrading

        return CoinbaseTrading(profile=terms, key=key, secret=secret, rest_url=rest_url, stream_url=stream_url, uid=uid)
    from exchange.binance.trading import BinanceTrading
    from exchange.binance.wire import wire_of

    return BinanceTrading(
        profile=terms,
        key=key,
        secret=secret,
        rest_url=rest_url,
        stream_url=stream_url,
        wire_class=wire_of(exchange),
        uid=uid,
    )


def transfer_port(
    *, exchange: str, key: str, secret: str, rest_url: str = "", stream_url: str = "", is_local: bool = False, uid: str = ""
) -> TransferPort:
    """Open the port that moves money between a master and its sub-accounts. Needs a running event loop."""
    if exchange not in TRANSFERRING:
        raise ReadOnlyExchange(f"Money moves between sub-accounts on {', '.join(sorted(TRANSFERRING))} only, not on {exchange}.")
    from exchange.binance.transfers import BinanceTransfers

    return BinanceTransfers(
        profile=profile(exchange=exchange, is_local=is_local),
        key=key,
        secret=secret,
        rest_url=rest_url,
        stream_url=stream_url,
        uid=uid,
    )


def market_port(
    *, exchange: str, rest_url: str = "", stream_url: str = "", addresses: dict[str, Any] | None = None
) -> MarketPort:
    """Open the port of a public market, of any exchange that ccxt knows. Needs a running event loop.

    `addresses` replaces all of ccxt's own, for an exchange that is read through ccxt's unified methods.
    """
    if exchange in _BINANCE_LIKE:
        from exchange.binance.market import BinanceMarket
        from exchange.binance.wire import wire_of

        return BinanceMarket(profile=TRADABLE[exchange], rest_url=rest_url, stream_url=stream_url, wire_class=wire_of(exchange))
    import ccxt.pro

    if exchange not in ccxt.pro.exchanges:
        raise UnknownExchange(f"ccxt knows no exchange {exchange!r}.")
    from exchange.anywhere.market import AnyMarket

    if exchange == "coinbase" and rest_url:
        addresses = {"rest": rest_url, "ws": f"{stream_url}/ws"}
    return AnyMarket(exchange=exchange, addresses=addresses)


def profile(*, exchange: str = "binance", is_local: bool) -> VenueProfile:
    """Return the time bounds: only the local venue promises to show at once what it did."""
    return LOCAL_VENUE if is_local else TRADABLE[exchange]


def buy_fee_quote_ppm(exchange: str, *known_ppm: int) -> int:
    """Return what an exchange may take of a buy in quote, in millionths: the most it takes, or more where more is known.

    Zero where it takes its fee elsewhere. The fee of an order that rests may rise with the account's tier, so the tier of
    today proves nothing.
    """
    terms = TRADABLE.get(exchange)
    return max(terms.buy_fee_quote_ppm, *known_ppm) if terms is not None and terms.buy_fee_quote_ppm else 0


def check_permissions(permissions: KeyPermissions) -> None:
    """Refuse a key that can move money out, or that cannot trade (S01)."""
    demand_rights(permissions, role=TRADE)
