"""People: how they come in, what they confirm, and what ends when they are sent away."""

from __future__ import annotations

import threading
from datetime import datetime, timedelta
from typing import Any

import pytest
import time_machine
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.utils import timezone

from portfolio.models import AuditEntry
from tests.api.conftest import Api, token_for
from tests.portfolio.world import World
from tradeapp import people, second_factor, sign_in, totp
from tradeapp.access import Role
from tradeapp.models import RecoveryCode, SecondFactor

PASSWORD = "a long enough password"


def code_of(secret: str, now: datetime) -> str:
    return totp.code_at(secret, totp.step_of(now.timestamp()))


def set_up(user: User) -> str:
    """Give a person a second factor; return its secret. Its first code is used up."""
    now = timezone.now() - timedelta(minutes=10)
    secret, _ = second_factor.begin(user, now=now)
    second_factor.finish(user, code_of(secret, now), now=now)
    return secret


def later(minutes: float) -> Any:
    return time_machine.travel(timezone.now() + timedelta(minutes=minutes), tick=True)


def actions() -> list[str]:
    return list(AuditEntry.objects.order_by("id").values_list("action", flat=True))


@pytest.mark.fault("S14")
def test_a_second_factor_is_set_up_in_the_browser_and_asked_for_at_the_door(api: Api, admin: User) -> None:
    begun = api.post("second-factor", key=None).json()
    now = timezone.now()
    assert api.post("second-factor/confirm", {"proof": "000000"}, key=None).json()["code"] == "CODE_WRONG"
    codes = api.post("second-factor/confirm", {"proof": code_of(begun["secret"], now)}, key=None).json()["recovery_codes"]

    door = {"username": "admin", "password": PASSWORD}
    with later(1):
        assert Client().post("/login/", door).status_code == 200, "the password alone is not enough"
        right = code_of(begun["secret"], timezone.now())
        assert Client().post("/login/", door | {"code": right}).status_code == 302
        assert Client().post("/login/", door | {"code": right}).status_code == 200, "a code works once"
        assert Client().post("/login/", door | {"code": codes[0]}).status_code == 302
        assert Client().post("/login/", door | {"code": codes[0]}).status_code == 200, "so does a recovery code"
    assert begun["secret"] not in str(SecondFactor.objects.values_list())
    assert codes[0] not in str(RecoveryCode.objects.values_list())


@pytest.mark.fault("S14")
def test_five_wrong_codes_close_the_second_factor_for_a_quarter_of_an_hour(admin: User) -> None:
    secret, now = set_up(admin), timezone.now()
    for _ in range(second_factor.FAILURES_MAX):
        assert not second_factor.check(admin, "000000", now=now)

    assert not second_factor.check(admin, code_of(secret, now), now=now)
    after = now + second_factor.LOCKED_FOR
    assert second_factor.check(admin, code_of(secret, after), now=after)


@pytest.mark.fault("S14")
@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "kill/release", {"reason": "looked into it"}),
        ("POST", "tokens", {"name": "script", "scopes": ["read"]}),
        ("POST", "users", {"email": "ada@example.org", "role": "admin"}),
        ("PATCH", "users/1", {"role": "viewer"}),
        ("DELETE", "second-factor", None),
        ("POST", "risk/limits", {"reason": "more", "order_value_max": "1000000"}),
    ],
)
def test_what_is_dangerous_wants_a_fresh_confirmation(
    api: Api, admin: User, world: World, method: str, path: str, body: dict[str, object] | None
) -> None:
    secret = set_up(admin)
    with later(6):
        answer = api.send(method, path, body)
        assert (answer.status_code, answer.json()["code"]) == (403, "CONFIRMATION_NEEDED")
        assert api.post("confirmation", {"proof": "123"}, key=None).json()["code"] == "CONFIRMATION_WRONG"
        assert api.post("confirmation", {"proof": PASSWORD}, key=None).status_code == 409, "a password is no code"
        assert api.post("confirmation", {"proof": code_of(secret, timezone.now())}, key=None).status_code == 200
        assert api.send(method, path, body).status_code in (200, 201, 204, 404)


