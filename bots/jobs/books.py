"""Tell a strategy about its money: from the ledger's whole units to the record that a step reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from bots.jobs.due import DueBot
from marketdata.models import Market
from portfolio.selectors import BookExact, FillExact, PositionExact
from portfolio.selectors.exact import ORDER_KINDS
from trading import books
from trading.strategy import BUY, MAX_FILLS, NO_SLOT, SELL, OrderKind, Reason, Record, View, new_book

_NOTHING: Final = PositionExact()


class TooManyOrders(Exception):
    """Raised when a bot has more live orders than a strategy can be told of."""


def fills_to_tell(exact: BookExact) -> tuple[FillExact, ...]:
    """Answer the fills for the next step; what does not fit is told at the step after."""
    if len(exact.fills) <= MAX_FILLS:
        return exact.fills
    oldest = sorted(exact.fills, key=lambda fill: fill.fill_id)[:MAX_FILLS]
    told = {fill.fill_id for fill in oldest}
    return tuple(fill for fill in exact.fills if fill.fill_id in told)


def book_for_step(
    due: DueBot,
    exact: BookExact,
    markets: Sequence[Market],
    *,
    closes: Sequence[float],
    fills: Sequence[FillExact],
    view: View = View.WHOLE,
) -> Record:
    """Fill the book of one step; `closes` are the last closes of the bot's instruments, `view` is what it may see of it.

    `markets` is where it trades: of a pair of bots the leader's market, then the follower's.
    """
    book, numbers = new_book(), due.numbers
    symbols = {instrument_id: symbol for symbol, instrument_id in enumerate(due.instrument_ids)}
    books.clear_book(book)
    home = markets[0]
    books.set_terms(book, home.taker_fee_ppm, home.maker_fee_ppm, max(market.half_spread_ppm for market in markets))
    for market in markets[1:]:
        books.set_taker_fee(book, len(symbols) - 1, market.taker_fee_ppm)
    for instrument_id, symbol in symbols.items():
        held = exact.positions.get(instrument_id, _NOTHING)
        books.set_position(
            book,
            numbers,
            symbol,
            held.base_units,
            held.available_units,
            held.cost_units,
            held.stop_price_units,
            closes[symbol],
        )
    books.set_money(book, exact.allocation_units, exact.free_units, exact.locked_units, exact.gained_units)
    _add_orders(book, exact, symbols)
    _add_fills(book, fills, symbols)
    books.veil(book, numbers, len(symbols), view.value)
    return book


def _add_orders(book: Record, exact: BookExact, symbols: Mapping[int, int]) -> None:
    for order in exact.orders:
        kind = ORDER_KINDS[order.intent_kind]
        fits = books.add_order(
            book,
            symbols[order.instrument_id],
            order.slot if kind == OrderKind.LIMIT else NO_SLOT,
            BUY if order.side == "buy" else SELL,
            int(kind),
            order.price_units,
            order.remaining_units,
            order.filled_units,
        )
        if not fits:
            raise TooManyOrders(f"{len(exact.orders)} live orders are more than a strategy can be told of")


def _add_fills(book: Record, fills: Sequence[FillExact], symbols: Mapping[int, int]) -> None:
    for fill in fills:
        kind = ORDER_KINDS[fill.intent_kind]
        books.add_fill(
            book,
            symbols[fill.instrument_id],
            fill.slot if kind == OrderKind.LIMIT else NO_SLOT,
            BUY if fill.side == "buy" else SELL,
            int(kind),
            _reason_number(fill.reason),
            fill.base_units,
            fill.price_units,
            fill.fee_units,
        )


def _reason_number(name: str) -> int:
    # An order that a person or the engine asked for carries a reason no strategy knows.
    return int(Reason.__members__.get(name, Reason.NONE))
