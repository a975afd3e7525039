"""Reads of the money world: exact figures, a fixed number of queries."""

from portfolio.selectors.exact import BookExact, FillExact, OrderExact, PositionExact, books_exact, together
from portfolio.selectors.numbers import (
    AccountOverview,
    BookNumbers,
    PositionNumbers,
    account_overview,
    book_numbers,
    equity_series,
    positions,
)
from portfolio.selectors.rows import (
    accounts_to_trade,
    decisions,
    fills,
    latest_reconciliation,
    open_orders,
    residuals,
    waiting_intents,
)

__all__ = [
    "AccountOverview",
    "BookExact",
    "BookNumbers",
    "FillExact",
    "OrderExact",
    "PositionExact",
    "PositionNumbers",
    "account_overview",
    "accounts_to_trade",
    "book_numbers",
    "books_exact",
    "decisions",
    "equity_series",
    "fills",
    "latest_reconciliation",
    "open_orders",
    "positions",
    "residuals",
    "together",
    "waiting_intents",
]
