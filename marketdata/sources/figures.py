"""Sources that are figures: fear and greed, funding, the premium of the stable coin."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from marketdata.sources.plugin import MARKET, Observation, Question, Schema, Unreadable

_UNREADABLE: Final = (KeyError, TypeError, ValueError, IndexError, OverflowError, OSError, RecursionError)
_LOWEST_YEAR: Final = 2009


class FearAndGreed:
    """The index of alternative.me: one number a day for the whole market, from 0 (fear) to 100 (greed)."""

    says = "How fearful or greedy the market is, once a day."
    name, version, licence, key_name = "fear-and-greed", "1", "attribution: alternative.me", ""
    cadence, max_age = timedelta(hours=1), timedelta(hours=36)
    # It is published some minutes after the midnight whose number it carries.
    lag = timedelta(minutes=15)
    url = "https://api.alternative.me/fng/"

    def schema(self) -> Schema:
        """Return what its values are."""
        return Schema("index", 0, 100)

    def addresses(self, question: Question) -> list[str]:
        """Ask for the days since then, or for all of them."""
        days = 0 if question.since is None else (question.until - question.since).days + 2
        return [f"{self.url}?limit={days}&format=json"]

    def parse(self, raw: bytes) -> Sequence[Observation]:
        """Read the days; numbers come as text."""
        content = read_json(raw)
        try:
            rows = [(moment(int(row["timestamp"])), float(row["value"])) for row in content["data"]]
        except _UNREADABLE as error:
            raise Unreadable(f"No fear and greed: {error!r}") from error
        return [
            Observation(entity=MARKET, event_at=at, available_at=at + self.lag, value=_inside(value, self.schema()))
            for at, value in rows
        ]


class Funding:
    """What holders of perpetual futures pay each other every eight hours, as a share."""

    says = "What holders of perpetual futures pay each other every eight hours."
    name, version, licence, key_name = "funding", "1", "terms of the exchange", ""
    cadence, max_age = timedelta(hours=1), timedelta(hours=10)
    url = "https://fapi.binance.com/fapi/v1/fundingRate"
    symbols = ("BTCUSDT", "ETHUSDT", "SOLUSDT")

    def schema(self) -> Schema:
        """Return what its values are."""
        return Schema("share of the position", -0.1, 0.1)

    def addresses(self, question: Question) -> list[str]:
        """Ask for each symbol."""
        begin = f"&startTime={int(question.since.timestamp() * 1000)}" if question.since else ""
        return [f"{self.url}?symbol={symbol}&limit=1000{begin}" for symbol in self.symbols]

    def parse(self, raw: bytes) -> Sequence[Observation]:
        """Read rates; each is known when it is paid."""
        content = read_json(raw)
        try:
            rows = [(row["symbol"], moment(int(row["fundingTime"]) / 1000), float(row["fundingRate"])) for row in content]
        except _UNREADABLE as error:
            raise Unreadable(f"No funding: {error!r}") from error
        return [
            Observation(
                entity=_base(symbol),
                event_at=at,
                available_at=at,
                value=_inside(value, self.schema()),
                reference=str(symbol)[:32],
            )
            for symbol, at, value in rows
        ]


class StablePremium:
    """How much more or less than a dollar the stable coin costs, as a share; also the rate between the two."""

    says = "How much more or less than a dollar the stable coin costs; the rate between the two."
    name, version, licence, key_name = "stable-premium", "1", "terms of the exchange", ""
    cadence, max_age = timedelta(minutes=1), timedelta(minutes=10)
    url = "https://api.exchange.coinbase.com/products/USDT-USD/ticker"

    def schema(self) -> Schema:
        """Return what its values are."""
        return Schema("share of a dollar", -0.5, 0.5)

    def addresses(self, _question: Question) -> list[str]:
        """Ask for the newest ticker: there is no history."""
        return [self.url]

    def parse(self, raw: bytes) -> Sequence[Observation]:
        """Read the middle of bid and ask."""
        content = read_json(raw)
        try:
            at = datetime.fromisoformat(content["time"])
            bid, ask = float(content["bid"]), float(content["ask"])
        except _UNREADABLE as error:
            raise Unreadable(f"No premium: {error!r}") from error
        if at.tzinfo is None or not 0 < bid <= ask:
            raise Unreadable(f"No premium: {bid} to {ask} at {at}")
        value = _inside((bid + ask) / 2 - 1, self.schema())
        return [Observation(entity="USDT", event_at=at, available_at=None, value=value)]


def moment(seconds: float) -> datetime:
    """Turn seconds into a moment; what lies before the first coin or after the century is no moment."""
    at = datetime.fromtimestamp(seconds, UTC)
    if not _LOWEST_YEAR <= at.year < 2100:
        raise ValueError(f"{seconds} is no moment in seconds")
    return at


def _base(symbol: Any) -> str:
    name = str(symbol)
    if not name.endswith("USDT") or not name[:-4].isalnum():
        raise Unreadable(f"{name[:32]!r} is no pair of USDT")
    return name[:-4]


def _inside(value: float, schema: Schema) -> float:
    if not math.isfinite(value) or not schema.lowest <= value <= schema.highest:
        raise Unreadable(f"{value} is not between {schema.lowest:g} and {schema.highest:g}")
    return value


def read_json(raw: bytes) -> Any:
    """Read JSON, or say that it is none."""
    try:
        return json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise Unreadable(f"No JSON: {raw[:60]!r}") from error
