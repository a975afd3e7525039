"""The page and the admin of sub-accounts: all accounts together, what moves between them, and how to begin."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from bots.models import Bot
from portfolio.models import Account, AccountTransfer, AuditEntry, Heartbeat
from portfolio.services import set_targets
from tests.portfolio.test_transfers import ask, sub  # noqa: F401 - a fixture.
from tests.portfolio.world import NOW, D, World


def page(browser: Client, path: str = "/subaccounts/") -> str:
    answer = browser.get(path)
    assert answer.status_code == 200, path
    return answer.content.decode()


def test_without_sub_accounts_the_page_says_how_to_open_them(browser: Client) -> None:
    assert "No account yet" in page(browser)


def test_a_master_alone_is_told_how_to_open_some(browser: Client, bots: list[Bot]) -> None:
    text = page(browser)
    assert "sub_accounts open A" in text
    assert "transfer-form" not in text


def test_all_accounts_stand_together_with_what_moves(browser: Client, world: World, sub: Account) -> None:  # noqa: F811
    ask(world, sub, "250.5")
    set_targets(master_id=world.account_id, percents={sub.pk: D(4)}, by=None, now=NOW)
    text = page(browser)

    assert "9,882.31" in text, "the worth of all of them"
    assert '<span class="chip warn">250.50</span>' in text, "on its way"
    assert "1 transfer under way" in text
    assert 'name="per_transfer" inputmode="decimal" autocomplete="off" size="10" placeholder="none" value="500"' in text
    assert "what is still needed is known when they have ended" in text
    for part in ("family", "family_moves"):
        assert "second" in page(browser, f"/parts/{part}/?account={world.account_id}")
    assert page(browser, f"/subaccounts/?account={sub.pk}").count("Move money") == 1


def test_the_page_of_a_bot_belongs_to_its_own_account(browser: Client, bots: list[Bot]) -> None:
    """Also where another account is the one that pages show."""
    Account.objects.filter(pk=bots[0].book.account_id).update(is_enabled=False)
    assert bots[0].name in page(browser, f"/bots/{bots[0].pk}/")
    assert browser.get("/bots/999999/").status_code == 404


def add(browser: Client, world: World, receiver: int, **said: Any) -> Any:
    form = {"sender": world.account_id, "receiver": receiver, "asset": "USDT", "amount": "1", "reason": "in the admin"} | said
    return browser.post(reverse("admin:portfolio_accounttransfer_add"), form)


def test_the_admin_asks_through_the_service(browser: Client, world: World, sub: Account) -> None:  # noqa: F811
    Heartbeat.objects.update(beat_at=timezone.now())
    assert browser.get(reverse("admin:portfolio_accounttransfer_add")).status_code == 200
    assert add(browser, world, sub.pk).status_code == 302

    row = AccountTransfer.objects.get()
    assert (row.amount, row.state, row.reason) == (1, "recorded", "in the admin")
    assert AuditEntry.objects.get(action="transfer.request").actor_name == "admin"
    assert browser.get(reverse("admin:portfolio_accounttransfer_change", args=[row.pk])).status_code == 200
    assert browser.get(reverse("admin:portfolio_accounttransfer_changelist")).status_code == 200


@pytest.mark.parametrize(
    ("said", "why"),
    [({"amount": "501"}, "more than the 500"), ({"amount": "-1"}, "above zero"), ({"asset": "DOGE"}, "knows no asset")],
)
def test_the_admin_refuses_in_words(
    browser: Client,
    world: World,
    sub: Account,  # noqa: F811
    said: dict[str, str],
    why: str,
) -> None:
    answer = add(browser, world, sub.pk, **said)

    assert (answer.status_code, why in answer.content.decode()) == (200, True)
    assert not AccountTransfer.objects.exists()
