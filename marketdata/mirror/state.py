"""What is told next: quotes that are believed, trades, and what nobody can vouch for. Pure: moments come in, events go out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any, Final

from exchange.ports import PublicTrade, QuoteUpdate
from marketdata.feed.prices import Limits, Mark, PriceWatch

# Quicker than a feed that only decides about entries: here a fill would happen at a price that nobody vouches for.
LIMITS: Final = Limits(quiet_seconds=2.0, silent_seconds=5.0, grace_seconds=0.5)
Event = list[Any]


class Telling:
    """Everything that is known of one market since the streams were opened."""

    def __init__(self, names: Mapping[str, str], *, market_now: int, now: float, limits: Limits = LIMITS) -> None:
        self.names = dict(names)
        self.watch = PriceWatch(limits)
        self.watch.watch(self.names, now=now)
        # The newest moment that the real exchange has told of.
        self.market_now = market_now
        # Streams that are cut, each with the reason.
        self._cut: dict[str, str] = {"quotes": "not open yet", "trades": "not open yet"}
        self._believed: dict[str, QuoteUpdate] = {}
        self._told: dict[str, tuple[Decimal, Decimal]] = {}
        self._trades: list[PublicTrade] = []
        self._told_time = 0
        self.dark: dict[str, str] = dict.fromkeys(self.names, "not open yet")

    def hear_quote(self, quote: QuoteUpdate, *, now: float) -> None:
        """Take in a best bid and offer, if they can be true."""
        if quote.symbol in self.names:
            self._believe(self.watch.hear(quote, market_now=self.market_now, now=now), quote)

    def hear_answers(self, asked: Iterable[str], quotes: Iterable[QuoteUpdate], *, asked_at: float, now: float) -> None:
        """Take in what the exchange says when it is asked."""
        answers = {quote.symbol: quote for quote in quotes}
        for mark in self.watch.answered(list(asked), answers.values(), asked_at=asked_at, now=now):
            self._believe(mark, answers[mark.symbol])

    def hear_trade(self, trade: PublicTrade) -> None:
        """Take in somebody's trade; while the stream of quotes is cut nobody could say what it means."""
        if trade.symbol in self.names and not self._cut:
            self._trades.append(trade)

    def cut(self, stream: str, reason: str) -> None:
        """Take in that a stream is cut: what was known is the past from now on."""
        self._cut[stream] = reason
        self._believed.clear()
        self._trades.clear()

    def opened(self, stream: str) -> None:
        """Take in that a stream is open."""
        self._cut.pop(stream, None)

    def due(self, *, now: float) -> list[Event]:
        """Return what has to be told now: first what is in doubt, then quotes, then trades."""
        reason = next(iter(self._cut.values()), "")
        troubles = {name: str(trouble.doubt) for name, trouble in self.watch.troubles(now=now).items()}
        dark = dict.fromkeys(self.names, reason) if reason else troubles
        dark |= {name: "nothing told yet" for name in self.names if name not in self._believed and name not in dark}
        events: list[Event] = []
        if fresh := [name for name in dark if name in self._told]:
            events.append(["dark", [self.names[name] for name in fresh]])
        for name in fresh:
            del self._told[name]
        self.dark = dark
        if self.market_now > self._told_time:
            self._told_time = self.market_now
            events.append(["time", self.market_now])
        for name, quote in self._believed.items():
            if name not in dark and self._told.get(name) != (quote.bid, quote.ask):
                self._told[name] = quote.bid, quote.ask
                events.append(["quote", self.names[name], _text(quote.bid), _text(quote.ask)])
        trades, self._trades = self._trades, []
        return [*events, *_rows([trade for trade in trades if trade.symbol in self._told], self.names)]

    def _believe(self, mark: Mark | None, quote: QuoteUpdate) -> None:
        if mark is not None:
            self._believed[quote.symbol] = quote
            self.market_now = max(self.market_now, quote.market_ms)


def _rows(trades: Iterable[PublicTrade], names: Mapping[str, str]) -> list[Event]:
    """Write trades down; of those that follow each other at one price only the sum counts."""
    rows: list[Event] = []
    last: tuple[str, Decimal, bool] | None = None
    quantity = Decimal(0)
    for trade in trades:
        key = (trade.symbol, trade.price, trade.is_buyer_maker)
        if key != last:
            last, quantity = key, Decimal(0)
            rows.append(["trade", names[trade.symbol], _text(trade.price), "", trade.traded_ms, trade.is_buyer_maker])
        quantity += trade.quantity
        rows[-1][3], rows[-1][4] = _text(quantity), trade.traded_ms
    return rows


def _text(amount: Decimal) -> str:
    return f"{amount:.8f}"
