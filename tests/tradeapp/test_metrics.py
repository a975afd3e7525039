"""`/metrics`: loopback alone, figures as the books have them, and nothing that is anybody's secret."""

from __future__ import annotations

import asyncio
import socket
import urllib.request
from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from typing import Any, cast

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.utils import timezone
from prometheus_client import REGISTRY, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from backtests.models import Sweep, SweepChunk
from portfolio.models import EquityPoint, Heartbeat, Order
from portfolio.trader import metrics as counted
from tests.portfolio.trader.lagging import bench
from tests.portfolio.world import NOW, World, build
from tradeapp import environment, heartbeats, metrics

D = Decimal


@pytest.fixture
def figures() -> Iterator[metrics.Figures]:
    """Have the web process's figures in the registry, as `serve` puts them there."""
    collector = metrics.Figures()
    REGISTRY.register(collector)
    yield collector
    REGISTRY.unregister(collector)


def scraped() -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """Return what Prometheus would read, by name and labels."""
    families = text_string_to_metric_families(generate_latest(REGISTRY).decode())
    return {(row.name, tuple(sorted(row.labels.items()))): row.value for family in families for row in family.samples}


@pytest.fixture
def world(transactional_db: None) -> World:
    return build()


def test_figures_are_those_of_the_books(world: World, figures: metrics.Figures) -> None:
    Heartbeat.objects.create(process="trader 1", beat_at=NOW)
    world.decide(world.propose("place", side="buy", lots=100, limit_price=D("45000")))
    world.exchange.free["ETH"] += 1
    world.compare()
    found = scraped()
    account, book = str(world.account_id), str(world.books[0].pk)
    assert found["tradeapp_equity_quote", (("account", account), ("bot", ""))] == 9882.31
    assert found["tradeapp_capital_reserved_quote", (("account", account), ("bot", book))] == 45
    assert found["tradeapp_reconcile_residual", (("account", account), ("asset", "ETH"))] == 1
    assert found["tradeapp_heartbeat_timestamp_seconds", (("process", "trader 1"),)] == NOW.timestamp()
    assert found["tradeapp_alarms_unacknowledged", (("is_critical", "true"),)] == 1
    assert found["tradeapp_queue_waiting", (("queue", "orders"),)] == 1
    assert found["tradeapp_queue_waiting", (("queue", "backtests"),)] == 0


def test_what_traders_use_bots_decide_and_workers_walk_is_told(world: World, figures: metrics.Figures) -> None:
    now = timezone.now()
    for name, seconds_ago, ratio in (("trader 1", 1, 0.25), ("trader 2", 2, 0.5), ("trader 3", 60, 0.9)):
        facts = {"account": world.account_id, "weight_used_ratio": ratio}
        Heartbeat.objects.create(process=name, beat_at=now - timedelta(seconds=seconds_ago), facts=facts)
    world.decide(world.propose("place", side="buy", lots=100, limit_price=D("45000")))
    world.decide(world.propose("place", side="buy", lots=90_000, limit_price=D("45000")))
    asked: dict[str, Any] = {
        "strategy": "trend",
        "symbol": "BTC/USDT",
        "interval": "5m",
        "begin_at": NOW,
        "allocation": 100,
        "requested_at": NOW,
    }
    asked |= {"fee": 0, "half_spread": 0, "slippage": 0}
    sweep = Sweep.objects.create(**asked, end_at=NOW + timedelta(hours=1), grid={}, fingerprint="x", trials=30)
    for number, state in ((0, SweepChunk.State.DONE), (1, SweepChunk.State.QUEUED)):
        SweepChunk.objects.create(sweep=sweep, number=number, begin=10 * number, end=10 * number + 10, state=state)
    found = scraped()
    assert found["tradeapp_exchange_weight_used_ratio", (("exchange", "binance"),)] == 0.5
    assert found["tradeapp_agent_decisions_total", (("outcome", "accepted"),)] == 1
    assert found["tradeapp_agent_decisions_total", (("outcome", "denied"),)] == 1
    # Ten trials of twelve candles each.
    assert found["tradeapp_backtest_combo_bars_total", ()] == 120


