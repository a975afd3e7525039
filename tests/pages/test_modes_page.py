"""The page and the admin of modes: who trades now, who comes next, and a choice made by a form."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from bots.models import Bot
from bots.services import Wish, switch_mode
from portfolio.models import Account, AuditEntry, ModeVersion
from tests.portfolio.world import MARKET_AT, NOW

DAY = "zone Asia/Tokyo\ndaily 00:00-12:00 MEAN_REVERSION carry\ndaily 12:00-24:00 GRID_TRADING flatten\n"


@pytest.fixture
def timed(bots: list[Bot]) -> list[Bot]:
    """Return bots whose account knows the time of its market."""
    Account.objects.filter(pk=bots[0].book.account_id).update(synced_through_at=MARKET_AT + timedelta(hours=1))
    return bots


def page(browser: Client) -> str:
    answer = browser.get("/modes/")
    assert answer.status_code == 200
    return answer.content.decode()


def test_the_page_of_an_empty_installation_says_what_to_do(browser: Client) -> None:
    assert "mode-form" not in page(browser)


def test_where_nobody_chose_every_bot_trades_with_its_share(browser: Client, timed: list[Bot]) -> None:
    text = page(browser)

    assert "Every bot" in text
    assert "Nothing switches by itself" in text
    assert "Nothing has been traded yet" in text
    assert "daily 00:00-04:48 MEAN_REVERSION flatten" in text, "an even week to begin with"


def test_in_a_rotation_the_page_names_five_switches_in_utc_and_local(browser: Client, timed: list[Bot]) -> None:
    switch_mode(account_id=timed[0].book.account_id, wish=Wish(mode="rotation", rotation=DAY), by=None, now=NOW)
    text = page(browser)

    assert '<p class="big small" id="mode-active">MeanReversion</p>' in text
    assert "until Fri 2024-03-01 03:00 UTC" in text
    assert "Fri 2024-03-01 12:00" in text
    assert text.count('<td data-name="UTC">') == 5


def choose(browser: Client, bots: list[Bot], **said: Any) -> Any:
    form = {
        "account": bots[0].book.account_id,
        "mode": "single",
        "bot": "",
        "rotation": "",
        "policy": "flatten",
        "wait_minutes": "0",
        "budget": "",
        "reason": "in the admin",
    } | said
    return browser.post(reverse("admin:portfolio_modeversion_add"), form)


def test_the_admin_switches_through_the_service(browser: Client, timed: list[Bot]) -> None:
    assert browser.get(reverse("admin:portfolio_modeversion_add")).status_code == 200
    assert choose(browser, timed, bot="grid", budget="1000").status_code == 302

    version = ModeVersion.objects.get()
    assert (version.book, version.budget, version.reason) == (timed[2].book, 1000, "in the admin")
    assert AuditEntry.objects.get(action="mode.set").actor_name == "admin"
    assert browser.get(reverse("admin:portfolio_modeversion_change", args=[version.pk])).status_code == 200
    for name in ("modeversion", "handover", "booktransfer"):
        assert browser.get(reverse(f"admin:portfolio_{name}_changelist")).status_code == 200


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({"bot": "grdi"}, "Did you mean"),
        ({"mode": "rotation", "rotation": "daily 00:00-12:00 grid"}, "gaps idle"),
        ({"mode": "rotation", "rotation": "now and then"}, "Line 1"),
        ({"bot": "grid", "policy": "wait"}, "Say how long to wait"),
        ({"bot": "grid", "budget": "-1"}, "above zero"),
    ],
)
def test_the_admin_refuses_in_words(browser: Client, timed: list[Bot], said: dict[str, Any], why: str) -> None:
    answer = choose(browser, timed, **said)

    assert answer.status_code == 200
    assert why in answer.content.decode()
    assert not ModeVersion.objects.exists()
