"""The risk page: what is left, what keeps entries out, which limits hold."""

from __future__ import annotations

from django.test import Client
from django.utils import timezone

from bots.models import Bot
from portfolio.models import RiskLatch
from tests.portfolio.world import NOW
from trading.risk import HARD_STOP


def test_every_page_shows_what_is_left_today(browser: Client, bots: list[Bot]) -> None:
    for address in ("/", f"/bots/{bots[0].pk}/", "/risk/", "/orders/"):
        text = browser.get(address).content.decode()
        assert 'data-figure="risk.left"' in text, address
    assert f'data-figure="risk.book.{bots[0].book_id}.left"' in browser.get(f"/bots/{bots[0].pk}/").content.decode()


def test_the_page_names_limits_and_how_to_change_them(browser: Client, bots: list[Bot]) -> None:
    text = browser.get("/parts/risk/").content.decode()
    assert 'name="order_value_max" value="2470.57"' in text
    assert text.count('name="soft_loss_percent"') == len(bots) + 1
    # A bot without limits of its own shows empty fields that hint at the account's.
    assert 'name="soft_loss_percent" value="" placeholder="5" data-was=""' in text


def test_a_shut_bot_says_why_and_what_would_change_it(browser: Client, bots: list[Bot]) -> None:
    book = bots[1].book
    latch = RiskLatch.objects.create(account=book.account, book=book, code=HARD_STOP, market_at=NOW, latched_at=NOW)
    text = browser.get("/parts/risk/").content.decode()
    assert "Risk hard stop" in text
    assert f"&quot;book&quot;: {book.pk}" in text or f'"book": {book.pk}' in text
    latch.released_at = timezone.now()
    latch.save()
    assert "data-command" not in browser.get("/parts/risk/").content.decode()


def test_the_page_of_an_empty_installation_says_what_to_do(browser: Client) -> None:
    assert browser.get("/risk/").status_code == 200