def test_lowering_a_limit_wants_no_confirmation(api: Api, admin: User, world: World) -> None:
    with later(6):
        assert api.post("risk/limits", {"reason": "less", "orders_per_minute": 1}).status_code == 200


def test_a_person_without_password_or_second_factor_works_on_but_hands_out_nothing(world: World) -> None:
    client = Client()
    client.force_login(User.objects.create_superuser("first"))
    first = Api(client)
    with later(6):
        assert first.post("kill/release", {"reason": "looked into it"}).status_code == 200
        assert first.post("tokens", {"name": "x", "scopes": ["read"]}).json()["code"] == "CONFIRMATION_NEEDED"
        assert first.post("confirmation", {"proof": "x"}).json()["code"] == "CONFIRMATION_IMPOSSIBLE"


def test_a_token_confirms_nothing_unless_it_was_made_to(admin: User, world: World) -> None:
    plain, unattended = token_for(admin, "read", "admin"), token_for(admin, "read", "admin", "unattended")
    assert plain.post("kill/release", {"reason": "x"}).json()["code"] == "CONFIRMATION_NEEDED"
    assert unattended.post("kill/release", {"reason": "x"}).status_code == 200
    assert unattended.post("confirmation", {"proof": PASSWORD}).json()["code"] == "SESSION_NEEDED"


@pytest.mark.fault("S11")
def test_an_invited_person_has_no_password_and_comes_in_once(api: Api) -> None:
    made = api.post("users", {"email": "ada@example.org", "role": "operator"}, key=None)
    assert made.status_code == 201
    path = "/sign-in/" + made.json()["sign_in_link"].partition("/sign-in/")[2]
    ada = User.objects.get(username="ada@example.org")
    assert (ada.is_staff, ada.is_superuser, ada.has_usable_password()) == (True, False, False)

    browser = Client()
    assert browser.post(path).status_code == 302
    assert Api(browser).get("me").json()["role"] == "operator"
    assert Client().post(path).status_code == 410
    assert api.post("users", {"email": "ada@example.org", "role": "admin"}, key=None).json()["code"] == "USER_EXISTS"
    assert [name for name in actions() if name.startswith("user.")] == ["user.invite", "user.sign_in"]


@pytest.mark.fault("S14")
def test_a_link_wants_the_second_factor_too(admin: User) -> None:
    secret = set_up(admin)
    path = "/" + sign_in.create_sign_in_link(now=timezone.now(), base_url="http://x").split("/", 3)[-1]

    assert Client().post(path).status_code == 403
    assert Client().post(path, {"code": code_of(secret, timezone.now())}).status_code == 302


def test_a_changed_role_and_a_disabled_person_lose_their_sessions(api: Api) -> None:
    person = User.objects.create_user("ada", password=PASSWORD, is_staff=True)
    browser = Client()
    browser.force_login(person)
    assert Api(browser).get("me").json()["role"] == "operator"

    assert api.send("PATCH", f"users/{person.pk}", {"role": "viewer"}).json()["role"] == "viewer"
    assert Api(browser).get("me").status_code == 401
    browser.force_login(person)
    assert api.send("PATCH", f"users/{person.pk}", {"is_active": False}).json()["is_active"] is False
    assert Api(browser).get("me").status_code == 401
    assert Client().post("/login/", {"username": "ada", "password": PASSWORD}).status_code == 200


def test_the_last_administrator_stays(api: Api, admin: User) -> None:
    for change in ({"role": "viewer"}, {"is_active": False}):
        assert api.send("PATCH", f"users/{admin.pk}", change).json()["code"] == "LAST_ADMINISTRATOR"


def test_sessions_are_listed_without_their_keys_and_ended(api: Api, admin: User) -> None:
    elsewhere = Client()
    elsewhere.post("/login/", {"username": "admin", "password": PASSWORD}, headers={"User-Agent": "telephone"})
    listed = api.get("sessions")
    other = next(session for session in listed.json()["items"] if not session["is_this"])

    assert elsewhere.session.session_key not in listed.content.decode()
    assert (other["agent"], other["address"]) == ("telephone", "127.0.0.1")
    viewer = Client()
    viewer.force_login(User.objects.create_user("viewer"))
    assert Api(viewer).send("DELETE", f"sessions/{other['name']}").status_code == 404, "not theirs"
    assert api.send("DELETE", f"sessions/{other['name']}").status_code == 204
    assert Api(elsewhere).get("me").status_code == 401


