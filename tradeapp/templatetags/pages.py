"""Words of the templates: figures that the stream keeps fresh, and formats."""

from __future__ import annotations

import re
from datetime import datetime
from decimal import Decimal
from typing import Any

from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString

from portfolio.models import Order
from tradeapp.pages import formats
from tradeapp.pages.figures import Figure

register = template.Library()
_FINGERPRINT = re.compile(r"[0-9a-f]{40,}")
_INTENTS = {"enter": "entry", "place": "limit"}

register.filter("quote", formats.quote)
register.filter("gain", formats.gain)
register.filter("percent", formats.percent)
register.filter("edge", formats.edge)
register.filter("bps", formats.basis_points)
register.filter("quantity", formats.quantity)
register.filter("price", formats.price)
register.filter("moment", formats.moment)
register.filter("words", formats.words)
register.filter("tone", formats.tone)


@register.simple_tag
def figure(figures: dict[str, Figure], *name: Any) -> SafeString:
    """Show a figure in an element that the stream finds by its name."""
    key = "".join(str(part) for part in name)
    found = figures.get(key) or Figure(None, formats.NONE)
    return format_html('<span class="figure {}" data-figure="{}">{}</span>', found.tone, key, found.text)


@register.simple_tag
def age(at: datetime | str | None, name: str = "") -> SafeString:
    """Show how long ago a moment of wall time was; the page counts on."""
    text = at.isoformat() if isinstance(at, datetime) else at or ""
    return format_html('<time class="age" datetime="{}" title="{}" data-age="{}">{}</time>', text, text, name, formats.NONE)


@register.simple_tag
def market_moment(at: datetime | None) -> SafeString:
    """Show a moment of market time."""
    if at is None:
        return format_html("{}", formats.NONE)
    return format_html('<time datetime="{}" title="Market time, UTC">{}</time>', at.isoformat(), formats.moment(at))


@register.filter
def facts(values: dict[str, Any]) -> list[tuple[str, str]]:
    """Return the facts beside a reason as names and short texts."""
    shown = []
    for name, value in values.items():
        if isinstance(value, dict):
            shown += facts(value)
        elif value not in (None, "", []):
            shown.append((name.replace("_", " "), _short(value)))
    return shown


def _short(value: Any) -> str:
    if isinstance(value, float):
        return formats.quantity(Decimal(f"{value:.6g}"))
    if isinstance(value, list):
        return ", ".join(str(part) for part in value)
    text = str(value)
    # A fingerprint is recognised by its first letters.
    return f"{text[:10]}…" if _FINGERPRINT.fullmatch(text) else text


@register.filter
def left(order: Order) -> Decimal:
    """Return what an order may still fill."""
    remaining: Decimal = order.quantity - order.filled_quantity
    return remaining


@register.filter
def purpose(order: Order) -> str:
    """Return what an order is for: entry, limit, exit, stop, flatten."""
    kind: str = order.intent.kind
    return _INTENTS.get(kind, kind)
