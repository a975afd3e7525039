"""The coordinator over the API: who holds what, who was refused and why, and why a bot is not trading."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from bots.models import Bot
from bots.services import create_bot, set_shares
from portfolio.coordinator_view import coordinator_view
from portfolio.models import Account, AuditEntry, Book, DecisionRecord, Order, Position, RiskLimits
from portfolio.selectors.worth import worth
from tests.api.conftest import Api
from tests.bots.conftest import Desk, desk  # noqa: F401 - a fixture.
from tests.portfolio.deficit import deposit, oversold
from tests.portfolio.world import NOW, D, World, build


@pytest.fixture
def market(db: None) -> World:
    """Return books that hold, offer and are refused."""
    made = build()
    RiskLimits.objects.update(fall_percent=1)
    made.decide(made.propose("enter", 0, lots=300, limit_price=D("50505")))
    made.fill(made.send(made.order(kind="enter", book=0)), "0.003", "50000", fee="0", fee_asset="BTC")
    made.decide(made.propose("place", 0, side="sell", lots=200, limit_price=D("50600"), slot=1))
    made.decide(made.propose("place", 1, "ETH/USDT", side="buy", lots=500, limit_price=D("2400"), slot=1))
    made.decide(made.propose("place", 2, side="buy", lots=100, limit_price=D("50700"), slot=1))
    made.decide(made.propose("place", 3, side="buy", lots=900_000, limit_price=D("49000"), slot=1))
    return made


def test_capital_reservations_and_owners_are_told(api: Api, market: World) -> None:
    view = api.get("coordinator").json()

    held = {(row["bot"], row["intent"], row["asset"], row["remaining"]) for row in view["reservations"]}
    assert held == {("Book 1", "place", "BTC", "0.002"), ("Book 2", "place", "USDT", "120")}
    assert view["reserved"] == "120"
    assert {(row["bot"], row["side"], row["status"]) for row in view["orders"]} == {
        ("Book 1", "sell", "ready"),
        ("Book 2", "buy", "ready"),
    }
    (btc,) = view["exposures"]
    assert (btc["asset"], btc["value"], [part["bot"] for part in btc["slices"]]) == ("BTC", "150", ["Book 1"])
    since = api.get("reservations").json()["items"]
    assert {(row["bot"], row["intent"]) for row in since} == {("Book 1", "place"), ("Book 2", "place")}
    assert all(row["since_at"] for row in since)


def test_refusals_are_counted_and_a_crossing_comes_with_the_price_that_would_be_taken(api: Api, market: World) -> None:
    view = api.get("conflicts").json()

    counts = {row["code"]: row["count"] for row in view["counts"]}
    assert counts["CONFLICT_WOULD_CROSS"] == 1
    assert sum(counts.values()) == view["counted"] == 2
    (offer,) = view["offers"]
    assert (offer["bot"], offer["rival"], offer["its_price"], offer["limit_accepted"]) == (
        "Book 3",
        "Book 1",
        "50600",
        "50599.99",
    )
    chosen = api.get("conflicts", code="CONFLICT_WOULD_CROSS").json()
    assert [row["bot"] for row in chosen["newest"]] == ["Book 3"]
    assert api.get("conflicts", code="drop table").status_code == 422


def test_what_the_coordinator_shows_costs_the_same_however_much_there_is(
    market: World, django_assert_max_num_queries: Any
) -> None:
    rows = [
        DecisionRecord(
            book=market.books[0], bar_closed_at=NOW, leg=leg, action="enter", reason="TEST", outcome="denied",
            denial="RISK_POSITION_CAP", strategy_hash="", config_hash="", recorded_at=NOW,
        )
        for leg in range(5_000)
    ]  # fmt: skip
    DecisionRecord.objects.bulk_create(rows)
    now_worth = worth(market.account_id)
    with CaptureQueriesContext(connection) as queries:
        view = coordinator_view(now_worth)

    assert len(queries) == 8
    assert (view["conflicts"]["counted"], len(view["conflicts"]["newest"])) == (2_000, 50)


def test_dust_is_what_cannot_be_sold_alone(api: Api, market: World) -> None:
    Position.objects.update(quantity=D("0.00009"), cost=D("4.5"))
    (row,) = api.get("coordinator").json()["dust"]
    assert (row["bot"], row["quantity"], row["notional_min"]) == ("Book 1", "0.00009", "5")


def test_an_orphan_is_shown_and_can_be_cancelled_once(api: Api, market: World) -> None:
    order = Order.objects.get(book=market.books[1])
    Order.objects.filter(pk=order.pk).update(status="unknown")
    assert [row["id"] for row in api.get("coordinator").json()["orphans"]["orders"]] == [order.pk]

    Order.objects.filter(pk=order.pk).update(status="ready")
    answer = api.post(f"orders/{order.pk}/cancel", {"reason": "nobody wants it"})
    assert (answer.status_code, answer.json()["status"]) == (200, "withdrawn")
    assert AuditEntry.objects.get(action="order.cancel").after == {"reason": "nobody wants it"}
    assert api.post(f"orders/{order.pk}/cancel", {"reason": "again"}).json()["code"] == "ORDER_ENDED"
    assert api.post("orders/999999/cancel", {"reason": "none"}).json()["code"] == "ORDER_NOT_FOUND"
    assert market.verify() == []


@pytest.fixture
def trading(desk: Desk) -> Bot:  # noqa: F811 - the fixture.
    return desk.bot("FIRST")


def shut(api: Api, bot: Bot) -> dict[str, dict[str, Any]]:
    view = api.get(f"bots/{bot.pk}/gates").json()
    return {gate["name"]: gate for gate in view["gates"] if gate["state"] == "shut"}


def test_every_shut_gate_names_its_code_its_facts_and_what_would_change_it(api: Api, desk: Desk, trading: Bot) -> None:  # noqa: F811
    usual = set(shut(api, trading))
    assert usual == {"trader", "candles", "prices", "signal"}

    Account.objects.update(is_killed=True, killed_reason="drill")
    Book.objects.update(is_halted=True, halt_reason="DEFICIT", base_equity=0)
    Bot.objects.update(status="paused", strategy_hash="older")
    found = shut(api, trading)
    assert set(found) - usual == {
        "kill switch",
        "book",
        "allocation",
        "bot",
        "strategy",
        "risk of the account",
        "risk of the bot",
        "filters",
    }
    assert (found["kill switch"]["code"], found["kill switch"]["facts"]) == ("KILL_ACTIVE", {"reason": "drill"})
    assert found["book"]["code"] == "DEFICIT"
    assert all(gate["code"] and gate["remedy"] and gate["link"] for gate in found.values())
    verdict = api.get("gates").json()["items"][0]["verdict"]
    assert verdict == "Kill switch: An administrator releases it, with a reason."


def test_another_bots_turn_is_a_shut_gate(api: Api, trading: Bot) -> None:
    Account.objects.update(allocation_mode="single")
    assert shut(api, trading)["mode"]["code"] == "MODE_BOT_NOT_ACTIVE"


def test_the_checklists_of_more_bots_cost_few_more_reads(desk: Desk, trading: Bot) -> None:  # noqa: F811
    from bots.gates import checklists

    def reads() -> int:
        with CaptureQueriesContext(connection) as queries:
            checklists(desk.account.pk, now=NOW)
        return len(queries)

    before = reads()
    for number in range(4):
        bot = create_bot(account_id=desk.account.pk, planned=desk.plan(f"MORE_{number}"), by=None, now=NOW)
        set_shares(account_id=desk.account.pk, percents={bot.pk: D(5)}, by=None, now=NOW)
    assert reads() - before <= 4, "one for the newest decision of each"
    assert before <= 45


def test_a_deficit_is_shown_and_can_be_covered_once(api: Api, db: None) -> None:
    world = build()
    deposit(world, "BTC", "0.01")
    world.fill(oversold(world), "0.0038", "50200")
    (row,) = api.get("coordinator").json()["orphans"]["deficits"]
    assert (row["bot"], row["amount"], row["cost"], row["sources"][0]["most"]) == ("Book 1", "0.0038", "190", "0.0038")
    assert api.get("coordinator").json()["dust"] == []

    wish = {"book": row["book_id"], "asset": "BTC", "reason": "sold twice"}
    answer = api.post("deficits/cover", wish)
    assert (answer.status_code, answer.json()["quantity"], answer.json()["value"]) == (200, "0.0038", "190")
    assert api.post("deficits/cover", wish).json()["code"] == "DEFICIT_NONE"
    assert api.post("deficits/cover", wish | {"book": 999999}).json()["code"] == "BOOK_NOT_FOUND"
    assert api.get("coordinator").json()["orphans"]["deficits"] == []
    assert world.verify() == []
