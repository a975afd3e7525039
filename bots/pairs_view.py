"""Pairs of bots as API and page show them: both sides, what they are worth together, and what a pair would bring now."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from bots.models import Bot
from bots.selectors import instruments_of, pairs_of_bots
from marketdata.comparisons import left_over
from marketdata.models import Instrument, Market
from marketdata.selectors import Price, prices
from portfolio.models import Position
from portfolio.selectors import BookNumbers, account_overview
from portfolio.selectors.pairs import TradedPair
from trading.ledger import ZERO

_MILLION: Final = Decimal(10**6)
_DIGITS: Final = Decimal("0.000001")
# What the strategy asks for beyond the fees and spreads of both sides, which its edge is already net of.
_NEEDED: Final = ("profit_least", "buffer", "rebalance_cost")


@dataclass(frozen=True, slots=True)
class _Known:
    """What is read once for all pairs of bots."""

    markets: Mapping[int, Sequence[Instrument]]
    quotes: Mapping[int, Price]
    numbers: Mapping[int, BookNumbers]
    coins: Mapping[int, Decimal]


def pairs_of_bots_view(*, now: datetime, only: int | None = None) -> list[dict[str, Any]]:
    """Show every pair of bots, or one by its leader; as many statements however many share their accounts."""
    leaders = pairs_of_bots(only)
    both = [bot for leader in leaders for bot in (leader, leader.follower)]
    accounts = {bot.book.account_id: bot.book.account for bot in both}
    quotes: dict[int, Price] = {}
    for market_id in {account.market_id for account in accounts.values()}:
        quotes |= prices(market_id, now=now)
    held = Position.objects.filter(book__in=[bot.book_id for bot in both]).values_list("book", "quantity")
    known = _Known(
        markets=instruments_of([bot.pk for bot in both]),
        quotes=quotes,
        numbers={book.book_id: book for account_id in accounts for book in account_overview(account_id).books},
        coins=dict(held),
    )
    return [_pair(leader, known) for leader in leaders]


def traded_pair_view(pair: TradedPair) -> dict[str, Any]:
    """Show a pair with its legs and what undid their rest."""
    return {
        "id": pair.pair_id,
        "number": pair.number,
        "market_at": pair.market_at,
        "state": pair.state,
        "residual": pair.residual,
        "result": pair.result,
        "legs": [asdict(leg) for leg in pair.legs],
        "mends": [asdict(mend) for mend in pair.mends],
    }


def _pair(leader: Bot, known: _Known) -> dict[str, Any]:
    sides = [_side(bot, known) for bot in (leader, leader.follower)]
    (coin,) = known.markets[leader.pk]
    return {
        "key": leader.key,
        "name": leader.name,
        "strategy": leader.strategy,
        "interval": leader.interval,
        "params": leader.params,
        "coin": coin.base,
        "quote_asset": leader.book.account.quote_asset,
        "leader": sides[0],
        "follower": sides[1],
        **{figure: sides[0][figure] + sides[1][figure] for figure in ("coins", "quote", "equity", "pnl")},
        "edge": _edge(leader, sides),
    }


def _side(bot: Bot, known: _Known) -> dict[str, Any]:
    account, market = bot.book.account, bot.book.account.market
    (instrument,) = known.markets[bot.pk]
    quoted = known.quotes.get(instrument.pk)
    numbers = known.numbers[bot.book_id]
    return {
        "bot": bot.pk,
        "book": bot.book_id,
        "account": account.pk,
        "account_name": account.name,
        "mode": account.mode,
        "exchange": market.exchange,
        "market": market.label,
        "is_synthetic": market.is_synthetic,
        "symbol": instrument.symbol,
        "status": bot.status,
        "status_reason": bot.status_reason,
        "percent": numbers.percent,
        "coins": known.coins.get(bot.book_id, ZERO),
        "quote": numbers.cash + numbers.reserved,
        "equity": numbers.equity,
        "pnl": numbers.pnl,
        "price": None if quoted is None else quoted.mark,
        "price_trouble": "" if quoted is None else quoted.trouble,
        "fee": _share(market.taker_fee_ppm),
    }


def _edge(leader: Bot, sides: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Say what would be left of a pair in either direction at the marks, beside what the strategy asks for."""
    here, there = leader.book.account.market, leader.follower.book.account.market
    first, second = (side["price"] for side in sides)
    return {
        "buying_leader": _left(first, second, here, there),
        "buying_follower": _left(second, first, there, here),
        "needed": sum((Decimal(str(leader.params.get(name, 0))) for name in _NEEDED), ZERO),
        "fees": _share(here.taker_fee_ppm) + _share(there.taker_fee_ppm),
    }


def _left(buy: Decimal | None, sell: Decimal | None, bought_on: Market, sold_on: Market) -> Decimal | None:
    if buy is None or sell is None:
        return None
    return left_over(buy, sell, bought_on=bought_on, sold_on=sold_on).quantize(_DIGITS)


def _share(ppm: int) -> Decimal:
    return Decimal(ppm) / _MILLION
