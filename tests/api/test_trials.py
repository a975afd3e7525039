"""Trials through the API: asked for, refused with what is in the way, watched, compared, applied."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import Group, User

from bots.models import Bot
from portfolio.models import Account
from tests.api.conftest import Api, line_up, token_for
from tests.portfolio.world import World
from tradeapp import tokens
from trials.models import Trial


@pytest.fixture
def bots(world: World) -> list[Bot]:
    """Return the bots of the first line-up, on an account that takes entries."""
    made = line_up()
    Account.objects.filter(pk=made[0].book.account_id).update(state=Account.State.ACTIVE)
    return made


def body(made: list[Bot], /, **changes: Any) -> dict[str, Any]:
    return {
        "account": made[0].book.account_id,
        "kind": "simulation",
        "bots": [made[0].key, made[1].name],
        "hours": 24,
        "begin_at": "2024-01-01T00:00:00Z",
        "end_at": "2024-01-05T00:00:00Z",
        **changes,
    }


def test_a_simulated_trial_is_asked_for_watched_cancelled_and_resumed(api: Api, bots: list[Bot]) -> None:
    answer = api.post("trials", body(bots))
    assert answer.status_code == 201, answer.content
    made = answer.json()
    assert (made["state"], made["turns"], made["rounds"], made["bots"]) == ("queued", 8, 4, [bots[0].name, bots[1].name])
    assert api.get("trials").json()["items"][0]["id"] == made["id"]
    turns = api.get(f"trials/{made['id']}/turns").json()["items"]
    assert (turns[2]["begin_at"], turns[2]["state"]) == ("2024-01-02T00:00:00Z", "queued")

    assert api.post(f"trials/{made['id']}/cancel").json()["state"] == "cancelled"
    again = api.post(f"trials/{made['id']}/cancel")
    assert (again.status_code, again.json()["code"]) == (409, "TRIAL_IS_OVER")
    assert api.post(f"trials/{made['id']}/resume").json()["state"] == "queued"
    assert api.get("trials/4711").status_code == 404


def test_a_comparison_without_turns_proposes_nothing_and_cannot_be_applied(api: Api, bots: list[Bot]) -> None:
    made = api.post("trials", body(bots)).json()
    compared = api.get(f"trials/{made['id']}/comparison").json()
    assert not compared["is_supported"]
    assert {row["why"] for row in compared["items"]} == {"has no finished turn"}
    assert {row["percent"] for row in compared["items"]} == {"0"}
    assert api.post(f"trials/{made['id']}/apply", {}).json()["code"] == "TRIAL_UNDER_WAY"
    api.post(f"trials/{made['id']}/cancel")
    assert api.post(f"trials/{made['id']}/apply", {}).json()["code"] == "TRIAL_EMPTY"


def test_a_trial_on_the_account_says_all_that_is_in_the_way(api: Api, bots: list[Bot]) -> None:
    api.post("kill", {"account": bots[0].book.account_id, "reason": "test"})
    answer = api.post("trials", body(bots, kind="account"))
    assert answer.status_code == 409
    problem = answer.json()
    assert problem["code"] == "KILL_ACTIVE"
    assert [one["code"] for one in problem["facts"]["obstacles"]] == ["KILL_ACTIVE", "MODE_BOT_NOT_ACTIVE"]
    assert not Trial.objects.exists()


@pytest.mark.parametrize(
    ("changes", "status", "code"),
    [
        ({"hours": 0}, 422, "INPUT_INVALID"),
        ({"bots": ["TripleEMA"]}, 409, "TRIAL_BOTS_FEW"),
        ({"bots": ["TripleEMA", "triple_ema"]}, 409, "TRIAL_BOT_TWICE"),
        ({"bots": ["TripleEMA", "TripleEmu"]}, 409, "BOT_UNKNOWN"),
        ({"end_at": "2023-01-01T00:00:00Z"}, 409, "TRIAL_TURNS_BAD"),
        ({"hours": 1, "end_at": "2026-01-01T00:00:00Z"}, 409, "TRIAL_TURNS_BAD"),
        ({"begin_at": "2024-01-01T00:03:00Z"}, 409, "TRIAL_OFF_GRID"),
        ({"end_at": None}, 409, "TRIAL_STRETCH_MISSING"),
        ({"allocation": "0"}, 409, "MODE_BUDGET_BAD"),
        ({"account": 4711}, 404, "NOT_FOUND"),
    ],
)
def test_a_bad_trial_is_refused_with_the_reason(
    api: Api, bots: list[Bot], changes: dict[str, Any], status: int, code: str
) -> None:
    answer = api.post("trials", body(bots, **changes))
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.content
    assert not Trial.objects.exists()


def test_only_an_administrator_names_a_folder(bots: list[Bot]) -> None:
    operator = User.objects.create_user("operator", password="a long enough password")
    operator.groups.set(Group.objects.all())
    answer = token_for(operator, *sorted(tokens.scopes_of(operator))).post("trials", body(bots, folder="/etc"))
    assert answer.status_code == 403
    assert not Trial.objects.exists()
