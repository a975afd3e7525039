"""Figures by name: value, text and tone, made once on the server for pages and stream alike."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from marketdata.schemas import plain
from portfolio.selectors import BookNumbers, PositionNumbers
from portfolio.selectors.worth import Worth
from tradeapp.pages import formats


@dataclass(frozen=True, slots=True)
class Figure:
    """What stands in one place of a page. `value` is exact, `text` is what people read."""

    value: str | None
    text: str
    tone: str = ""


Figures = dict[str, Figure]


def as_data(figures: Mapping[str, Figure]) -> dict[str, Any]:
    """Return figures as JSON data."""
    return {name: asdict(figure) for name, figure in figures.items()}


def amount(value: Decimal | None) -> Figure:
    """Show an amount of quote."""
    return Figure(_exact(value), formats.quote(value))


def gain(value: Decimal | None) -> Figure:
    """Show a gain or loss."""
    return Figure(_exact(value), formats.gain(value), formats.tone(value))


def ratio(value: Decimal | None) -> Figure:
    """Show a ratio as a percentage."""
    return Figure(_exact(value), formats.percent(value), formats.tone(None if value is None else value * 100))


def moment(value: datetime | None) -> Figure:
    """Show a moment."""
    return Figure(None if value is None else value.isoformat(), formats.moment(value))


def of_worth(worth: Worth, today: Mapping[int | None, Decimal]) -> Figures:
    """Name the figures of an account, its books and its positions; `today` is the gain since the market's midnight."""
    overview, quote = worth.overview, worth.account.quote_asset
    found = {
        "account.equity": amount(overview.equity),
        "account.pnl": gain(overview.pnl),
        "account.return": ratio(overview.return_ratio),
        "account.realised": gain(overview.realised),
        "account.unrealised": gain(overview.unrealised),
        "account.fees": amount(overview.fees),
        "account.unallocated": amount(overview.unallocated),
        "account.deposits": amount(overview.net_flows),
        "account.today": gain(today.get(None)),
        "account.residual": residual(overview.suspense, quote),
        "market.time": moment(worth.marked_at),
    }
    for book in overview.books:
        found |= _of_book(book, today.get(book.book_id))
    for numbers in worth.positions:
        found |= _of_position(numbers)
    return found


def residual(suspense: Mapping[str, Decimal], quote_asset: str) -> Figure:
    """Show what nobody has explained, per asset."""
    if not suspense:
        return Figure("0", "0", "good")
    text = ", ".join(f"{formats.quantity(value)} {asset}" for asset, value in sorted(suspense.items()))
    return Figure(plain(suspense.get(quote_asset, Decimal(0))), text, "bad")


def alarms(unacknowledged: int, critical: int) -> Figure:
    """Show how many alarms wait for a person."""
    tone = "bad" if critical else "warn" if unacknowledged else "good"
    return Figure(str(unacknowledged), str(unacknowledged) if unacknowledged else "none", tone)


def of_risk(view: Mapping[str, Any]) -> Figures:
    """Name what account and books may still lose today."""
    found: Figures = {}
    for standing in (view["total"], *view["books"]):
        name = "risk" if standing["book"] is None else f"risk.book.{standing['book']}"
        code, left = standing["shut_by"], standing["left"]
        tone = "bad" if code else "warn" if left * 5 < standing["soft_cap"] else "good"
        found |= {
            f"{name}.left": Figure(plain(left), formats.quote(left), tone),
            f"{name}.lost": gain(-standing["lost_today"]),
            f"{name}.worst": amount(standing["worst_open"]),
            f"{name}.soft": amount(standing["soft_cap"]),
            f"{name}.hard": amount(standing["hard_cap"]),
            f"{name}.state": Figure(code, formats.words(code) if code else "Entries allowed", tone),
        }
    return found


def _of_book(book: BookNumbers, today: Decimal | None) -> Figures:
    name = f"book.{book.book_id}"
    return {
        f"{name}.equity": amount(book.equity),
        f"{name}.pnl": gain(book.pnl),
        f"{name}.return": ratio(book.return_ratio),
        f"{name}.realised": gain(book.realised),
        f"{name}.unrealised": gain(book.unrealised),
        f"{name}.fees": amount(book.fees),
        f"{name}.cash": amount(book.cash),
        f"{name}.reserved": amount(book.reserved),
        f"{name}.holdings": amount(book.holdings),
        f"{name}.base": amount(book.base_equity),
        f"{name}.today": gain(today),
        f"{name}.percent": Figure(plain(book.percent), formats.share(book.percent)),
    }


def _of_position(numbers: PositionNumbers) -> Figures:
    name = f"position.{numbers.position.pk}"
    tick = numbers.position.instrument.tick_size
    return {
        f"{name}.mark": Figure(_exact(numbers.mark), formats.price(numbers.mark, tick)),
        f"{name}.value": amount(numbers.value),
        f"{name}.unrealised": gain(numbers.unrealised),
    }


def _exact(value: Decimal | None) -> str | None:
    return None if value is None else plain(value)
