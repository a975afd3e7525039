"""How market data, amounts and moments look in JSON."""

from __future__ import annotations

import re
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, Generic, Literal, TypeVar

from ninja import Schema
from pydantic import (
    AfterValidator,
    AwareDatetime,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    StringConstraints,
    WithJsonSchema,
)

_YEARS = (1970, 2200)
_PLAIN = re.compile(r"-?[0-9]{1,20}(\.[0-9]{1,18})?", re.ASCII)


def plain(amount: Decimal) -> str:
    """Write an amount exactly: no exponent, no needless zeros."""
    text = format(amount, "f")
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text in ("", "-0") else text


def _from_text(value: Any) -> Decimal:
    # A float has already lost the amount that was meant, and a bool is no number.
    if not isinstance(value, str) or not _PLAIN.fullmatch(value):
        raise ValueError('write amounts as decimal text, for example "12.5"')
    return Decimal(value)


def _in_reach(at: datetime) -> datetime:
    # Beyond, a shift to UTC may leave the calendar.
    if not _YEARS[0] <= at.year <= _YEARS[1]:
        raise ValueError(f"must lie between the years {_YEARS[0]} and {_YEARS[1]}")
    return at


# What we say, and what we accept.
_TEXT_OUT = {"type": "string", "pattern": r"^-?[0-9]+(\.[0-9]+)?$", "examples": ["12.5"]}
_TEXT_IN = {"type": "string", "pattern": f"^{_PLAIN.pattern}$", "examples": ["12.5"]}
Amount = Annotated[Decimal, PlainSerializer(plain, return_type=str), WithJsonSchema(_TEXT_OUT, mode="serialization")]
AmountIn = Annotated[Decimal, BeforeValidator(_from_text), WithJsonSchema(_TEXT_IN, mode="validation")]
RowId = Annotated[int, Field(ge=1, le=2**63 - 1)]
Limit = Annotated[int, Field(ge=1, le=500)]
Cursor = Annotated[str, StringConstraints(pattern=r"^[0-9]{1,18}$")]
Text = Annotated[str, StringConstraints(min_length=1, max_length=200, strip_whitespace=True)]
Moment = Annotated[AwareDatetime, AfterValidator(_in_reach)]


Item = TypeVar("Item")


def shown(example: dict[str, Any]) -> ConfigDict:
    """Return the configuration of a schema that shows an example of itself."""
    return ConfigDict(json_schema_extra={"examples": [example]})


class Payload(Schema):
    """A body: unknown fields are refused, so nothing is ever assigned by accident."""

    model_config = ConfigDict(extra="forbid")


class Nothing(Payload):
    """A body that says nothing: `{}`."""

    model_config = shown({})


class ItemsOut(Schema, Generic[Item]):
    """All there is of something."""

    items: list[Item]


class InstrumentOut(Schema):
    """A pair with its filters."""

    id: int
    symbol: str
    base: str
    quote: str
    tick_size: Amount
    lot_size: Amount
    quantity_min: Amount
    quantity_max: Amount
    notional_min: Amount


class FilterChangeOut(Schema):
    """One thing that changed; both are empty where only the exchange's own words did."""

    before: str
    after: str


class FiltersOut(Schema):
    """Filters of an instrument as they held from a moment on: steps and bounds as decimal text."""

    version: int
    from_at: datetime
    in_force: dict[str, str]
    changed: dict[str, FilterChangeOut]

    @staticmethod
    def resolve_changed(row: Any) -> dict[str, dict[str, str]]:
        """Name both sides of each change."""
        return {name: {"before": before, "after": after} for name, (before, after) in row.changed.items()}


class PriceOut(Schema):
    """What a coin costs on one exchange."""

    exchange: str
    symbol: str
    price: Amount
    received_at: datetime
    # Empty when nothing is wrong with it.
    doubt: str


class ComparisonOut(Schema):
    """One coin on two exchanges; rates and shares are absent where no price connects the two moneys."""

    base: str
    first: PriceOut
    second: PriceOut
    # How much of the first's money one of the second's is worth, and by which prices.
    rate: Amount | None
    rate_by: str
    # How much dearer the second is, as a share of the first.
    difference: Amount | None
    # What is left of buying on one and selling on the other after fees and spreads, as a share.
    left_buying_first: Amount | None
    left_buying_second: Amount | None


