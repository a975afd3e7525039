"""Who gets in, and what for."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from tests.api.conftest import Api, token_for
from tests.portfolio.world import World
from tradeapp import access, roles, tokens
from tradeapp.access import Role

# What ends the session it is asked with, or changes how one signs in.
OWN_DOOR = {"PUT password", "DELETE second-factor"}
PARAMETERS: dict[str, dict[str, object]] = {
    "pages:bot": {"bot_id": 1},
    "pages:sweep": {"sweep_id": 1},
    "pages:backtest": {"run_id": 1},
    "pages:comparison": {"comparison_id": 1},
    "pages:trial": {"trial_id": 1},
    "pages:part": {"name": "door"},
    "sign_in_by_link": {"token": "unknown"},
}


def anything(template: str) -> str:
    """Fill the parameters of an address in."""
    return re.sub(r"{(\w+)}", "1", template)


def caller(role: str) -> Api:
    """Return the API as somebody of a role sees it, or a stranger."""
    client = Client(raise_request_exception=False)
    if role != "stranger":
        client.force_login(User.objects.create(username=role, **roles.flags_of(Role(role))))
    return Api(client)


@pytest.mark.parametrize("role", ["stranger", *Role])
def test_every_operation_asks_for_its_role(world: World, role: str) -> None:
    """The table against the doors: what a role may do gets past them, what it may not does not."""
    asking = caller(role)
    scopes = frozenset() if role == "stranger" else access.ROLE_SCOPES[Role(role)]
    for name, needed in access.OPERATIONS.items():
        method, _, template = name.partition(" ")
        if name in OWN_DOOR:
            continue
        answer = asking.send(method, anything(template))
        refusals = {"UNAUTHENTICATED", "SCOPE_MISSING"}
        code = answer.json().get("code") if answer.status_code in (401, 403) else None
        if needed.scope is None or needed.scope in scopes:
            assert code not in refusals, (role, name, answer.content)
        else:
            assert code == ("UNAUTHENTICATED" if role == "stranger" else "SCOPE_MISSING"), (role, name, answer.content)
        assert answer.status_code < 500 or name == "GET ready", (role, name, answer.content)


@pytest.mark.parametrize("role", ["stranger", *Role])
def test_every_page_asks_for_its_role(world: World, role: str) -> None:
    browser = caller(role).client
    for name, needed in access.PAGES.items():
        if name == "pages:logout":
            continue
        answer = browser.get(reverse(name, kwargs=PARAMETERS.get(name, {})))
        if needed is None or (role != "stranger" and access.reaches(Role(role), needed)):
            assert not answer.headers.get("Location", "").startswith("/login/?"), (role, name)
            assert answer.status_code != 403, (role, name)
        elif role == "stranger":
            assert answer.headers["Location"].startswith("/login/?next="), (role, name)
        else:
            assert answer.status_code == 403, (role, name)


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
