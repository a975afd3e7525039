"""What the page and the API say of a bot's results in R and of its orders, with something to say and without."""

from __future__ import annotations

import pytest
from django.test import Client

from bots.models import Bot
from bots.results_view import results_view
from portfolio.selectors import results
from tests.portfolio.test_results import bought_and_sold, enter
from tests.portfolio.world import World
from trading.orders import ExchangeStatus


def page_of(client: Client, bot: Bot) -> str:
    return client.get(f"/parts/results/?bot={bot.pk}").content.decode()


def test_page_and_api_tell_the_same_of_five_trades(world: World, bot: Bot, admin_client: Client) -> None:
    for price in ("50500", "51000", "49500", "50250"):
        bought_and_sold(world, "50000", price, stop="49000")
    bought_and_sold(world, "50000", "50600")
    bought_and_sold(world, "50000", "50750", stop="49000")
    world.end(enter(world, "0.003", "50500", None), ExchangeStatus.EXPIRED)

    told = admin_client.get(f"/api/v1/bots/{bot.pk}/results").json()
    page = page_of(admin_client, bot)

    assert (told["bot"], told["trades"], told["fills"], told["fills_are_cut"]) == (bot.pk, 6, 12, False)
    assert (told["in_r"]["r_trades"], told["in_r"]["r_less"], told["in_r"]["r_expectancy"]) == (5, 1, 0.4)
    assert (told["orders"]["orders"], told["orders"]["filled"], told["orders"]["stops"]) == (13, 12, 5)
    assert told["orders_seen"] == 18
    assert told["orders_from"] is not None
    for words in ("+0.40 R", "1 without a stop", "12 of 13 whole", "0 of 5", "6 closed trades of all 12 fills", "all 18 orders"):
        assert words in page, page


def test_without_trades_the_page_says_why_there_is_nothing(world: World, bot: Bot, admin_client: Client) -> None:
    page = page_of(admin_client, bot)
    assert "No trade yet: there is nothing to measure in R." in page
    assert "No order yet." in page

    world.fill(enter(world, "0.003", "50500", "49000"), "0.002", "50000")
    page = page_of(admin_client, bot)
    assert "No trade has closed yet: what is open has no result." in page
    assert "No order that the exchange took is over yet." in page
    told = admin_client.get(f"/api/v1/bots/{bot.pk}/results").json()
    assert (told["trades"], told["in_r"]["r_expectancy"], told["orders"]["by_count"]) == (0, None, None)


def test_trades_without_stops_are_said_to_have_none(world: World, bot: Bot, admin_client: Client) -> None:
    bought_and_sold(world, "50000", "50500")

    assert "no stop, no R" in page_of(admin_client, bot)
    Bot.objects.update(strategy="grid")
    assert "No trade has closed yet" in page_of(admin_client, bot), "its buys and sales had no slots"


def test_what_is_left_out_is_said(world: World, bot: Bot, admin_client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """The page names how far back its figures reach."""
    for _ in range(2):
        bought_and_sold(world, "50000", "50500", stop="49000")
    monkeypatch.setattr(results, "FILLS_MAX", 3)
    monkeypatch.setattr(results, "ORDERS_MAX", 4)

    told, page = results_view(bot), page_of(admin_client, bot)

    assert (told["trades"], told["fills"], told["fills_are_cut"], told["orders_seen"], told["orders_are_cut"]) == (
        1,
        3,
        True,
        4,
        True,
    )
    assert "1 closed trade of the newest 3 fills, since" in page
    assert "Of the newest 4 orders, since" in page
    assert page.count("older ones are not counted") == 2