class CandleOut(Schema):
    """A closed candle: decided with, never accounted with, so its numbers are numbers."""

    open_at: datetime
    open: float
    high: float
    low: float
    close: float
    volume: float


class GapOut(Schema):
    """Candles that are missing."""

    begin_at: datetime
    end_at: datetime


class SeriesOut(Schema):
    """Candles of one symbol and interval in the history root."""

    exchange: str
    symbol: str
    interval: str
    candles: int
    missing: int
    restated: int
    refused: int
    first_at: datetime
    last_at: datetime
    gaps: list[GapOut]


class CalendarOut(Schema):
    """How much of each day is there: parallel lists, for a heat-map."""

    exchange: str
    symbol: str
    interval: str
    dates: list[str]
    expected: list[int]
    missing: list[int]


class FetchIn(Payload):
    """What to fetch into the history root; `begin` and `end` are months, days or UTC times, as on the command line."""

    model_config = shown({"symbols": ["BTC/USDT"], "intervals": ["5m"], "begin": "2024-01", "end": "2024-03"})

    symbols: Annotated[list[Annotated[str, Field(max_length=32)]], Field(min_length=1, max_length=50)]
    intervals: Annotated[list[Annotated[str, Field(max_length=4)]], Field(min_length=1, max_length=16)]
    begin: Annotated[str, Field(max_length=32)]
    end: Annotated[str, Field(max_length=32)] = ""
    fill_daily: bool = True
    force: bool = False
    base_url: Annotated[str, Field(max_length=200)] = ""


class WaitingFileOut(Schema):
    """A file in the folder of imports; `series` is empty when its name does not tell whose candles it holds."""

    name: str
    size: int
    series: str


class ImportIn(Payload):
    """Which files of the folder of imports to take in; symbol and interval where their names do not tell."""

    model_config = shown({"files": ["BTC_USDT-5m.feather"], "exchange": "binance"})

    files: Annotated[list[Annotated[str, Field(max_length=200)]], Field(min_length=1, max_length=200)]
    exchange: Annotated[str, Field(max_length=32)] = "binance"
    symbol: Annotated[str, Field(max_length=32)] = ""
    interval: Annotated[str, Field(max_length=4)] = ""


class ExportIn(Payload):
    """Which series to write for another program: freqtrade reads feather and json, with the symbol written as BTC/USDT."""

    model_config = shown({"symbol": "BTC/USDT", "interval": "5m", "format": "feather"})

    exchange: Annotated[str, Field(max_length=32)] = "binance"
    symbol: Annotated[str, Field(max_length=32)]
    interval: Annotated[str, Field(max_length=4)]
    format: Literal["feather", "json", "csv", "parquet"]


class HistoryJobOut(Schema):
    """Work on the history root, and how far it is."""

    id: int
    kind: str
    params: dict[str, Any]
    state: str
    stage: str
    steps_done: int
    steps_total: int
    percent: float
    rows: int
    rows_per_second: int
    bytes_per_second: int
    seconds_left: float | None
    message: str
    # What came of an import or an export, line by line.
    told: list[str]
    # The exported file; empty when there is none.
    file: str
    is_stopping: bool


class WordOut(Schema):
    """The newest thing a source said of one entity."""

    entity: str
    # Absent when it is too old to mean anything.
    value: float | None
    event_at: datetime
    available_at: datetime


class SourceOut(Schema):
    """A source beyond price: its state, and its newest words with both their times."""

    name: str
    says: str
    version: str
    licence: str
    unit: str
    is_enabled: bool
    state: str
    obstacle: str
    message: str
    failures: int
    cadence_seconds: float
    age_seconds_max: float
    asked_at: datetime | None
    answered_at: datetime | None
    retry_at: datetime | None
    observations: int
    words: list[WordOut]


class SwitchIn(Payload):
    """Whether a source is asked."""

    model_config = shown({"is_enabled": True})

    is_enabled: bool


class CoverageOut(Schema):
    """What is stored of one interval of one instrument."""

    symbol: str
    interval: str
    candles: int
    first_at: datetime | None
    last_at: datetime | None
    synced_through_at: datetime | None
    gaps: list[GapOut]
