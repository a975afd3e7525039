"""What the API tells."""

from __future__ import annotations

from decimal import Decimal

import pytest

from portfolio.models import Fill, LedgerTransaction
from tests.api.conftest import Api
from tests.portfolio.world import World

LISTS = ["accounts", "bots", "orders", "fills", "trades", "positions", "reservations", "ledger", "audit", "events", "kill"]
LISTS += ["strategies", "history/coverage", "instruments", "tokens"]


@pytest.mark.parametrize("path", LISTS)
def test_every_list_is_items(api: Api, world: World, path: str) -> None:
    answer = api.get(path)

    assert answer.status_code == 200, answer.content
    assert isinstance(answer.json()["items"], list)


@pytest.mark.parametrize("path", ["orders", "fills", "pnl", "positions", "allocations", "mode", "accounts/1/balances"])
def test_without_an_account_there_is_nothing_to_tell(api: Api, path: str) -> None:
    answer = api.get(path)

    assert (answer.status_code, answer.json()["code"]) == (404, "NOT_FOUND")
    assert answer["Content-Type"] == "application/problem+json"


def test_pnl_adds_up_exactly_and_carries_its_seq(api: Api, world: World) -> None:
    told = api.get("pnl").json()

    books = told["bots"]
    assert told["seq"] > 0
    assert len(books) == 5
    assert sum(Decimal(book["equity"]) for book in books) + Decimal(told["account"]["pools"]) == Decimal(
        told["account"]["equity"]
    )
    total = sum(Decimal(book["pnl"]) for book in books) + Decimal(told["account"]["pools_pnl"])
    assert total == Decimal(told["account"]["pnl"])
    assert Decimal(books[0]["net_contributed"]) == Decimal("1976.46")
    assert Decimal(books[1]["realised"]) > 0


def test_the_same_seq_means_the_same_figures_and_a_new_mark_a_new_seq(api: Api, world: World) -> None:
    from datetime import timedelta

    from marketdata.models import Mark

    before, again = api.get("pnl").json(), api.get("pnl").json()
    assert before == again
    mark = Mark.objects.get(instrument=world.instruments["BTC/USDT"])
    mark.price, mark.received_at = Decimal(52000), mark.received_at + timedelta(milliseconds=250)
    mark.save()

    after = api.get("pnl").json()

    assert after["seq"] > before["seq"]
    assert Decimal(after["account"]["unrealised"]) > Decimal(before["account"]["unrealised"])


def test_balances_show_every_pocket_and_the_marks(api: Api, world: World) -> None:
    told = api.get(f"accounts/{world.account_id}/balances").json()

    assert told["marks"]["BTC/USDT"] == "50000"
    kinds = {pocket["kind"] for pocket in told["pockets"]}
    assert {"available", "unallocated", "external_trade", "external_flow"} <= kinds
    for asset in ("USDT", "BTC"):
        assert sum(Decimal(pocket["balance"]) for pocket in told["pockets"] if pocket["asset"] == asset) == 0


def test_fills_come_in_pages_that_meet_exactly(api: Api, world: World) -> None:
    seen, cursor = [], None
    while True:
        query = {"limit": 1} | ({"cursor": cursor} if cursor else {})
        page = api.get("fills", **query).json()
        seen += [fill["id"] for fill in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break

    assert seen == list(Fill.objects.order_by("-id").values_list("id", flat=True))
    assert len(seen) == 3


def test_a_fill_tells_whose_it_is(api: Api, world: World) -> None:
    fill = api.get("fills").json()["items"][0]

    assert (fill["bot"], fill["symbol"], fill["side"]) == ("Book 2", "BTC/USDT", "sell")
    assert fill["client_order_id"].startswith("t1-2-")
    assert (fill["price"], fill["fee"], fill["fee_asset"]) == ("51000", "0.1", "USDT")


def test_a_trade_is_flat_to_flat_and_its_profit_is_what_was_realised(api: Api, world: World) -> None:
    items = api.get("trades").json()["items"]

    is_open = {trade["bot"]: trade["closed_at"] is None for trade in items}
    assert is_open == {"Book 1": True, "Book 2": False}
    closed = next(trade for trade in items if trade["bot"] == "Book 2")
    assert Decimal(closed["profit"]) == Fill.objects.get(side="sell").realised


def test_the_ledger_shows_legs_that_sum_to_zero(api: Api, world: World) -> None:
    items = api.get("ledger", limit=500).json()["items"]

    assert len(items) == LedgerTransaction.objects.count()
    for row in items:
        for asset in {entry["asset"] for entry in row["entries"]}:
            assert sum(Decimal(entry["amount"]) for entry in row["entries"] if entry["asset"] == asset) == 0
    assert items[0]["hash_previous"] == items[1]["hash"]


def test_reconciliation_shows_each_asset(api: Api, world: World) -> None:
    world.compare()

    told = api.get(f"accounts/{world.account_id}/reconciliation").json()

    assert told["items"][0]["outcome"] == "exact"
    assert {line["asset"]: Decimal(line["residual"]) for line in told["items"][0]["lines"]}["USDT"] == 0
    assert told["suspense"] == {}


def test_health_needs_no_sign_in_and_ready_says_what_is_missing(api: Api, world: World, client: object) -> None:
    from django.test import Client

    stranger = Api(Client())

    assert stranger.get("health").status_code == 200
    told = stranger.get("ready")
    assert told.status_code == 503
    assert f"trader {world.account_id} gives no sign of life" in told.json()["reasons"]


def test_ready_once_everything_beats(api: Api, world: World) -> None:
    from django.utils import timezone

    from portfolio.models import Account, Heartbeat

    market = Account.objects.get(id=world.account_id).market_id
    for process in (f"trader:{world.account_id}", f"feed {market}", "worker trading"):
        Heartbeat.objects.create(process=process, beat_at=timezone.now())

    assert api.get("ready").json() == {"ready": True, "reasons": []}


def test_the_schema_describes_every_address(api: Api) -> None:
    schema = api.client.get("/api/v1/openapi.json").json()

    assert schema["openapi"].startswith("3.1")
    for path in ("/api/v1/pnl", "/api/v1/bots/{bot_id}/start", "/api/v1/allocations/preview"):
        assert path in schema["paths"]
