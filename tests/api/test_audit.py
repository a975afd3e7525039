"""Every change leaves one row of audit in its own transaction, and the audit can be searched."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import Error, transaction
from django.utils import timezone

from bots.models import Bot
from portfolio.models import AuditEntry, RiskLatch
from portfolio.trader import rights
from tests.api.conftest import Api, line_up
from tests.api.watching import writes
from tests.portfolio.world import NOW, World
from tests.tradeapp.test_keys import TRADES
from tradeapp import access, people, second_factor, tokens
from tradeapp.access import Role
from trading.risk import HARD_STOP
from trials.services import cancel_trial, request_trial
from trials.spec import SimulatedTrial

SIMULATED = {"kind": "simulation", "hours": 24, "begin_at": "2024-01-01T00:00:00Z", "end_at": "2024-01-02T00:00:00Z"}

Send = Callable[[], tuple[str, str, Any]]


def shares(world: World, *percents: str) -> list[dict[str, Any]]:
    return [{"book": book.pk, "percent": percent} for book, percent in zip(world.books, percents, strict=False)]


def changes(world: World, bot: Bot, admin: User) -> dict[str, Send]:
    """Return for operations a request that changes something, prepared when it is sent."""
    account = world.account_id
    person = User.objects.create_user("somebody", password="a long enough password")

    def latch() -> tuple[str, str, Any]:
        RiskLatch.objects.create(account_id=account, book=world.books[2], code=HARD_STOP, market_at=NOW, latched_at=NOW)
        return "POST", "risk/release", {"account": account, "book": world.books[2].pk, "reason": "looked into it"}

    def token() -> tuple[str, str, Any]:
        made, _ = tokens.create_token(name="x", scopes=["read"], by=admin, now=timezone.now())
        return "DELETE", f"tokens/{made.pk}", None

    def factor() -> tuple[str, str, Any]:
        second_factor.begin(person, now=timezone.now())
        return "DELETE", f"users/{person.pk}/second-factor", None

    def trial(command: str, body: Any = None) -> Send:
        """Return a command to a simulated trial that waits, or was cancelled where that is what is needed."""

        def send() -> tuple[str, str, Any]:
            begin = datetime(2024, 1, 1, tzinfo=UTC)
            spec = SimulatedTrial(bots=(), hours=24, begin_at=begin, end_at=begin + timedelta(days=1))
            made = request_trial(account_id=bot.book.account_id, spec=spec, by=admin, now=timezone.now())
            if command != "cancel":
                cancel_trial(trial_id=made.pk, by=admin, now=timezone.now())
            return "POST", f"trials/{made.pk}/{command}", body

        return send

    def plain(method: str, path: str, body: Any = None) -> Send:
        return lambda: (method, path, body)

    return {
        "POST tokens": plain("POST", "tokens", {"name": "x", "scopes": ["read"]}),
        "DELETE tokens/{token_id}": token,
        "POST second-factor": plain("POST", "second-factor"),
        "DELETE second-factor": plain("DELETE", "second-factor"),
        "PUT password": plain("PUT", "password", {"password": "another long enough password"}),
        "POST users": plain("POST", "users", {"email": "ada@example.org", "role": "viewer"}),
        "PATCH users/{user_id}": plain("PATCH", f"users/{person.pk}", {"role": "operator"}),
        "DELETE users/{user_id}/second-factor": factor,
        "PUT accounts/{account_id}/keys/{role}": plain(
            "PUT", f"accounts/{account}/keys/trade", {"key": "key-12345678", "secret": "secret-12345678"}
        ),
        "DELETE accounts/{account_id}/keys/{role}": plain("DELETE", f"accounts/{account}/keys/trade"),
        "PUT allocations": plain("PUT", "allocations", {"account": account, "shares": shares(world, "10")}),
        "POST allocations": plain("POST", "allocations", {"account": account, "shares": shares(world, "12")}),
        "POST trials": plain("POST", "trials", SIMULATED | {"account": bot.book.account_id}),
        "POST trials/{trial_id}/cancel": trial("cancel"),
        "POST trials/{trial_id}/resume": trial("resume"),
        "POST kill": plain("POST", "kill", {"account": account, "reason": "test"}),
        "POST kill/release": plain("POST", "kill/release", {"account": account, "reason": "test"}),
        "POST risk/limits": plain("POST", "risk/limits", {"account": account, "reason": "less", "orders_per_minute": 1}),
        "POST risk/release": latch,
        "POST bots/{bot_id}/start": plain("POST", f"bots/{bot.pk}/start"),
        "POST bots/{bot_id}/pause": plain("POST", f"bots/{bot.pk}/pause"),
        "POST bots/{bot_id}/resume": plain("POST", f"bots/{bot.pk}/resume"),
        "POST bots/{bot_id}/stop": plain("POST", f"bots/{bot.pk}/stop"),
        "POST bots/{bot_id}/flatten": plain("POST", f"bots/{bot.pk}/flatten"),
    }


def test_every_change_leaves_an_audit_row_that_names_its_request(
    api: Api, admin: User, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rights, "ask", lambda *_a, **_k: TRADES)
    prepared = changes(world, line_up()[0], admin)
    for name, prepare in prepared.items():
        method, path, body = prepare()
        with writes() as written:
            answer = api.send(method, path, body, **{"X-Request-ID": f"walk-{name}".replace(" ", "-")[:64]})
        assert answer.status_code < 300, (name, answer.content)
        rows = list(AuditEntry.objects.filter(request_id=f"walk-{name}".replace(" ", "-")[:64]))
        assert rows, (name, written)
        assert all(row.actor_id == admin.pk and row.address == "127.0.0.1" for row in rows), name


def test_nothing_that_is_refused_or_only_read_writes_anything(api: Api, world: World) -> None:
    for name in access.OPERATIONS:
        method, _, template = name.partition(" ")
        address = template.replace("{account_id}", str(world.account_id)).replace("{role}", "trade").replace("{name}", "unknown")
        for parameter in (
            "bot_id",
            "token_id",
            "user_id",
            "run_id",
            "sweep_id",
            "comparison_id",
            "trial_id",
            "job_id",
            "order_id",
        ):
            address = address.replace(f"{{{parameter}}}", "999999")
        request = f"look-{name}".replace(" ", "-")[:64]
        with writes() as written:
            answer = api.send(method, address, **{"X-Request-ID": request})
        is_harmless = method == "GET" or answer.status_code >= 400
        assert not (is_harmless and written and not AuditEntry.objects.filter(request_id=request).exists()), (name, written)
        assert not (written and answer.status_code < 300) or AuditEntry.objects.filter(request_id=request).exists(), (
            name,
            written,
        )


def test_a_change_that_fails_leaves_neither_change_nor_row(admin: User, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_arguments: object, **_facts: object) -> str:
        raise OSError("power cut")

    monkeypatch.setattr("tradeapp.sign_in.create_link_for", fail)
    with pytest.raises(OSError, match="power cut"):
        people.invite(email="ada@example.org", role=Role.VIEWER, by=admin, base_url="", now=timezone.now())
    assert not User.objects.filter(username="ada@example.org").exists()
    assert not AuditEntry.objects.filter(action="user.invite").exists()


def test_nobody_changes_the_audit(api: Api, world: World) -> None:
    api.post("kill", {"reason": "test"})
    entry = AuditEntry.objects.filter(action="account.kill").get()
    for change in (lambda: AuditEntry.objects.filter(pk=entry.pk).update(actor_name="nobody"), entry.delete):
        with pytest.raises(Error, match="append-only"), transaction.atomic():
            change()


def test_the_audit_is_searched_by_who_what_whom_which_and_when(api: Api, world: World) -> None:
    api.post("kill", {"reason": "test"}, **{"X-Request-ID": "one"})
    api.post("kill/release", {"reason": "test"}, **{"X-Request-ID": "two"})
    subject = f"account:{world.account_id}"
    soon = (timezone.now() + timedelta(hours=1)).isoformat()

    def found(**query: str) -> list[str]:
        answer = api.get("audit", **query)
        assert answer.status_code == 200
        return [entry["action"] for entry in answer.json()["items"]]

    assert found(action="account.", actor="ADMIN") == ["account.release_kill", "account.kill"]
    assert found(request_id="one") == ["account.kill"]
    assert found(subject=subject, action="account.kill", actor="admin") == ["account.kill"]
    assert found(since=soon) == []
    assert found(until=soon, request_id="two") == ["account.release_kill"]
    assert api.get("audit", actor="a\x00b").status_code == 422
    first = api.get("audit", limit=1, action="account.").json()
    second = api.get("audit", limit=1, action="account.", cursor=first["next_cursor"]).json()
    assert first["items"][0]["id"] > second["items"][0]["id"]


def test_the_page_shows_what_was_asked_for_and_survives_nonsense(api: Api, world: World) -> None:
    api.post("kill", {"reason": "<b>test</b>"}, **{"X-Request-ID": "one"})
    page = api.client.get("/audit/", {"action": "account.kill"}).content.decode()
    assert "account.kill" in page
    assert "<b>test" not in page
    assert "Nothing was changed that fits" in api.client.get("/audit/", {"actor": "nobody"}).content.decode()
    nonsense = {"since": "yesterday", "until": "9999-99-99", "cursor": "x" * 40, "actor": "\x00", "subject": "%"}
    assert api.client.get("/audit/", nonsense).status_code == 200
