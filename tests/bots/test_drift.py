"""The monitor of drift over stored fills (P7): what is compared with what, what is not, and how an alarm begins and ends."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.test import Client

from bots import jobs
from bots.models import Bot, BotDrift
from bots.selectors.drift import ASKED_BY_PERSON, CANDLE_MISSING, CANDLE_OPEN, bots_to_look_at, drift
from marketdata.models import Candle
from portfolio.models import Account, AuditEntry, Intent, Order
from tests.portfolio.world import BAR, NOW, D, World
from trading import drift as rules
from trading.orders import ExchangeStatus

pytestmark = pytest.mark.parity("P7")
OPENS = 50_000.0
# What the model pays of an open of 50,000: half a spread of 50 millionths.
MODEL = {"buy": D("50002.50"), "sell": D("49997.50")}


def candle(world: World, opened: float = OPENS) -> None:
    """Record the candle that opens now, and say that the account knows it."""
    instrument = world.instruments["BTC/USDT"]
    Candle.objects.create(
        instrument=instrument, interval="5m", open_at=world.market_at, open=opened, high=opened * 1.2, low=opened * 0.5,
        close=opened, volume=1.0,
    )  # fmt: skip
    known(world)


def known(world: World) -> None:
    Account.objects.filter(pk=world.account_id).update(synced_through_at=world.market_at + BAR)


def execute(world: World, kind: str, price: Decimal, *parts: str, **fields: Any) -> Order:
    world.decide(world.propose(kind, **fields))
    order = world.send(world.order(kind=kind))
    for part in parts or (str(order.quantity),):
        assert world.fill(order, part, f"{price:f}")
    return world.end(order, ExchangeStatus.FILLED)


def buy(world: World, price: Decimal, *parts: str) -> Order:
    return execute(world, "enter", price, *parts, lots=300, limit_price=D("51000"))


def sell(world: World, price: Decimal) -> Order:
    return execute(world, "exit", price)


def trades(world: World, count: int, *, worse: Decimal) -> None:
    """Buy and sell so many times, each order a part of the model's price worse than it."""
    for _ in range(count):
        for order, side in ((buy, "buy"), (sell, "sell")):
            sign = 1 if side == "buy" else -1
            order(world, round(MODEL[side] * (1 + sign * worse), 2))
            candle(world)


def fresh(bot: Bot) -> Bot:
    return Bot.objects.select_related("book__account").get(pk=bot.pk)


def test_each_order_stands_beside_the_next_open_and_half_the_spread(world: World, bot: Bot) -> None:
    buy(world, D("50007.50"), "0.001", "0.002")
    candle(world)
    sell(world, MODEL["sell"])
    candle(world)

    found = drift(fresh(bot))

    sold, bought = found.executions
    assert (bought.model, bought.price, bought.fills) == (MODEL["buy"], D("50007.50"), 2)
    assert (sold.model, sold.shortfall and sold.shortfall.bps) == (MODEL["sell"], 0.0)
    assert bought.shortfall is not None
    assert (bought.shortfall.cost, round(bought.shortfall.bps, 4)) == (D("0.015"), 1.0)
    assert (found.figures.orders, found.waiting, found.gaps) == (2, 0, {})
    assert [day.orders for day in found.days.values()] == [2]


def test_a_stop_stands_beside_its_own_price_or_the_open_below_it(world: World, bot: Bot) -> None:
    for opened, model in ((OPENS, "48997.55"), (48_000.0, "47997.60")):
        world.decide(world.propose("enter", lots=300, limit_price=D("51000"), stop_price=D("49000")))
        order = world.send(world.order(kind="enter"))
        world.fill(order, "0.003", "50002.50")
        world.end(order, ExchangeStatus.FILLED)
        candle(world)
        stop = world.send(world.order(kind="stop"))
        world.market_at += BAR
        world.exchange.clock = world.market_at + timedelta(seconds=50)
        candle(world, opened)
        world.fill(stop, str(stop.quantity), model)
        world.end(stop, ExchangeStatus.FILLED)

        newest = drift(fresh(bot)).executions[0]

        assert (newest.type, newest.model) == ("STOP_LOSS", D(model))
        assert newest.shortfall is not None
        assert newest.shortfall.bps == 0.0


def test_a_resting_limit_stands_beside_itself(world: World, bot: Bot) -> None:
    order = execute(world, "place", D("49500"), side="buy", lots=300, limit_price=D("49500"))

    (only,) = drift(synced(world, bot)).executions

    assert order.type == "LIMIT_MAKER"
    assert (only.model, only.shortfall and only.shortfall.bps) == (D("49500"), 0.0)


def synced(world: World, bot: Bot) -> Bot:
    known(world)
    return fresh(bot)


