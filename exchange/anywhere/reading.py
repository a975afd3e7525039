"""Turn ccxt's unified answers into ours; they are floats, so they decide and are never accounted with."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any, Final

import ccxt

from exchange.errors import ExchangeTrouble, Outcome
from exchange.moments import as_milliseconds
from exchange.ports import BookUpdate, ClosedCandle, Listing, PublicTrade, QuoteUpdate, Unreadable
from trading.instruments import Instrument

_UNREADABLE: Final = (KeyError, IndexError, ValueError, TypeError, ArithmeticError)
_ANY: Final = Decimal(10) ** 12
_STEP: Final = Decimal("0.00000001")
_BY_STATUS: Final = {418: Outcome.BANNED, 429: Outcome.BACKOFF_WEIGHT, 403: Outcome.BLOCKED}
# The most telling class first: ccxt's classes are each other's children.
_BY_CLASS: Final = (
    (ccxt.DDoSProtection, Outcome.BACKOFF_WEIGHT),
    (ccxt.RateLimitExceeded, Outcome.BACKOFF_WEIGHT),
    (ccxt.AccountSuspended, Outcome.REJECTED_ACCOUNT),
    (ccxt.AuthenticationError, Outcome.KEY_INVALID),
    (ccxt.BadSymbol, Outcome.REJECTED_MARKET),
    (ccxt.BadRequest, Outcome.REJECTED_REQUEST),
)


def outcome_of(error: Exception, status: int = 0) -> Outcome:
    """Say what an error means to someone who only reads: what is not on the list may be tried again."""
    if status in _BY_STATUS:
        return _BY_STATUS[status]
    return next((outcome for kind, outcome in _BY_CLASS if isinstance(error, kind)), Outcome.UNAVAILABLE)


def exact(value: Any) -> Decimal:
    """Turn a number of ccxt's into a Decimal, by what it prints as."""
    if value is None or isinstance(value, bool):
        raise ValueError("no number")
    number = Decimal(str(value))
    if not number.is_finite() or abs(number.adjusted()) > 18:
        raise ValueError(f"{value} is no amount")
    return number


def listings(markets: Iterable[Mapping[str, Any]]) -> list[Listing]:
    """Read every spot market; one whose steps nobody can read is left out."""
    found = (_listing(market) for market in markets if market.get("spot"))
    return [listing for listing in found if listing is not None]


def candle(symbol: str, interval: str, row: Any) -> ClosedCandle | Unreadable:
    """Read a row of candles."""
    try:
        opened = as_milliseconds(int(row[0]))
        values = [float(value) for value in row[1:6]]
        if opened is None or len(values) != 5 or not all(map(math.isfinite, values)):
            return Unreadable(symbol, f"No candle: {str(row)[:120]}")
        return ClosedCandle(symbol, interval, opened, *values)
    except _UNREADABLE as error:
        return Unreadable(symbol, f"No candle: {error!r}"[:200])


def quote(symbol: str, ticker: Mapping[str, Any], *, now_ms: int) -> QuoteUpdate | Unreadable:
    """Read bid and ask of a ticker; many exchanges say no time, then that of arrival stands in."""
    try:
        said = ticker.get("timestamp")
        at = now_ms if said is None else as_milliseconds(int(said))
        if at is None:
            return Unreadable(symbol, f"{said!r} is no time")
        return QuoteUpdate(symbol, exact(ticker["bid"]), exact(ticker["ask"]), at)
    except _UNREADABLE as error:
        return Unreadable(symbol, f"No quote: {error!r}"[:200])


def trade(symbol: str, row: Mapping[str, Any]) -> PublicTrade | Unreadable:
    """Read somebody's trade."""
    try:
        at = as_milliseconds(int(row["timestamp"]))
        price, quantity = exact(row["price"]), exact(row["amount"])
        if at is None or price <= 0 or quantity <= 0:
            return Unreadable(symbol, f"No trade: {price} for {quantity} at {row['timestamp']}")
        return PublicTrade(symbol, str(row["id"]), price, quantity, row.get("side") == "sell", at)
    except _UNREADABLE as error:
        return Unreadable(symbol, f"No trade: {error!r}"[:200])


def book(symbol: str, raw: Mapping[str, Any], *, levels: int) -> BookUpdate:
    """Read the top of an order book."""
    try:
        sides = [tuple((exact(row[0]), exact(row[1])) for row in list(raw[side])[:levels]) for side in ("bids", "asks")]
        return BookUpdate(symbol, sides[0], sides[1], int(raw.get("nonce") or 0))
    except _UNREADABLE as error:
        raise ExchangeTrouble(Outcome.UNAVAILABLE, f"This is no order book: {error!r}") from error


def _listing(market: Mapping[str, Any]) -> Listing | None:
    try:
        precision, limits = market["precision"], market["limits"]
        amount, cost = limits.get("amount") or {}, limits.get("cost") or {}
        instrument = Instrument(
            symbol=market["symbol"],
            base=market["base"],
            quote=market["quote"],
            tick_size=_or(precision.get("price"), _STEP),
            lot_size=_or(precision.get("amount"), _STEP),
            min_quantity=_or(amount.get("min"), _or(precision.get("amount"), _STEP)),
            max_quantity=_or(amount.get("max"), _ANY),
            min_notional=_or(cost.get("min"), Decimal(0)),
        )
    except _UNREADABLE:
        return None
    is_trading = market.get("active") is not False
    return Listing(instrument, str(market["id"]), {"precision": precision, "limits": limits}, 200, is_trading)


def _or(value: Any, otherwise: Decimal) -> Decimal:
    return otherwise if value is None else exact(value)
