"""What the trader counts for operators."""

from __future__ import annotations

from typing import Final

from prometheus_client import Counter, Histogram

_ORDERS: Final = Counter("tradeapp_orders_total", "Orders by what became of them", ["side", "outcome"])
_ROUND_TRIP: Final = Histogram(
    "tradeapp_order_round_trip_seconds",
    "From claiming an order to its recorded answer",
    buckets=(0.005, 0.01, 0.02, 0.04, 0.08, 0.15, 0.3, 0.6, 1.2, 2.5, 5, 10),
)
_RECONCILIATIONS: Final = Counter("tradeapp_reconciliations_total", "Comparisons with the exchange", ["outcome"])


def count_order(side: str, outcome: str) -> None:
    """Count an order's answer."""
    _ORDERS.labels(side, outcome).inc()


def observe_round_trip(seconds: float) -> None:
    """Note how long an order took."""
    _ROUND_TRIP.observe(seconds)


def count_reconciliation(outcome: str) -> None:
    """Count a comparison."""
    _RECONCILIATIONS.labels(outcome).inc()
