"""The coordinator's page: with nothing, with bots that trade, and what it costs."""

from __future__ import annotations

from decimal import Decimal

from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from bots.models import Bot
from portfolio.models import DecisionRecord
from tests.portfolio.deficit import deposit, oversold
from tests.portfolio.world import NOW, World


def page(browser: Client, query: str = "") -> str:
    answer = browser.get(f"/coordinator/{query}")
    assert answer.status_code == 200
    return answer.content.decode()


def test_without_an_account_it_says_what_to_do(browser: Client) -> None:
    assert "No account yet" in page(browser)


def test_every_bot_says_why_it_is_not_trading(browser: Client, bots: list[Bot]) -> None:
    text = page(browser)
    assert text.count('<details class="checklist"') == 5
    assert "Account state: The trader is reading what happened while it was away" in text
    assert "No live order holds capital." in text
    part = browser.get("/parts/gates/", {"bot": bots[0].pk}).content.decode()
    assert part.count("<details") == 1
    assert "Mode bot not active" in part


def test_orders_are_shown_with_owners_and_refusals_with_codes(browser: Client, world: World) -> None:
    world.decide(world.propose("place", 1, side="buy", lots=200, limit_price=Decimal(49000)))
    world.decide(world.propose("place", 2, side="buy", lots=900_000, limit_price=Decimal(49000)))
    text = page(browser)
    assert "Cancel this order of Book 2?" in text
    assert "Risk order value" in text or "Capital insufficient" in text or "Risk position cap" in text


def test_the_page_costs_the_same_however_much_was_refused(browser: Client, world: World) -> None:
    def reads() -> int:
        with CaptureQueriesContext(connection) as queries:
            assert "<script>alert" not in page(browser)
        return len(queries)

    before = reads()
    DecisionRecord.objects.bulk_create(
        DecisionRecord(
            book=world.books[0], bar_closed_at=NOW, leg=leg, action="enter", reason="TEST", outcome="denied",
            denial="RISK_POSITION_CAP", facts={"denial": {"book": "<script>alert"}}, strategy_hash="", config_hash="",
            recorded_at=NOW,
        )
        for leg in range(3_000)
    )  # fmt: skip

    assert reads() <= before + 1, "the newest decision has an instrument to read"
    assert before <= 81


def test_what_a_bot_owes_is_shown_with_who_could_give_it(browser: Client, world: World) -> None:
    deposit(world, "BTC", "0.01")
    world.fill(oversold(world), "0.0038", "50200")
    text = page(browser)
    assert "Book 1 owes 0.0038 BTC, worth 190.00 USDT now" in text
    assert "Cover 0.0038 from Unallocated" in text
    assert '"amount": "0.00380000"' in text
