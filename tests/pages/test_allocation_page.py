"""The allocation page: shares with what waits, every version with its differences."""

from __future__ import annotations

from decimal import Decimal

import pytest
from django.contrib.auth.models import User
from django.test import Client

from portfolio import services
from portfolio.models import Account, Book
from tests.portfolio.world import NOW, World


@pytest.fixture
def page(browser: Client, world: World, person: User) -> str:
    services.set_allocations(
        account_id=world.account_id,
        percents={world.books[0].pk: Decimal("12.5")},
        locks={world.books[1].pk: True},
        policy={"band_percent": Decimal("0.5"), "rebase_hours": 36},
        by=person,
        now=NOW,
        note="<b>less</b>",
    )
    Book.objects.filter(pk=world.books[2].pk).update(pending=Decimal(-42))
    return browser.get("/allocation/").content.decode()


def test_every_version_stands_there_with_what_it_changed_and_a_way_back(page: str) -> None:
    assert "Book 1 <del>20 %</del> <ins>12.5 %</ins>" in page
    assert "&lt;b&gt;less&lt;/b&gt;" in page
    assert page.count("Roll back</button>") == 1
    assert 'data-version="2"' in page


def test_locks_policy_and_what_waits_are_shown(page: str) -> None:
    assert page.count(" checked aria-label") == 1
    assert '<option value="36" selected>36 hours</option>' in page
    assert "\N{MINUS SIGN}42.00</span>" in page


def test_another_mode_is_named_because_shares_are_not_in_force(browser: Client, world: World) -> None:
    Account.objects.update(allocation_mode="single")
    assert "The account is in single mode" in browser.get("/allocation/").content.decode()


def test_a_line_up_is_shown_with_what_it_does_before_one_click_applies_it(browser: Client, world: World) -> None:
    part = browser.get("/parts/lineup/", {"name": "A"}).content.decode()
    assert part.count('<span class="chip good">create</span>') == 5
    assert "Apply Line-up A?" in part
    assert browser.get("/parts/lineup/", {"name": "Z"}).status_code == 404
    assert "Look at line-up B" in browser.get("/allocation/").content.decode()
