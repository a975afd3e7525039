"""What the trader counts for operators."""

from __future__ import annotations

from typing import Final

import structlog
from prometheus_client import Counter, Histogram, start_http_server

LOOPBACK: Final = "127.0.0.1"
log = structlog.get_logger(__name__)

_ORDERS: Final = Counter("tradeapp_orders_total", "Orders by what became of them", ["side", "outcome"])
_ROUND_TRIP: Final = Histogram(
    "tradeapp_order_round_trip_seconds",
    "From claiming an order to its recorded answer",
    buckets=(0.005, 0.01, 0.02, 0.04, 0.08, 0.15, 0.3, 0.6, 1.2, 2.5, 5, 10),
)
_BAR_TO_ORDER: Final = Histogram(
    "tradeapp_bar_to_order_seconds",
    "From the close of a candle to the order that a bot decided on it, as it goes to the wire",
    buckets=(0.02, 0.05, 0.1, 0.15, 0.25, 0.4, 0.6, 1, 2, 5, 10, 30),
)
_RECONCILIATIONS: Final = Counter("tradeapp_reconciliations_total", "Comparisons with the exchange", ["outcome"])

_DISCONNECTS: Final = Counter("tradeapp_ws_disconnects_total", "Streams that were cut, or told less than there was", ["stream"])


def serve_on(port: int) -> bool:
    """Serve what this process counts at `/metrics` of a port of loopback alone; 0 is none, and one that is taken ends nothing."""
    if not port:
        return False
    try:
        start_http_server(port, addr=LOOPBACK)
    except OSError as error:
        log.warning("metrics.not_served", port=port, reason=str(error))
        return False
    log.info("metrics.served", port=port)
    return True


def count_order(side: str, outcome: str) -> None:
    """Count an order's answer."""
    _ORDERS.labels(side, outcome).inc()


def observe_round_trip(seconds: float) -> None:
    """Note how long an order took."""
    _ROUND_TRIP.observe(seconds)


def observe_bar_to_order(seconds: float | None) -> None:
    """Note how long after its candle an order went out; None where nobody can tell."""
    if seconds is not None:
        _BAR_TO_ORDER.observe(seconds)


def count_reconciliation(outcome: str) -> None:
    """Count a comparison."""
    _RECONCILIATIONS.labels(outcome).inc()


def count_disconnect(stream: str) -> None:
    """Count a cut of a stream."""
    _DISCONNECTS.labels(stream).inc()
