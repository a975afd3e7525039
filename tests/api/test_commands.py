"""What the API changes, once."""

from __future__ import annotations

from decimal import Decimal

import pytest

from portfolio.models import Account, Allocation, AuditEntry
from tests.api.conftest import Api
from tests.portfolio.world import World
from tradeapp.models import IdempotencyKey


def shares(world: World, *percents: str) -> dict[str, object]:
    return {"shares": [{"book": book.pk, "percent": percent} for book, percent in zip(world.books, percents, strict=False)]}


@pytest.mark.fault("O02", "O12")
def test_a_command_sent_twice_is_done_once(api: Api, world: World) -> None:
    first = api.post("allocations", shares(world, "10"), key="once")
    again = api.post("allocations", shares(world, "10"), key="once")

    assert (first.status_code, again.status_code) == (200, 200)
    assert first.content == again.content
    assert again["Idempotency-Replayed"] == "true"
    assert Allocation.objects.filter(book=world.books[0]).count() == 2
    assert AuditEntry.objects.filter(request_id="once").count() == 1


def test_a_key_stands_for_one_command(api: Api, world: World) -> None:
    api.post("allocations", shares(world, "10"), key="once")
    other = api.post("allocations", shares(world, "15"), key="once")

    assert (other.status_code, other.json()["code"]) == (409, "IDEMPOTENCY_KEY_REUSED")


def test_a_refused_command_leaves_its_key_free(api: Api, world: World) -> None:
    assert api.post("allocations", shares(world, "150"), key="once").status_code == 409
    assert not IdempotencyKey.objects.exists()
    assert api.post("allocations", shares(world, "15"), key="once").status_code == 200


def test_a_command_needs_a_key(api: Api, world: World) -> None:
    assert api.post("kill", {"reason": "x"}, key=None).json()["code"] == "IDEMPOTENCY_KEY_MISSING"
    assert api.post("kill", {"reason": "x"}, key="x" * 300).json()["code"] == "IDEMPOTENCY_KEY_INVALID"
    assert not Account.objects.get(id=world.account_id).is_killed


def test_a_preview_changes_nothing_and_tells_what_would_move(api: Api, world: World) -> None:
    told = api.post("allocations/preview", shares(world, "10"), key=None)

    share = told.json()["shares"][0]
    assert Decimal(share["moved"]) < 0
    assert Decimal(share["target"]) < Decimal(1000)
    assert Allocation.objects.filter(book=world.books[0]).count() == 1


@pytest.mark.fault("G01", "O04")
def test_allocations_that_cannot_be_are_refused_with_a_reason(api: Api, world: World) -> None:
    for percents in (["101"], ["-1"], ["20", "20", "20", "20", "20.0001"]):
        answer = api.send("PUT", "allocations", shares(world, *percents))
        assert answer.status_code == 409, answer.content
        assert answer.json()["code"].isupper()
    assert Allocation.objects.filter(book=world.books[0]).count() == 1


def test_kill_and_release_are_audited_with_the_person(api: Api, world: World) -> None:
    assert api.post("kill", {"reason": "prices look wrong"}).json()["items"][0]["is_killed"]
    entry = AuditEntry.objects.get(action="account.kill")
    assert (entry.actor_name, entry.after) == ("admin", {"reason": "prices look wrong"})
    assert not api.post("kill/release", {"reason": "they were right"}).json()["items"][0]["is_killed"]
