"""An administrator looks after people, keys and tokens on the security page."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone
from playwright.sync_api import Browser, Page, expect
from pytest_django.live_server_helper import LiveServer

from portfolio.models import AuditEntry, Credential
from portfolio.trader import rights
from tests.journeys.browser import administrator
from tests.portfolio.world import World, build
from tests.tradeapp.test_keys import KEY, MOVES, SECRET, TRADES, account, master_key_file
from tradeapp.models import ApiToken

__all__ = ["account", "master_key_file"]

pytestmark = [pytest.mark.slow, pytest.mark.browser, pytest.mark.timeout(300)]


@pytest.fixture
def world(browser: Browser, transactional_db: None) -> World:
    return build()


@pytest.fixture
def page(world: World, live_server: LiveServer, browser: Browser) -> Iterator[Page]:
    with administrator(browser, live_server) as found:
        yield found


@pytest.mark.fault("S01", "S02", "S10")
def test_people_keys_and_tokens_are_looked_after(page: Page, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    said = {"rights": MOVES}
    # The exchange's own answer is read in tests/exchange; here it is what the page makes of it.
    monkeypatch.setattr(rights, "ask", lambda *_a, **_k: said["rights"])
    page.goto("/security/")

    # Whoever is invited is shown with the link that signs them in once.
    page.locator("#invite-form [name=email]").fill("ada@example.org")
    page.locator("#invite-form [name=role]").select_option("operator")
    page.locator("#invite-form button").click()
    expect(page.locator("#invite-link")).to_contain_text("/sign-in/")
    row = page.locator("#security tr", has_text="ada@example.org")
    expect(row).to_contain_text("operator")
    row.get_by_role("button", name="Disable").click()
    page.locator("#confirm-yes").click()
    expect(row).to_contain_text("disabled")
    assert not User.objects.get(username="ada@example.org").is_active

    # A key that may do more than its role is refused in words, one that fits replaces the one before.
    form = page.locator("#key-form")
    form.locator("[name=key]").fill(KEY)
    form.locator("[name=secret]").fill(SECRET)
    form.get_by_role("button").click()
    expect(page.locator(".toast.bad")).to_contain_text("may transfer")
    said["rights"] = TRADES
    form.get_by_role("button").click()
    expect(page.locator("#security tr", has_text=KEY[-4:])).to_contain_text("trade")
    stored = Credential.objects.get(account=world.account_id, role="trade")
    assert (stored.key_last4, KEY in page.content(), SECRET in page.content()) == (KEY[-4:], False, False)

    # A token is shown once, works with the scopes that were ticked, and with no other.
    tokens = page.locator("#token-form")
    tokens.locator("[name=name]").fill("nightly")
    tokens.locator("[value='bots:write']").check()
    tokens.get_by_role("button").click()
    expect(page.locator("#token-made")).to_be_visible()
    secret = page.locator("#token-secret").inner_text()
    token = ApiToken.objects.get(name="nightly")
    assert token.scopes == ["bots:write", "read"]
    assert token.expires_at is not None
    assert 29 <= (token.expires_at - timezone.now()).days <= 30
    assert asked("get", "/api/v1/bots", secret) == 200
    assert asked("get", "/api/v1/users", secret) == 403
    page.reload()
    assert secret not in page.content()
    page.locator("#security tr", has_text="nightly").get_by_role("button", name="Revoke").click()
    page.locator("#confirm-yes").click()
    expect(page.locator("#security tr", has_text="nightly")).to_contain_text("revoked")
    assert asked("get", "/api/v1/bots", secret) == 401

    by = AuditEntry.objects.filter(actor__username="admin").values_list("action", flat=True)
    assert {"user.invite", "credential.store", "token.create", "token.revoke"} <= set(by)


def asked(method: str, address: str, secret: str) -> int:
    facts: dict[str, Any] = {"headers": {"Authorization": f"Bearer {secret}"}, "content_type": "application/json"}
    return int(getattr(Client(), method)(address, **facts).status_code)