def test_an_order_is_measured_from_the_close_of_its_candle(world: World) -> None:
    """On a market that is paced by the moment its close was heard; what a person or a fill asked for is not measured."""

    def measured() -> tuple[float, float]:
        found = scraped()
        return found["tradeapp_bar_to_order_seconds_count", ()], found["tradeapp_bar_to_order_seconds_sum", ()]

    async def story() -> None:
        async with bench(world, clock=lambda: world.market_at + timedelta(seconds=3)) as opened:
            await opened.send()
            session = opened.session
            session.pacer = cast("Any", object())
            assert session.seconds_since_bar(world.market_at) is None
            session.hear_bar(world.market_at)
            opened.port.elapsed += 2
            session.hear_bar(world.market_at)
            assert session.seconds_since_bar(world.market_at) == 2
            assert session.seconds_since_bar(NOW) is None

    count, seconds = measured()
    world.decide(world.propose("enter", lots=380, limit_price=D("50505")))
    Order.objects.update(created_at=world.market_at)
    asyncio.run(story())
    count_after, seconds_after = measured()
    assert count_after == count + 1
    assert seconds_after == pytest.approx(seconds + 3)


def test_pages_give_a_sign_of_life_that_nobody_judges(world: World, settings: Any) -> None:
    settings.TRADEAPP_PROCESS = "command"
    heartbeats.begin_web()
    heartbeats.record(process=heartbeats.WEB)
    row = Heartbeat.objects.get()
    assert (row.process, row.code_hash) == ("web", "")


def test_refusals_are_counted_by_code_and_counted_on(world: World, figures: metrics.Figures) -> None:
    name = ("tradeapp_order_denied_total", (("code", "RISK_ORDER_VALUE"),))
    for expected in (1, 2):
        world.decide(world.propose("place", side="buy", lots=90_000, limit_price=D("45000")))
        assert scraped()[name] == expected
    assert scraped()[name] == 2


def test_a_refusal_that_is_too_young_is_counted_later(
    world: World, figures: metrics.Figures, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A transaction that took its number earlier may end later: it must not be passed over."""
    world.decide(world.propose("place", side="buy", lots=90_000, limit_price=D("45000")))
    with monkeypatch.context() as patched:
        patched.setattr("tradeapp.counting.timezone.now", lambda: NOW)
        assert not [name for name, _ in scraped() if name == "tradeapp_order_denied_total"]
    assert scraped()["tradeapp_order_denied_total", (("code", "RISK_ORDER_VALUE"),)] == 1


def test_a_drawdown_is_measured_from_the_best_gain_whatever_was_paid_in(world: World, figures: metrics.Figures) -> None:
    account, bot = str(world.account_id), str(world.books[0].pk)

    def ratio(whose: str) -> float:
        return scraped()["tradeapp_drawdown_ratio", (("account", account), ("bot", whose))]

    assert (ratio(""), ratio(bot)) == (0, 0)
    # The account gained 117.69 once, and 1,000 of its money came since.
    for at, equity, flows in ((1, "9000", "8882.31"), (2, "9882.31", "9882.31")):
        EquityPoint.objects.create(
            account_id=world.account_id, market_at=NOW + timedelta(minutes=at), equity=D(equity), net_flows=D(flows),
            realised=0, unrealised=0, fees=0,
        )  # fmt: skip
    assert ratio("") == pytest.approx(117.69 / 10_000)
    assert ratio(bot) == 0


def test_a_cut_of_the_users_stream_is_counted() -> None:
    def cuts() -> float:
        return scraped().get(("tradeapp_ws_disconnects_total", (("stream", "user"),)), 0)

    before = cuts()
    counted.count_disconnect("user")
    assert cuts() == before + 1


def test_it_is_served_on_loopback_alone_and_a_port_that_is_taken_ends_nothing() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        assert not counted.serve_on(taken.getsockname()[1])
        port = taken.getsockname()[1]
    assert not counted.serve_on(0)
    assert counted.serve_on(port)
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=60) as answer:
        assert b"tradeapp_orders_total" in answer.read()
    assert counted.LOOPBACK == "127.0.0.1"


@pytest.mark.parametrize(("value", "port"), [("", 0), ("9464", 9464), ("65535", 65535)])
def test_a_port_is_read(value: str, port: int) -> None:
    assert environment.port({"TRADEAPP_METRICS_PORT": value}, "TRADEAPP_METRICS_PORT") == port


@pytest.mark.parametrize("value", ["65536", "-1", "x", "1e3", "٩٤٦٤", "0x10"])
def test_what_is_no_port_is_refused(value: str) -> None:
    with pytest.raises(ImproperlyConfigured, match="no port"):
        environment.port({"TRADEAPP_METRICS_PORT": value}, "TRADEAPP_METRICS_PORT")
