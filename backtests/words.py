"""What people type on a command line: moments, numbers, the filters of a market."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation

from trading.instruments import Instrument


def moment_of(text: str) -> datetime:
    """Read a moment; one without a zone is UTC."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{text!r} is no date: write 2024-03-01 or 2024-03-01T12:00") from None
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)


def decimal_of(name: str, text: str) -> Decimal:
    """Read a number exactly."""
    try:
        return Decimal(text)
    except InvalidOperation:
        raise ValueError(f"{name} must be a number, not {text!r}") from None


def described_instrument(symbol: str, filters: str) -> Instrument:
    """Make a market from its symbol and `TICK,LOT,MIN_NOTIONAL`."""
    base, slash, quote = symbol.partition("@")[0].partition("/")
    parts = filters.split(",")
    if not (slash and base and quote) or len(parts) != 3:
        raise ValueError("--filters needs a symbol as BASE/QUOTE and three numbers: tick, lot, least notional")
    tick, lot, notional = (decimal_of("--filters", part) for part in parts)
    return Instrument(symbol, base, quote, tick, lot, lot, lot * 10**9, notional)
