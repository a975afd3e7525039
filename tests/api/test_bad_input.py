"""Bad input gets a 4xx with a machine code, loses nothing and is never a 5xx."""

from __future__ import annotations

import json
from typing import Any

import pytest

from portfolio.models import Account, Allocation
from tests.api.conftest import Api
from tests.portfolio.world import World

NUMBERS: list[Any] = ["NaN", "Infinity", "-Infinity", "1e400", "1e-30", "1" * 40, "1,5", "١٢", "0x10", "", " 20", None, True]
NUMBERS += [[], {}, 0.1, 20, "-", "+5", "1.", ".5", "5\n"]


@pytest.mark.parametrize("number", NUMBERS, ids=repr)
def test_a_share_that_is_no_decimal_text_is_refused(api: Api, world: World, number: Any) -> None:
    body = {"shares": [{"book": world.books[0].pk, "percent": number}]}
    answer = api.send("PUT", "allocations", body)

    assert answer.status_code == 422, answer.content
    assert answer.json()["code"] == "INPUT_INVALID"
    assert Allocation.objects.filter(book=world.books[0]).count() == 1


BODIES = {
    "nothing": b"",
    "text": b"reason",
    "list": b"[]",
    "number": b"7",
    "null": b"null",
    "cut": b'{"reason": "x"',
    "not a number": b'{"reason": NaN}',
    "twice": b'{"reason": "x", "reason": "y"}',
    "deep": b'{"reason": ' + b"[" * 10_000 + b"]" * 10_000 + b"}",
    "bytes": b'{"reason": "\xff\xfe"}',
    "nul": b'{"reason": "a\\u0000b"}',
    "surrogate": b'{"reason": "\\ud800"}',
    "huge": b'{"reason": "' + b"x" * 1_000_000 + b'"}',
    "long": b'{"reason": "' + b"x" * 300 + b'"}',
    "blank": b'{"reason": "  "}',
    "missing": b"{}",
    "extra": b'{"reason": "x", "is_admin": true}',
    "account text": b'{"reason": "x", "account": "1; DROP TABLE"}',
    "account negative": b'{"reason": "x", "account": -1}',
    "account huge": b'{"reason": "x", "account": 99999999999999999999999}',
    "account unknown": b'{"reason": "x", "account": 999999}',
}


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES.keys())
def test_a_body_that_is_wrong_is_refused(api: Api, world: World, body: bytes) -> None:
    answer = api.post("kill", body)

    assert 400 <= answer.status_code < 500, answer.content
    assert answer["Content-Type"] == "application/problem+json"
    assert answer.json()["code"].isupper()
    assert not Account.objects.get(id=world.account_id).is_killed


@pytest.mark.parametrize(
    "content_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", ""]
)
def test_only_json_is_read(api: Api, world: World, content_type: str) -> None:
    headers = {"Idempotency-Key": "x"}
    answer = api.client.post("/api/v1/kill", json.dumps({"reason": "x"}), content_type=content_type, headers=headers)

    assert (answer.status_code, answer.json()["code"]) == (415, "CONTENT_TYPE")


@pytest.mark.parametrize(
    "path",
    [
        "fills?limit=-1",
        "fills?limit=0",
        "fills?limit=1000000000",
        "fills?limit=x",
        "fills?cursor=-1",
        "fills?cursor=x",
        "fills?cursor=9999999999999999999999",
        "fills?book=-1",
        "fills?book=99999999999999999999",
        "orders?status=OPEN",
        "orders?status=%00",
        "bots/0",
        "bots/-1",
        "bots/99999999999999999999",
        "bots/999999",
        "bots/x",
        "bots/1%2F..%2F2",
        "accounts/999999/balances",
        "accounts/1/equity?since=0000-01-01",
        "accounts/1/equity?since=yesterday",
        "accounts/1/equity?since=2024-03-01T00:00:00",
        "candles?symbol=%00&interval=5m",
        "candles?symbol=BTC/USDT:USDT&interval=5m",
        f"candles?symbol={'x' * 200}&interval=5m",
        "candles",
        "../../etc/passwd",
        "nothing",
    ],
)
def test_an_address_that_is_wrong_is_a_4xx(api: Api, world: World, path: str) -> None:
    answer = api.client.get(f"/api/v1/{path}")

    assert 400 <= answer.status_code < 500, (answer.status_code, answer.content)
    assert answer["Content-Type"] == "application/problem+json"


def test_the_ends_of_time_are_no_fault_of_ours(api: Api, world: World) -> None:
    for since in ("9999-12-31T23:59:59-23:00", "0001-01-01T00:00:00%2B23:00"):
        answer = api.client.get(f"/api/v1/accounts/{world.account_id}/equity?since={since}")
        assert answer.status_code < 500, answer.content


@pytest.mark.parametrize(
    "reason", ["<script>alert(1)</script>", "{{ 7*7 }}", "%n%s", "'; DROP TABLE x; --", "\N{RIGHT-TO-LEFT OVERRIDE}x", "🚀"]
)
def test_a_text_is_kept_as_it_is(api: Api, world: World, reason: str) -> None:
    assert api.post("kill", {"reason": reason}).json()["items"][0]["killed_reason"] == reason


def test_a_method_that_does_not_exist_is_refused(api: Api, world: World) -> None:
    refused = api.send("DELETE", "fills")
    assert (refused.status_code, refused.json()["code"], refused["Allow"]) == (405, "METHOD_NOT_ALLOWED", "GET")
    assert api.client.post("/api/v1/fills", headers={"X-HTTP-Method-Override": "GET", "Idempotency-Key": "x"}).status_code == 405
