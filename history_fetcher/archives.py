"""Archives as the public history site names them, and which of them a request needs."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Final, NamedTuple

from .intervals import DAY_MS

KLINES: Final = "klines"
KINDS: Final = (KLINES, "trades", "aggTrades")
MARKETS: Final = {"spot": "spot", "um": "futures/um", "cm": "futures/cm"}
MONTHLY: Final = "monthly"
DAILY: Final = "daily"


class Series(NamedTuple):
    """Everything of one kind that one symbol ever did."""

    market: str
    kind: str
    symbol: str
    # Empty for trades.
    interval: str

    @property
    def exchange(self) -> str:
        """Answer the exchange under which it is stored."""
        if self.market == "spot":
            return "binance"
        # What was imported from elsewhere names its exchange instead of a market.
        return f"binance-{self.market}" if self.market in MARKETS else self.market

    @property
    def stream(self) -> str:
        """Answer what stands for the interval in file names and partitions."""
        return self.interval or self.kind

    @property
    def name(self) -> str:
        """Answer its name in the manifest."""
        return f"{self.exchange}/{self.symbol}/{self.stream}"

    def prefix(self, period: str) -> str:
        """Answer where its archives of a period (monthly, daily) lie."""
        folder = f"data/{MARKETS[self.market]}/{period}/{self.kind}/{self.symbol}/"
        return f"{folder}{self.interval}/" if self.interval else folder


class Archive(NamedTuple):
    """One published file: a month or a day of a series."""

    series: Series
    # 2024-01 or 2024-01-31.
    label: str

    @property
    def is_monthly(self) -> bool:
        """Say whether it holds a month."""
        return len(self.label) == len("2024-01")

    @property
    def stem(self) -> str:
        """Answer its file name without ending."""
        return f"{self.series.symbol}-{self.series.stream}-{self.label}"

    @property
    def key(self) -> str:
        """Answer its address below the site's root."""
        return f"{self.series.prefix(MONTHLY if self.is_monthly else DAILY)}{self.stem}.zip"

    @property
    def month(self) -> str:
        """Answer the month it belongs to."""
        return self.label[:7]

    @property
    def span(self) -> tuple[int, int]:
        """Answer its first moment and the one after its last, in UTC milliseconds."""
        return span_of(self.label)


class Choice(NamedTuple):
    """What to fetch of a series, and what nobody publishes."""

    archives: list[Archive]
    unpublished: list[str]
    # Days that only daily archives would cover.
    edges: list[str]


def choose(series: Series, *, begin: int, end: int, months: Collection[str], days: Collection[str], fill_daily: bool) -> Choice:
    """Choose monthly archives for whole months and, if wanted, daily ones for what they leave open."""
    choice = Choice([], [], [])
    for month in labels_of_months(begin, end):
        first, last = span_of(month)
        is_whole = first >= begin and last <= end
        if is_whole and month in months:
            choice.archives.append(Archive(series, month))
            continue
        wanted = list(labels_of_days(max(first, begin), min(last, end)))
        if not fill_daily:
            (choice.unpublished if is_whole else choice.edges).extend([month] if is_whole else wanted)
            continue
        choice.archives.extend(Archive(series, day) for day in wanted if day in days)
        choice.unpublished.extend(day for day in wanted if day not in days)
    return choice


def span_of(label: str) -> tuple[int, int]:
    """Answer the first moment of a month or day and the one after its last, in UTC milliseconds."""
    if len(label) == len("2024-01"):
        first = date.fromisoformat(f"{label}-01")
        return _milliseconds(first), _milliseconds(_next_month(first))
    day = date.fromisoformat(label)
    return _milliseconds(day), _milliseconds(day) + DAY_MS


def labels_of_months(begin: int, end: int) -> Iterator[str]:
    """Name the months that a stretch touches."""
    month = _date(begin).replace(day=1)
    while _milliseconds(month) < end:
        yield f"{month:%Y-%m}"
        month = _next_month(month)


def labels_of_days(begin: int, end: int) -> Iterator[str]:
    """Name the days that a stretch touches."""
    day = _date(begin)
    while _milliseconds(day) < end:
        yield f"{day:%Y-%m-%d}"
        day += timedelta(days=1)


def month_of(time: int) -> str:
    """Name the month of a moment."""
    return f"{_date(time):%Y-%m}"


def _date(time: int) -> date:
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=time)).date()


def _milliseconds(day: date) -> int:
    return (day - date(1970, 1, 1)).days * DAY_MS


def _next_month(first: date) -> date:
    return (first + timedelta(days=31)).replace(day=1)
