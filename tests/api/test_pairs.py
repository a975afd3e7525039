"""Pairs of bots through the API: what there is, making one, what they traded, and every way to be refused."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test.utils import CaptureQueriesContext

from bots import services
from bots.models import Bot
from portfolio.models import Account, AuditEntry
from tests.api.conftest import Api, token_for
from tests.bots.conftest import NOW
from tests.bots.pair_of_bots import APART, LEVEL, Two, two

__all__ = ["two"]


def wanted(two: Two, **changes: Any) -> dict[str, Any]:
    body = {"account": two.near.account.pk, "far_account": two.far.account.pk, "symbol": "btcusdt", "params": {"share": 0.3}}
    return body | changes


def test_a_pair_is_made_once_by_a_named_person(api: Api, two: Two) -> None:
    made = api.post("pairs", wanted(two), key="once")
    again = api.post("pairs", wanted(two), key="once")

    assert (made.status_code, again.content) == (201, made.content), made.content
    pair = made.json()
    assert (pair["key"], pair["name"], pair["coin"], pair["interval"]) == ("ARBITRAGE", "Arbitrage", "BTC", "5m")
    assert [pair[side]["account_name"] for side in ("leader", "follower")] == ["demo", "far"]
    assert [pair[side]["symbol"] for side in ("leader", "follower")] == ["BTC/USDT"] * 2
    assert [pair[side]["status"] for side in ("leader", "follower")] == ["stopped"] * 2
    assert pair["params"]["share"] == 0.3
    assert set(AuditEntry.objects.filter(action="bot.create").values_list("actor_name", "request_id")) == {("admin", "once")}
    assert AuditEntry.objects.filter(action="bot.create").count() == Bot.objects.count() == 2
    # Asked for anew it is the same pair.
    assert api.post("pairs", wanted(two)).json()["leader"]["bot"] == pair["leader"]["bot"]
    assert Bot.objects.count() == 2


def test_both_sides_know_each_other_and_tell_what_they_hold_and_made(api: Api, two: Two) -> None:
    leader, follower = two.started()
    two.stock()
    (pair,) = api.get("pairs").json()["items"]
    sides = [pair["leader"], pair["follower"]]

    assert [side["bot"] for side in sides] == [leader.pk, follower.pk]
    assert [side["status"] for side in sides] == ["running"] * 2
    assert [side["percent"] for side in sides] == ["40", "40"]
    for figure in ("coins", "quote", "equity", "pnl"):
        assert float(pair[figure]) == pytest.approx(sum(float(side[figure]) for side in sides))
    assert float(pair["coins"]) > 0
    assert float(pair["equity"]) == pytest.approx(float(pair["quote"]) + 40_000 * float(pair["coins"]))
    # Both prices are the same: fees and spreads are all that is between them.
    assert pair["edge"] == {"buying_leader": "-0.002098", "buying_follower": "-0.002098", "needed": "0.0013", "fees": "0.002"}
    assert [api.get(f"bots/{bot.pk}").json()["leader"] for bot in (leader, follower)] == [None, leader.pk]
    assert [api.get(f"bots/{bot.pk}").json()["follower"] for bot in (leader, follower)] == [follower.pk, None]


def test_as_many_statements_tell_of_two_pairs_as_of_one(api: Api, two: Two) -> None:
    def count(path: str) -> int:
        with CaptureQueriesContext(connection) as seen:
            assert api.get(path).status_code == 200
        return len(seen)

    two.started()
    before = [count(path) for path in ("pairs", f"bots?account={two.near.account.pk}")]
    planned = two.planned(key="SECOND", name="Second", symbols=("ETH/USDT", "ETH/USDT"))
    services.create_pair(planned=planned, by=None, now=NOW)

    assert len(api.get("pairs").json()["items"]) == 2
    assert count("pairs") == before[0]
    # One for the newest decision of each bot, as ever.
    assert count(f"bots?account={two.near.account.pk}") == before[1] + 1


def test_what_a_pair_traded_is_told_in_pages(api: Api, two: Two) -> None:
    leader, follower = two.started()
    two.stock()
    for near, far in ((LEVEL, APART), (APART, LEVEL)):
        two.close(near, far)
        two.fill({two.near.account.pk: str(near[0]), two.far.account.pk: str(far[0])})

    page = api.get(f"bots/{leader.pk}/pairs", limit=1).json()
    (newest,) = page["items"]
    assert (newest["number"], newest["state"], newest["mends"]) == (2, "both legs", [])
    assert [(leg["account"], leg["side"], leg["average_price"]) for leg in newest["legs"]] == [
        ("far", "buy", "40000"),
        ("demo", "sell", "40400"),
    ]
    assert float(newest["result"]) == pytest.approx(400 * float(newest["legs"][1]["filled"]))
    rest = api.get(f"bots/{follower.pk}/pairs", cursor=page["next_cursor"], limit=1).json()
    assert ([pair["number"] for pair in rest["items"]], rest["next_cursor"]) == ([1], None)
    assert api.get("bots/999999/pairs").status_code == 404


@pytest.mark.parametrize(
    ("changes", "code", "words"),
    [
        ({"params": {"shares": 0.3}}, "PARAMETER_REFUSED", "Did you mean 'share'?"),
        ({"symbol": "BTC/USDC"}, "SYMBOL_UNKNOWN", "Did you mean BTC/USDT?"),
        ({"far_symbol": "BTC/USDC"}, "SYMBOL_UNKNOWN", "Did you mean BTC/USDT?"),
        ({"interval": "5min"}, "INTERVAL_UNKNOWN", "Did you mean 5m?"),
        ({"far_symbol": "ETH/USDT"}, "PAIR_COIN", "not BTC and ETH"),
        ({"far_account": 999_999}, "ACCOUNT_UNKNOWN", "does not exist"),
    ],
)
def test_what_is_no_pair_is_refused_with_a_code_and_what_was_meant(
    api: Api, two: Two, changes: dict[str, Any], code: str, words: str
) -> None:
    answer = api.post("pairs", wanted(two, **changes))

    assert (answer.status_code, answer.json()["code"]) == (409, code), answer.content
    assert words in answer.json()["title"]
    assert not Bot.objects.exists()


def test_accounts_that_make_no_pair_are_refused(api: Api, two: Two) -> None:
    near = two.near.account.pk
    assert api.post("pairs", wanted(two, far_account=near)).json()["code"] == "PAIR_ONE_ACCOUNT"
    Account.objects.filter(pk=two.far.account.pk).update(allocation_mode="single")
    assert api.post("pairs", wanted(two)).json()["code"] == "PAIR_NEEDS_PERCENTAGE"
    assert api.post("pairs", wanted(two, key="no key")).status_code == 422
    assert not Bot.objects.exists()


def test_looking_is_for_everybody_and_making_for_operators(two: Two) -> None:
    watcher = User.objects.create_user("watcher", password="a long enough password")
    script = token_for(watcher, "read")

    assert script.get("pairs").json() == {"items": [], "next_cursor": None}
    assert script.post("pairs", wanted(two)).status_code == 403
    assert not Bot.objects.exists()
