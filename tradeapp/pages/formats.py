"""Numbers and moments as people read them: formatted here once, for pages and stream alike."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from decimal import ROUND_HALF_EVEN, Context, Decimal
from typing import Any, Final

# U+2212: as wide as a plus, and screen readers say "minus".
MINUS: Final = "\N{MINUS SIGN}"
NONE: Final = "\N{EN DASH}"
_CENT: Final = Decimal("0.01")
_THOUSANDTH: Final = Decimal("0.001")
_LIMITS: Final = (
    ("soft_loss_percent", "Soft cap %"),
    ("hard_loss_percent", "Hard cap %"),
    ("fall_percent", "Assumed fall %"),
    ("collar_percent", "Price collar %"),
    ("order_value_max", "Largest order"),
    ("orders_per_minute", "Entries a minute"),
    ("repeats_max", "Barren repeats"),
    ("volume_day_min", "Least traded a day"),
)
_ROUNDED: Final = Context(prec=60, rounding=ROUND_HALF_EVEN)


def quote(amount: Decimal | None) -> str:
    """Write an amount of quote: 9,882.31."""
    return NONE if amount is None else _signed(amount.quantize(_CENT, context=_ROUNDED), plus=False)


def gain(amount: Decimal | None) -> str:
    """Write a gain or loss, with its sign: +12.30."""
    return NONE if amount is None else _signed(amount.quantize(_CENT, context=_ROUNDED), plus=True)


def percent(ratio: Decimal | None) -> str:
    """Write a ratio as a percentage with its sign: +0.12 %."""
    return NONE if ratio is None else f"{_signed((ratio * 100).quantize(_CENT, context=_ROUNDED), plus=True)} %"


def edge(ratio: Decimal | None) -> str:
    """Write a ratio of which a hundredth of a per cent is much: +0.120 %."""
    if ratio is None:
        return NONE
    return f"{_signed((ratio * 100).quantize(_THOUSANDTH, context=_ROUNDED), plus=True)}\N{NO-BREAK SPACE}%"


def basis_points(value: float | None) -> str:
    """Write hundredths of a per cent with their sign: +1.20."""
    return NONE if value is None else gain(Decimal(f"{value:.6f}"))


def share(percents: Decimal) -> str:
    """Write a share that is in percent already: 20 %."""
    return f"{quantity(percents)} %"


def price(amount: Decimal | None, tick_size: Decimal) -> str:
    """Write a price by its tick."""
    if amount is None:
        return NONE
    return _signed(amount.quantize(tick_size.normalize() if tick_size < 1 else Decimal(1), context=_ROUNDED), plus=False)


def quantity(amount: Decimal | None) -> str:
    """Write a quantity with the digits it has."""
    if amount is None:
        return NONE
    text = f"{amount:,f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return text.replace("-", MINUS)


def moment(at: datetime | None) -> str:
    """Write a moment, always UTC: 2024-03-01 12:05."""
    return NONE if at is None else at.strftime("%Y-%m-%d %H:%M")


def tone(amount: Decimal | None) -> str:
    """Return what colour supports a gain or loss; the sign says it too."""
    if amount is None or not amount.quantize(_CENT, context=_ROUNDED):
        return ""
    return "gain" if amount > 0 else "loss"


def words(code: str) -> str:
    """Turn a reason code into words: GRID_WAITING becomes "Grid waiting", SIGNAL_NO_OPINION "No opinion"."""
    return code.removeprefix("SIGNAL_").replace("_", " ").capitalize()


def limit_fields(values: Mapping[str, Any], in_force: Mapping[str, Any]) -> list[dict[str, str]]:
    """Lay out limits as the fields of a form; what has no value of its own is empty and hints at what holds."""
    return [
        {"name": name, "label": label, "text": _bare(values.get(name)), "in_force": _bare(in_force[name])}
        for name, label in _LIMITS
    ]


def _bare(value: Decimal | int | None) -> str:
    return "" if value is None else quantity(Decimal(value)).replace(",", "")


def _signed(amount: Decimal, *, plus: bool) -> str:
    if amount == 0:
        amount = abs(amount)
    sign = MINUS if amount < 0 else "+" if plus and amount > 0 else ""
    return f"{sign}{abs(amount):,f}"
