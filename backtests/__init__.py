"""Backtests and what came of them."""
