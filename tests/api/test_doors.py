"""Who gets in, and what for."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from tests.api.conftest import Api, token_for
from tests.portfolio.world import World
from tradeapp import tokens
from tradeapp.api import api as ninja_api
from tradeapp.doorkeeper import scope_needed

OPEN = {"/health", "/ready"}


def test_every_address_but_two_asks_who_is_there(db: None) -> None:
    stranger = Api(Client())
    for path, methods in ninja_api.get_openapi_schema()["paths"].items():
        address = path.removeprefix("/api/v1/").replace("{account_id}", "1").replace("{bot_id}", "1").replace("{token_id}", "1")
        for method in methods:
            answer = stranger.send(method.upper(), address)
            expected = {200, 503} if f"/{address}" in OPEN else {401}
            assert answer.status_code in expected, (method, address, answer.content)


def test_every_change_names_its_scope(db: None) -> None:
    """A new address that changes something needs an administrator until somebody says otherwise."""
    needed = {}
    for path, methods in ninja_api.get_openapi_schema()["paths"].items():
        for method in methods:
            if method != "get":
                needed[f"{method.upper()} {path.removeprefix('/api/v1/')}"] = scope_needed(
                    method.upper(), path.removeprefix("/api/v1/")
                )

    assert needed == {
        "POST tokens": "admin",
        "DELETE tokens/{token_id}": "admin",
        "POST reconciliation/{account_id}/explain": "risk",
        "POST allocations/preview": "trade",
        "PUT allocations": "trade",
        "POST allocations": "trade",
        "POST kill": "risk",
        "POST kill/release": "admin",
        "POST risk/limits": "risk",
        "POST risk/release": "admin",
        "POST bots/{bot_id}/start": "bots:write",
        "POST bots/{bot_id}/stop": "bots:write",
        "POST bots/{bot_id}/pause": "bots:write",
        "POST bots/{bot_id}/resume": "bots:write",
        "POST bots/{bot_id}/flatten": "bots:write",
        "PUT mode": "trade",
        "POST mode": "trade",
        "POST mode/preview": "trade",
        "PUT rotation": "trade",
        "POST rotation": "trade",
        "POST sweeps": "bots:write",
        "POST sweeps/{sweep_id}/cancel": "bots:write",
        "POST history/fetches": "admin",
        "POST history/fetches/{job_id}/cancel": "admin",
        "POST history/verifications": "admin",
    }


def test_a_token_does_what_its_scopes_say(admin: User, world: World) -> None:
    reader = token_for(admin, "read")

    assert reader.get("pnl").status_code == 200
    answer = reader.post("kill", {"reason": "test"})
    assert (answer.status_code, answer.json()["code"]) == (403, "SCOPE_MISSING")
    assert token_for(admin, "risk").post("kill", {"reason": "test"}).status_code == 200
    assert token_for(admin, "risk").post("kill/release", {"reason": "test"}).status_code == 403


def test_a_token_cannot_do_more_than_its_maker(db: None) -> None:
    person = User.objects.create_user("ada")
    with pytest.raises(tokens.UnableToMakeToken) as refusal:
        tokens.create_token(name="x", scopes=["admin"], by=person, now=timezone.now())
    assert refusal.value.code == "SCOPE_NOT_YOURS"


def test_a_token_loses_what_its_maker_loses(admin: User, world: World) -> None:
    script = token_for(admin, "read", "risk")
    admin.is_superuser = admin.is_staff = False
    admin.save()
    assert script.post("kill", {"reason": "test"}).status_code == 403
    admin.is_active = False
    admin.save()
    assert script.get("pnl").json()["code"] == "TOKEN_INVALID"


def test_a_token_is_shown_once_and_can_be_revoked(api: Api) -> None:
    made = api.post("tokens", {"name": "script", "scopes": ["read"]}, key=None)
    secret = made.json()["secret"]
    script = Api(Client(), Authorization=f"Bearer {secret}")

    assert made.status_code == 201
    assert script.get("me").status_code == 200
    assert secret not in api.get("tokens").content.decode()
    assert api.send("DELETE", f"tokens/{made.json()['id']}").status_code == 204
    assert script.get("me").status_code == 401


def test_an_old_token_does_not_work(admin: User) -> None:
    now = timezone.now()
    _, secret = tokens.create_token(name="x", scopes=["read"], by=admin, now=now, expires_at=now + timedelta(seconds=1))

    assert tokens.authenticate(secret, now=now) is not None
    assert tokens.authenticate(secret, now=now + timedelta(seconds=1)) is None


def test_a_bad_token_is_refused_even_beside_a_good_session(api: Api) -> None:
    assert Api(api.client, Authorization="Bearer tra_wrong").get("me").status_code == 401


def test_a_session_needs_the_csrf_token_to_change_something(admin: User, world: World) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(admin)
    browser = Api(client)

    assert browser.get("pnl").status_code == 200
    answer = browser.post("kill", {"reason": "test"})
    assert (answer.status_code, answer.json()["code"]) == (403, "CSRF_FAILED")
    client.get("/")
    page_token = client.cookies["csrftoken"].value
    assert browser.post("kill", {"reason": "test"}, **{"X-CSRFToken": page_token}).status_code == 200


def test_somebody_without_rights_reads_only(world: World) -> None:
    client = Client()
    client.force_login(User.objects.create_user("viewer"))

    assert Api(client).get("pnl").status_code == 200
    assert Api(client).post("kill", {"reason": "x"}).json()["code"] == "SCOPE_MISSING"
