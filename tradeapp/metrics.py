"""What Prometheus may scrape of the web process: figures of the accounts in use, read when they are asked for.

The port is of loopback alone and shows neither keys nor names of people. Each trader counts its own orders on a port of its own.
"""

from __future__ import annotations

from collections.abc import Iterable

from django.conf import settings
from django.db import connection
from prometheus_client import REGISTRY
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from portfolio.models import Heartbeat
from portfolio.selectors import account_overview, accounts_to_trade
from portfolio.selectors.alarms import count_open
from portfolio.selectors.worth import consistent_read
from portfolio.trader.metrics import serve_on


class Figures(Collector):
    """Equity, reserved capital and differences of every account in use, signs of life, and alarms that wait."""

    def describe(self) -> Iterable[Metric]:
        """Say nothing at the start: the database is asked when somebody scrapes."""
        return []

    def collect(self) -> Iterable[Metric]:
        """Read everything at one moment."""
        try:
            yield from _accounts()
            yield _heartbeats()
            yield _alarms()
        finally:
            # Each scrape has a thread of its own, which takes its connection along.
            connection.close()


def serve() -> int:
    """Serve on the port that the operator has set; answer it, 0 for none. A port that is taken ends nothing."""
    port: int = settings.TRADEAPP_METRICS_PORT
    if not serve_on(port):
        return 0
    REGISTRY.register(Figures())
    return port


def _accounts() -> list[GaugeMetricFamily]:
    equity = GaugeMetricFamily(
        "tradeapp_equity_quote", "Worth in quote; an empty book is the account", labels=["account", "book"]
    )
    reserved = GaugeMetricFamily("tradeapp_capital_reserved_quote", "Held for live orders", labels=["account", "book"])
    residual = GaugeMetricFamily("tradeapp_reconcile_residual", "Unexplained by asset", labels=["account", "asset"])
    for account_id in accounts_to_trade():
        with consistent_read():
            overview = account_overview(account_id)
        account = str(account_id)
        equity.add_metric([account, ""], float(overview.equity))
        for book in overview.books:
            equity.add_metric([account, str(book.book_id)], float(book.equity))
            reserved.add_metric([account, str(book.book_id)], float(book.reserved))
        for asset, amount in overview.suspense.items():
            residual.add_metric([account, asset], float(amount))
    return [equity, reserved, residual]


def _heartbeats() -> GaugeMetricFamily:
    found = GaugeMetricFamily("tradeapp_heartbeat_timestamp_seconds", "Newest sign of life", labels=["process"])
    for process, beat_at in Heartbeat.objects.values_list("process", "beat_at"):
        found.add_metric([process], beat_at.timestamp())
    return found


def _alarms() -> GaugeMetricFamily:
    unacknowledged, critical = count_open()
    found = GaugeMetricFamily("tradeapp_alarms_unacknowledged", "Alarms that nobody has acknowledged", labels=["is_critical"])
    found.add_metric(["true"], critical)
    found.add_metric(["false"], unacknowledged - critical)
    return found