def test_a_new_password_is_long_and_ends_the_other_sessions(api: Api, admin: User) -> None:
    elsewhere = Client()
    elsewhere.force_login(admin)

    assert api.send("PUT", "password", {"password": "short"}).status_code == 422
    assert api.send("PUT", "password", {"password": "passwordpassword1"[:12]}).status_code in (204, 422)
    assert api.send("PUT", "password", {"password": "quite another and longer one"}).status_code == 204
    assert api.get("me").status_code == 200
    assert Api(elsewhere).get("me").status_code == 401


@pytest.mark.fault("S13")
def test_wrong_passwords_close_the_door_for_the_name_and_for_the_place(admin: User) -> None:
    wrong = {"username": "admin", "password": "wrong"}
    answers = [Client().post("/login/", wrong, REMOTE_ADDR=f"192.0.2.{number}") for number in range(1, 6)]
    right = {"username": "admin", "password": PASSWORD}

    assert Client().post("/login/", right, REMOTE_ADDR="192.0.2.99").status_code == 429, "the name is closed"
    for number in range(5):
        Client().post("/login/", {"username": f"name{number}", "password": "wrong"}, REMOTE_ADDR="198.51.100.7")
    User.objects.create_user("ada", password=PASSWORD)
    ada = {"username": "ada", "password": PASSWORD}
    assert Client().post("/login/", ada, REMOTE_ADDR="198.51.100.7").status_code == 429, "the place is closed"
    assert Client().post("/login/", ada, REMOTE_ADDR="203.0.113.1").status_code == 302
    assert {answer.status_code for answer in answers} <= {200, 429}
    assert actions().count("user.sign_in_failed") >= 8


@pytest.mark.fault("S13")
def test_a_forged_forwarding_header_changes_no_address(admin: User) -> None:
    for number in range(20):
        Client().post(
            "/login/", {"username": f"x{number}", "password": "wrong"}, headers={"X-Forwarded-For": f"198.51.100.{number}"}
        )
    answer = Client().post("/login/", {"username": "admin", "password": PASSWORD})
    assert answer.status_code == 429


@pytest.mark.fault("S13")
@pytest.mark.django_db(transaction=True)
def test_twenty_guesses_at_once_are_counted_like_twenty_in_a_row() -> None:
    User.objects.create_superuser("admin", password=PASSWORD)
    statuses: list[int] = []

    def guess() -> None:
        statuses.append(Client().post("/login/", {"username": "admin", "password": "wrong"}).status_code)
        connection.close()

    threads = [threading.Thread(target=guess) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert statuses.count(200) <= 5
    assert statuses.count(429) >= 15


@pytest.mark.fault("S13")
def test_a_name_that_exists_and_one_that_does_not_look_the_same(admin: User) -> None:
    known = Client().post("/login/", {"username": "admin", "password": "wrong"}).content.decode()
    unknown = Client().post("/login/", {"username": "adnim", "password": "wrong"}).content.decode()

    assert "do not fit together" in known
    assert known.replace("admin", "?").count("\n") == unknown.replace("adnim", "?").count("\n")


def test_every_answer_names_its_request_and_the_audit_knows_it(api: Api, world: World) -> None:
    answer = api.post("kill", {"reason": "test"}, **{"X-Request-ID": "desk-7"})
    entry = AuditEntry.objects.filter(action="account.kill").first()
    assert entry is not None
    assert answer["X-Request-ID"] == "desk-7"
    assert (entry.request_id, entry.address) == ("desk-7", "127.0.0.1")
    assert len(api.get("me")["X-Request-ID"]) == 32


def test_roles_are_given_on_the_host_too(db: None) -> None:
    user, link = people.invite(email="eve@example.org", role="viewer", by=None, base_url="http://x", now=timezone.now())
    assert people.set_role(user_id=user.pk, role="operator", by=None, now=timezone.now()).is_staff
    assert link.startswith("http://x/sign-in/")
    with pytest.raises(people.UnableToAdmit):
        people.invite(email="no address", role=Role.VIEWER, by=None, base_url="", now=timezone.now())
