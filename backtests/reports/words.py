"""Write figures as people read them: a true minus, thousands apart, a dash for what is not known."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final

from backtests.spec import USUAL_PARTICIPATION

MINUS: Final = "\N{MINUS SIGN}"
NONE: Final = "\N{EN DASH}"
_SPANS: Final = (("d", 86_400_000), ("h", 3_600_000), ("min", 60_000), ("s", 1_000))


def figure(value: float | None, digits: int = 2) -> str:
    """Write a figure: 1,234.50."""
    return NONE if value is None else _minus(f"{value:,.{digits}f}")


def share(value: float | None, digits: int = 1) -> str:
    """Write a share as a percentage, without its sign of gain: 12.5 %."""
    return NONE if value is None else f"{_minus(f'{value * 100:,.{digits}f}')} %"


def change(value: float | None, digits: int = 1) -> str:
    """Write a share that was gained or lost: +12.5 %."""
    return NONE if value is None else f"{_minus(f'{value * 100:+,.{digits}f}')} %"


def amount(value: str | Decimal | float | None) -> str:
    """Write an amount of quote: 9,882.31."""
    return NONE if value is None else _minus(f"{Decimal(value):,.2f}")


def gain(value: str | Decimal | float | None) -> str:
    """Write what was gained or lost: +12.30."""
    return NONE if value is None else _minus(f"{Decimal(value):+,.2f}")


def multiple(value: float | None, digits: int = 2) -> str:
    """Write a multiple of what was risked at first: +0.42 R."""
    return NONE if value is None else f"{_minus(f'{value:+,.{digits}f}')} R"


def interval(low: float | None, high: float | None, write: Callable[[float], str]) -> str:
    """Write an interval: 0.21 to 0.93; nothing where there is none."""
    return "" if low is None or high is None else f"{write(low)} to {write(high)}"


def frictions(told: Mapping[str, Any]) -> str:
    """Name the frictions that a backtest took into account beside its fixed rates."""
    parts = []
    if "slippage_volatility" in told or "slippage_impact" in told:
        moved, size = (Decimal(told.get(name, 0)) for name in ("slippage_volatility", "slippage_impact"))
        parts.append(f"slippage of {moved:f} volatilities, and {size:f} for an order as large as a mean candle")
    for tier in told.get("fee_tiers", ()):
        taker, maker = (f"{Decimal(tier[name]) * 10_000:f} bp" for name in ("taker_fee", "maker_fee"))
        parts.append(f"from {amount(tier['volume'])} traded in 30 days on taker {taker}, maker {maker}")
    if "latency_ms" in told:
        parts.append(f"orders on their way for {told['latency_ms']:,} ms")
    return "; ".join(parts) or "none"


def assumed_frictions(participation: Any, told: Mapping[str, Any]) -> str:
    """Name thin candles and frictions where they are not as usual, to stand behind other conditions; else nothing."""
    parts = [] if Decimal(participation) == USUAL_PARTICIPATION else [f"{share(float(participation))} of a candle's volume"]
    parts += [f"rest of a market order: {told['rest']}"] if "rest" in told else []
    parts += ["fees in quote"] if told.get("fee_in") == "quote" else []
    parts += [frictions(told)] if frictions(told) != "none" else []
    return "".join(f" · {part}" for part in parts)


def span(milliseconds: float | None) -> str:
    """Write how long something took, in its two largest units: 3 d 4 h."""
    if milliseconds is None:
        return NONE
    rest, parts = int(milliseconds), []
    for unit, length in _SPANS:
        count, rest = divmod(rest, length)
        if count:
            parts.append(f"{count} {unit}")
        elif parts:
            break
    return " ".join(parts[:2]) or "0 s"


def day(at: int | None) -> str:
    """Write the day of a moment: 2024-03-01."""
    return NONE if at is None else _moment(at).strftime("%Y-%m-%d")


def minute(at: int | None) -> str:
    """Write a moment, always UTC: 2024-03-01 12:05."""
    return NONE if at is None else _moment(at).strftime("%Y-%m-%d %H:%M")


def tone(value: float | None) -> str:
    """Name the colour that supports a gain or loss; the sign says it too."""
    return "" if not value else "gain" if value > 0 else "loss"


def _moment(at: int) -> datetime:
    return datetime.fromtimestamp(at / 1000, tz=UTC)


def _minus(text: str) -> str:
    return text.replace("-", MINUS)
