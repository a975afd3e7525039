"""Judge the prices that a market's stream tells: which to believe, which to ask the exchange about, and when to trust none.

Pure: quotes, answers and moments come in, marks and troubles come out. Wall time is in seconds on any steady clock.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from typing import Final, NamedTuple

from exchange.ports import QuoteUpdate

DAY_MS: Final = 86_400_000
_RECENT_KEPT: Final = 256


class Doubt(StrEnum):
    """Why the prices of an instrument are not to be trusted with new money."""

    SILENT = "SILENT"
    CROSSED = "CROSSED"
    UNBELIEVABLE = "UNBELIEVABLE"
    SPIKE = "SPIKE"
    DISPUTED = "DISPUTED"


@dataclass(frozen=True, slots=True)
class Limits:
    """How long a stream may be silent, and how far prices may lie apart."""

    # Then the exchange is asked whether there is really nothing new.
    quiet_seconds: float = 4.0
    # Then nothing is believed any more (M01).
    silent_seconds: float = 10.0
    # A doubt that ends sooner is not worth a word: the process may just have been busy.
    grace_seconds: float = 1.0
    # A jump of this share must be confirmed by a question (M05).
    spike: Decimal = Decimal("0.2")
    # Stream and answer may lie so far apart (M13).
    dispute: Decimal = Decimal("0.01")
    # How often they are compared although nothing is wrong.
    compare_seconds: float = 30.0
    # Prices that the stream told in this time before an answer count as its word.
    recent_seconds: float = 3.0


class Trouble(NamedTuple):
    """A doubt about one instrument."""

    doubt: Doubt
    detail: str
    # Steady seconds.
    since: float


class Mark(NamedTuple):
    """A price that is believed."""

    symbol: str
    price: Decimal
    market_ms: int


@dataclass(slots=True)
class _Symbol:
    """What is known of one instrument; moments are steady seconds."""

    watched_since: float
    last: QuoteUpdate | None = None
    # When the stream last told anything believable, and when an answer last said that it had nothing to tell.
    heard_at: float | None = None
    confirmed_at: float | None = None
    asked_at: float = -1e9
    suspect: QuoteUpdate | None = None
    trouble: Trouble | None = None
    disputes: int = 0
    recent: deque[tuple[float, Decimal]] = field(default_factory=lambda: deque(maxlen=_RECENT_KEPT))

    @property
    def alive_at(self) -> float:
        """Return when it was last known to be up to date."""
        return max(self.watched_since, self.heard_at or self.watched_since, self.confirmed_at or self.watched_since)


class PriceWatch:
    """The judge of one market's quotes."""

    def __init__(self, limits: Limits | None = None) -> None:
        self.limits = limits or Limits()
        self._symbols: dict[str, _Symbol] = {}
        # What was not believed, by doubt.
        self.refused: dict[Doubt, int] = dict.fromkeys(Doubt, 0)

    def watch(self, symbols: Iterable[str], *, now: float) -> None:
        """Watch these symbols and no others."""
        wanted = set(symbols)
        self._symbols = {name: known for name, known in self._symbols.items() if name in wanted}
        for name in wanted - self._symbols.keys():
            self._symbols[name] = _Symbol(watched_since=now)

    def hear(self, quote: QuoteUpdate, *, market_now: int, now: float) -> Mark | None:
        """Take a quote of the stream in; the mark if it is believed."""
        known = self._symbols.get(quote.symbol)
        if known is None:
            return None
        if objection := _objection(quote, market_now):
            self._doubt(known, *objection, now=now)
            return None
        if known.last is not None and _apart(quote.mid, known.last.mid) > self.limits.spike:
            if known.suspect is None:
                # Ask at once, whenever the last question was.
                known.asked_at = -1e9
            known.suspect = quote
            self._doubt(known, Doubt.SPIKE, f"{quote.mid:f} after {known.last.mid:f}", now=now)
            return None
        return self._believe(known, quote, now=now)

    def hear_nonsense(self, symbol: str, reason: str, *, now: float) -> None:
        """Take in that the stream told something nobody can read (M04, M08)."""
        if symbol in self._symbols:
            self._doubt(self._symbols[symbol], Doubt.UNBELIEVABLE, reason, now=now)

    def to_ask(self, *, now: float) -> list[str]:
        """List the symbols whose price must be asked for: silent, suspect, or not compared for a while."""
        return [name for name, known in self._symbols.items() if self._must_ask(known, now)]

    def answered(self, symbols: Collection[str], quotes: Iterable[QuoteUpdate], *, asked_at: float, now: float) -> list[Mark]:
        """Hold the exchange's answers against what the stream told, and return the marks that follow."""
        answers = {quote.symbol: quote for quote in quotes}
        marks = []
        for name in symbols:
            known = self._symbols.get(name)
            if known is None:
                continue
            known.asked_at = asked_at
            answer = answers.get(name)
            if answer is not None and _objection(answer, answer.market_ms) is None:
                mark = self._weigh(known, answer, asked_at=asked_at, now=now)
                marks += [mark] if mark is not None else []
        return marks

    def troubles(self, *, now: float) -> dict[str, Trouble]:
        """Return the doubts that have stood for longer than a moment."""
        for known in self._symbols.values():
            # Counted from the last sign of life: the limit is a promise, whatever else was wrong, and since when.
            since = known.alive_at + self.limits.silent_seconds - self.limits.grace_seconds
            if known.trouble is None and now > since:
                known.trouble = Trouble(Doubt.SILENT, f"nothing for {now - known.alive_at:.0f} s", since)
            elif known.trouble is not None and now > since:
                known.trouble = known.trouble._replace(since=min(known.trouble.since, since))
        standing = ((name, known.trouble) for name, known in self._symbols.items())
        return {name: trouble for name, trouble in standing if trouble and now - trouble.since >= self.limits.grace_seconds}

    def silences(self, *, now: float) -> dict[str, float]:
        """Return for how long each symbol has not been known to be up to date."""
        return {name: max(0.0, now - known.alive_at) for name, known in self._symbols.items()}

    def _must_ask(self, known: _Symbol, now: float) -> bool:
        asked_ago = now - known.asked_at
        if known.suspect is not None or known.trouble is not None or now - known.alive_at > self.limits.quiet_seconds:
            return asked_ago > self.limits.grace_seconds
        return asked_ago > self.limits.compare_seconds

    def _weigh(self, known: _Symbol, answer: QuoteUpdate, *, asked_at: float, now: float) -> Mark | None:
        if known.suspect is not None:
            suspect, known.suspect = known.suspect, None
            if _apart(suspect.mid, answer.mid) <= self.limits.spike / 2:
                return self._believe(known, answer, now=now)
            # The exchange itself knows nothing of that price.
            if known.trouble is not None and known.trouble.doubt == Doubt.SPIKE:
                known.trouble = None
        begin = asked_at - self.limits.recent_seconds
        told = [price for at, price in known.recent if at >= begin]
        if not told:
            return self._weigh_silence(known, answer, now=now)
        self._compare(known, answer, told, now=now)
        return None

    def _weigh_silence(self, known: _Symbol, answer: QuoteUpdate, *, now: float) -> Mark:
        is_news = known.last is not None and (known.last.bid, known.last.ask) != (answer.bid, answer.ask)
        if is_news:
            # It moved and the stream did not say so: the stream is broken, however calm it looks.
            self._doubt(known, Doubt.SILENT, f"the stream did not tell that it moved to {answer.mid:f}", now=now)
        else:
            known.confirmed_at = now
            if known.trouble is not None and known.trouble.doubt in (Doubt.SILENT, Doubt.UNBELIEVABLE, Doubt.CROSSED):
                known.trouble = None
        known.last = answer
        # Exits and the worth of what is held go by the answer.
        return Mark(answer.symbol, answer.mid, answer.market_ms)

    def _compare(self, known: _Symbol, answer: QuoteUpdate, told: list[Decimal], *, now: float) -> None:
        room = self.limits.dispute
        if min(told) * (1 - room) <= answer.mid <= max(told) * (1 + room):
            known.disputes = 0
            if known.trouble is not None and known.trouble.doubt == Doubt.DISPUTED:
                known.trouble = None
            return
        known.disputes += 1
        if known.disputes >= 2:
            detail = f"the stream says {told[-1]:f}, the exchange answers {answer.mid:f}"
            self._doubt(known, Doubt.DISPUTED, detail, now=now)
        else:
            # Once may be a moment's difference: ask again soon.
            known.asked_at = now - self.limits.compare_seconds + self.limits.grace_seconds

    def _believe(self, known: _Symbol, quote: QuoteUpdate, *, now: float) -> Mark:
        known.last, known.heard_at, known.suspect = quote, now, None
        known.recent.append((now, quote.mid))
        if known.trouble is not None and known.trouble.doubt != Doubt.DISPUTED:
            known.trouble = None
        return Mark(quote.symbol, quote.mid, quote.market_ms)

    def _doubt(self, known: _Symbol, doubt: Doubt, detail: str, *, now: float) -> None:
        self.refused[doubt] += 1
        since = known.trouble.since if known.trouble is not None else now
        # A dispute outlives what the stream goes on to say: the stream is one of the two that disagree.
        if known.trouble is None or known.trouble.doubt != Doubt.DISPUTED:
            known.trouble = Trouble(doubt, detail[:200], since)


def _objection(quote: QuoteUpdate, market_now: int) -> tuple[Doubt, str] | None:
    prices = (quote.bid, quote.ask)
    if not all(price.is_finite() for price in prices) or min(prices) <= 0:
        return Doubt.UNBELIEVABLE, f"bid {quote.bid}, ask {quote.ask}"
    if quote.bid > quote.ask:
        return Doubt.CROSSED, f"bid {quote.bid:f} above ask {quote.ask:f}"
    if quote.market_ms > market_now + DAY_MS:
        return Doubt.UNBELIEVABLE, f"told for {quote.market_ms}, when it is {market_now}"
    return None


def _apart(price: Decimal, other: Decimal) -> Decimal:
    return abs(price - other) / min(price, other)
