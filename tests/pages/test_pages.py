"""Pages render without data and with it, and show what the API tells."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.test import Client

from bots.models import Bot
from portfolio.models import Account
from tests.api.conftest import trade
from tests.portfolio.world import World
from tradeapp.pages import reading, topics
from tradeapp.pages.views import PARTS

PAGES = ["/", "/orders/", "/allocation/", "/reconcile/", "/system/", "/history/"]


def figures_of(page: str) -> dict[str, str]:
    return dict(re.findall(r'data-figure="([^"]+)">([^<]*)<', page))


@pytest.mark.parametrize("path", [*PAGES, "/bots/1/"])
def test_a_stranger_is_sent_to_sign_in(client: Client, db: None, path: str) -> None:
    answer: Any = client.get(path)

    assert (answer.status_code, answer.url) == (302, f"/login/?next={path}")


@pytest.mark.parametrize("path", PAGES[:4])
def test_an_empty_installation_says_what_to_do_next(browser: Client, path: str) -> None:
    page = browser.get(path).content.decode()

    assert "No account yet" in page
    assert "setup_demo" in page
    assert not re.search(r"\d+\.\d\d USDT", page)


@pytest.mark.parametrize("path", PAGES)
def test_a_page_renders_with_data(browser: Client, world: World, path: str) -> None:
    trade(world, book=1, sells=True)

    answer = browser.get(path)

    assert answer.status_code == 200
    assert "Test market" in answer.content.decode()


@pytest.mark.parametrize("path", ["/", "/coordinator/"])
def test_an_account_without_bots_leads_to_the_lineups(browser: Client, world: World, path: str) -> None:
    """What is offered first is a look: coins of a line-up that are not listed are an obstacle there, not a failed command."""
    page = browser.get(path).content.decode()

    assert "No bots yet" in page
    (link,) = set(re.findall(r'<a href="([^"]+)#lineups">Look at a line-up</a>', page))
    assert 'id="lineups"' in browser.get(link).content.decode()


@pytest.mark.parametrize("name", PARTS)
def test_every_part_renders(browser: Client, bots: list[Bot], name: str) -> None:
    # The line-up's part is asked for by the name of a line-up (test_allocation_page.py).
    answer = browser.get(f"/parts/{name}/?bot={bots[0].pk}&name=A")

    assert answer.status_code == 200, name


@pytest.mark.parametrize("path", ["/parts/nothing/", "/bots/999999/", "/parts/decisions/?bot=x", "/?account=x", "/?account=%00"])
def test_what_does_not_exist_is_not_found(browser: Client, bots: list[Bot], path: str) -> None:
    assert browser.get(path).status_code == 404


def test_the_page_the_api_and_the_stream_show_the_same_figures(browser: Client, world: World) -> None:
    trade(world, book=0, sells=False)
    trade(world, book=1, sells=True)

    shown = figures_of(browser.get("/allocation/").content.decode())
    told = browser.get("/api/v1/pnl").json()
    pushed = topics.portfolio(Account.objects.get(id=world.account_id))

    assert pushed.seq == told["seq"]
    figures = pushed.data["figures"]
    for name in ("equity", "pnl", "realised", "unrealised", "fees"):
        assert figures[f"account.{name}"]["value"] == told["account"][name]
        for book in told["bots"]:
            assert figures[f"book.{book['book']}.{name}"]["value"] == book[name]
    for book in told["bots"]:
        assert shown[f"book.{book['book']}.equity"] == f"{Decimal(book['equity']).quantize(Decimal('0.01')):,}"


def test_every_topic_answers_with_and_without_an_account(db: None, bots: list[Bot]) -> None:
    account = Account.objects.latest("id")
    for provider in (topics.portfolio, topics.orders, topics.allocation, topics.bots, topics.health, topics.events):
        assert provider(account).seq >= 0
    found = topics.bot(f"bot:{bots[0].pk}")
    assert found is not None
    assert found.data["status"] == "stopped"
    assert topics.bot("bot:999999") is None
    assert topics.bot("bot:x") is None


def test_a_topic_of_nobody_is_unknown_and_that_of_an_empty_installation_is_empty(db: None) -> None:
    answer = topics._of_account(topics.portfolio)

    assert answer("portfolio") is not None
    assert answer("portfolio:7") is None
    assert answer("portfolio:x") is None


def test_a_stopped_bot_offers_to_start_and_says_why_it_is_not_trading(browser: Client, bots: list[Bot]) -> None:
    page = browser.get(f"/bots/{bots[0].pk}/").content.decode()

    assert "it is not trading" in page
    assert f'data-command="/api/v1/bots/{bots[0].pk}/start"' in page


def test_every_bot_keeps_its_colour(db: None, bots: list[Bot]) -> None:
    lines = reading.bot_lines(bots[0].book.account_id)

    assert [line.colour for line in lines] == [0, 1, 2, 3, 4]


def test_names_are_text_and_never_markup(browser: Client, bots: list[Bot]) -> None:
    evil = """<img src=x onerror=alert(1)>'"]}"""
    Bot.objects.filter(pk=bots[0].pk).update(name=evil[:64], status_reason=evil)
    for path in ("/", f"/bots/{bots[0].pk}/", "/allocation/", f"/parts/bot_state/?bot={bots[0].pk}"):
        assert "<img" not in browser.get(path).content.decode()


@pytest.mark.parametrize("path", ["/login/", "/", "/parts/nothing/", "/api/v1/health", "/api/v1/nothing"])
def test_nothing_of_others_may_run_on_a_page(browser: Client, path: str) -> None:
    policy = browser.get(path)["Content-Security-Policy"]

    assert "default-src 'self'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy


def test_signing_in_by_password(client: Client, person: object) -> None:
    wrong = client.post("/login/", {"username": "admin", "password": "wrong"})
    assert "do not fit together" in wrong.content.decode()
    right: Any = client.post(
        "/login/?next=/orders/", {"username": "admin", "password": "a long enough password", "next": "/orders/"}
    )
    assert (right.status_code, right.url) == (302, "/orders/")


def test_signing_in_leads_nowhere_else(client: Client, person: object) -> None:
    answer: Any = client.post(
        "/login/", {"username": "admin", "password": "a long enough password", "next": "https://evil.example/"}
    )

    assert answer.url == "/"


def test_the_market_pace_is_measured_on_decisions() -> None:
    begin = datetime(2024, 3, 1, tzinfo=UTC)
    moments = [(begin + timedelta(minutes=5 * n), begin + timedelta(seconds=5 * n)) for n in (3, 2, 1)]

    assert reading.pace(moments) == "60"
    assert reading.pace([(at, at) for at, _ in moments]) == "1.0"
    assert reading.pace(moments[:1]) == ""
    assert reading.pace([moments[0], moments[0]]) == ""
