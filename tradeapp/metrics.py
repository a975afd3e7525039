"""What Prometheus may scrape of the web process: figures of the accounts in use, read when they are asked for.

The port is of loopback alone and shows neither keys nor names of people. Each trader counts its own orders on a port of its own.
"""

from __future__ import annotations

from collections.abc import Iterable

from django.conf import settings
from django.db import connection
from django.utils import timezone
from prometheus_client import REGISTRY
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from backtests.models import BacktestRun, PlanComparison, Sweep
from marketdata.models import HistoryJob
from portfolio.models import Account, Heartbeat, Order
from portfolio.running import HEARD_WITHIN
from portfolio.selectors import account_overview, accounts_to_trade
from portfolio.selectors.alarms import count_open
from portfolio.selectors.worth import consistent_read
from portfolio.trader.metrics import serve_on
from tradeapp.counting import Decisions, Denials, Peaks, combo_bars, drawdown_ratio


class Figures(Collector):
    """Equity, reserved capital and differences of every account in use, refusals, signs of life, and alarms that wait."""

    def __init__(self) -> None:
        self._peaks = Peaks()
        self._denials = Denials()
        self._decisions = Decisions()

    def describe(self) -> Iterable[Metric]:
        """Say nothing at the start: the database is asked when somebody scrapes."""
        return []

    def collect(self) -> Iterable[Metric]:
        """Read everything at one moment."""
        try:
            yield from _accounts(self._peaks)
            yield _counted("tradeapp_order_denied", "Orders that were asked for and refused, by reason", "code", self._denials)
            yield _counted("tradeapp_agent_decisions", "Decisions of bots, by what became of them", "outcome", self._decisions)
            yield CounterMetricFamily(
                "tradeapp_backtest_combo_bars", "Candles walked by backtests and trials of sweeps", value=combo_bars()
            )
            yield _weights()
            yield _queues()
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


def _accounts(peaks: Peaks) -> list[GaugeMetricFamily]:
    equity = GaugeMetricFamily("tradeapp_equity_quote", "Worth in quote; an empty bot is the account", labels=["account", "bot"])
    drawdown = GaugeMetricFamily(
        "tradeapp_drawdown_ratio",
        "How far below its best the gain is, of what was worth then; flows are neither gain nor loss",
        labels=["account", "bot"],
    )
    reserved = GaugeMetricFamily("tradeapp_capital_reserved_quote", "Held for live orders", labels=["account", "bot"])
    residual = GaugeMetricFamily("tradeapp_reconcile_residual", "Unexplained by asset", labels=["account", "asset"])
    for account_id in accounts_to_trade():
        with consistent_read():
            overview = account_overview(account_id)
        account = str(account_id)
        equity.add_metric([account, ""], float(overview.equity))
        best = peaks.of(account_id)
        drawdown.add_metric([account, ""], drawdown_ratio(overview.equity, overview.net_flows, best.get(None)))
        for book in overview.books:
            equity.add_metric([account, str(book.book_id)], float(book.equity))
            ratio = drawdown_ratio(book.equity, book.net_flows, best.get(book.book_id))
            drawdown.add_metric([account, str(book.book_id)], ratio)
            reserved.add_metric([account, str(book.book_id)], float(book.reserved))
        for asset, amount in overview.suspense.items():
            residual.add_metric([account, asset], float(amount))
    return [equity, drawdown, reserved, residual]


def _counted(name: str, says: str, label: str, counter: Denials | Decisions) -> CounterMetricFamily:
    found = CounterMetricFamily(name, says, labels=[label])
    for value, count in sorted(counter.counted().items()):
        found.add_metric([value], count)
    return found


def _weights() -> GaugeMetricFamily:
    """Tell what the traders that live have used of the minute; those of one exchange share an address, and so its limit."""
    found = GaugeMetricFamily(
        "tradeapp_exchange_weight_used_ratio", "Used part of this minute's request weight", labels=["exchange"]
    )
    exchanges = dict(Account.objects.values_list("id", "market__exchange"))
    used: dict[str, float] = {}
    for facts in Heartbeat.objects.filter(beat_at__gte=timezone.now() - HEARD_WITHIN).values_list("facts", flat=True):
        exchange = exchanges.get(facts.get("account"))
        if exchange is not None and "weight_used_ratio" in facts:
            used[exchange] = max(used.get(exchange, 0.0), facts["weight_used_ratio"])
    for exchange, ratio in sorted(used.items()):
        found.add_metric([exchange], ratio)
    return found


def _queues() -> GaugeMetricFamily:
    found = GaugeMetricFamily("tradeapp_queue_waiting", "Rows that wait for somebody to take them", labels=["queue"])
    found.add_metric(["orders"], Order.objects.filter(status=Order.Status.READY).count())
    found.add_metric(["history"], HistoryJob.objects.filter(state=HistoryJob.State.QUEUED).count())
    for name, model in (("backtests", BacktestRun), ("sweeps", Sweep), ("simulations", PlanComparison)):
        found.add_metric([name], model.objects.filter(state=model.State.QUEUED).count())
    return found


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