def test_what_has_no_price_of_the_models_says_why(world: World, bot: Bot) -> None:
    buy(world, MODEL["buy"])
    Account.objects.filter(pk=world.account_id).update(synced_through_at=world.market_at)
    assert drift(fresh(bot)).gaps == {CANDLE_OPEN: 1}
    assert drift(fresh(bot)).waiting == 1
    known(world)
    assert drift(fresh(bot)).gaps == {CANDLE_MISSING: 1}
    Intent.objects.update(kind=Intent.Kind.FLATTEN)
    assert drift(fresh(bot)).gaps == {ASKED_BY_PERSON: 1}
    assert drift(fresh(bot)).figures.orders == 0


def test_an_account_that_never_synced_has_nothing_to_compare(world: World, bot: Bot) -> None:
    buy(world, MODEL["buy"])

    assert drift(fresh(bot)).executions == []


def test_no_more_is_read_than_asked_and_no_order_by_half(world: World, bot: Bot) -> None:
    buy(world, MODEL["buy"], "0.001", "0.001", "0.001")
    candle(world)
    sell(world, MODEL["sell"])
    candle(world)

    assert [one.side for one in drift(fresh(bot), fills_max=2).executions] == ["sell"]
    assert [one.side for one in drift(fresh(bot), fills_max=5).executions] == ["sell", "buy"]


def test_an_alarm_begins_and_ends_with_its_facts_in_the_audit(world: World, bot: Bot, monkeypatch: pytest.MonkeyPatch) -> None:
    # The rule itself is proven without a database.
    monkeypatch.setattr(rules, "ORDERS_MIN", 6)
    trades(world, 3, worse=D("0.0005"))

    assert jobs.watch_drift(clock=lambda: NOW) == [bot.pk]
    row = BotDrift.objects.get()
    assert (row.is_alarmed, row.orders, row.waiting) == (True, 6, 0)
    assert row.mean_bps == pytest.approx(5.0, abs=0.01)
    # It lasts without being news again.
    assert jobs.watch_drift(clock=lambda: NOW) == []

    trades(world, 1, worse=D("-0.002"))
    assert jobs.watch_drift(clock=lambda: NOW) == [bot.pk]
    row.refresh_from_db()
    assert (row.is_alarmed, row.clear_reason) == (False, "DRIFT_MEAN_WITHIN")
    told = AuditEntry.objects.filter(subject=f"bot:{bot.pk}").order_by("id")
    assert [entry.action for entry in told] == ["drift.alarm", "drift.clear"]
    assert told[0].after["orders"] == 6
    assert told[1].after["reason"] == "DRIFT_MEAN_WITHIN"


def test_only_bots_with_something_new_are_looked_at(world: World, bot: Bot) -> None:
    assert bots_to_look_at() == []
    buy(world, MODEL["buy"])
    Account.objects.filter(pk=world.account_id).update(synced_through_at=world.market_at)
    assert jobs.watch_drift(clock=lambda: NOW) == []
    # Its candle has not closed: it is looked at again.
    assert bots_to_look_at() == [bot.pk]
    candle(world)
    jobs.watch_drift(clock=lambda: NOW)
    assert bots_to_look_at() == []
    BotDrift.objects.update(alarmed_at=NOW)
    assert bots_to_look_at() == [bot.pk]
    assert jobs.watch_drift(clock=lambda: NOW) == [bot.pk]
    assert BotDrift.objects.get().clear_reason == "DRIFT_ORDERS_FEW"


def test_page_api_and_alarms_say_the_same(world: World, bot: Bot, admin_client: Client) -> None:
    path = f"/api/v1/bots/{bot.pk}/drift"
    assert admin_client.get(path).json()["figures"] == {
        "orders": 0, "mean": None, "low": None, "high": None, "worst": None, "cost": "0",
    }  # fmt: skip
    assert "Nothing to compare yet" in admin_client.get(f"/parts/drift/?bot={bot.pk}").content.decode()
    buy(world, D("50012.50"))
    known(world)
    gap = admin_client.get(path).json()
    assert (gap["gaps"], gap["orders"][0]["model_price"]) == ({CANDLE_MISSING: 1}, None)
    candle(world)
    BotDrift.objects.create(bot=bot, alarmed_at=NOW, looked_at=NOW, mean_bps=5.0, low_bps=4.5, high_bps=5.5, orders=31)

    told = admin_client.get(path, {"limit": 1}).json()
    page = admin_client.get(f"/parts/drift/?bot={bot.pk}").content.decode()
    alarms = admin_client.get("/alarms/").content.decode()

    assert (told["is_alarmed"], told["figures"]["orders"], told["figures"]["cost"]) == (True, 1, "0.03")
    (order,) = told["orders"]
    assert (order["price"], order["model_price"], round(order["shortfall_bps"], 2)) == ("50012.5", "50002.5", 2.0)
    assert "<strong>+2.00 bp</strong>" in page
    assert "Too few to judge" in page
    assert "Fills have drifted" in page
    assert f'href="/bots/{bot.pk}/#drift"' in alarms
    assert "+5.00 bp on average of 31 orders (+4.50 to +5.50)" in alarms
    assert "Nothing waits for you" not in alarms
    assert 'data-figure="health.alarms">1<' in alarms
