"""Modes through the API: who trades now, what a change would do, and the change itself."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from bots.models import Bot
from portfolio.models import Account, AuditEntry, HandOver
from tests.api.conftest import Api
from tests.pages.conftest import bots, world
from tests.portfolio.world import MARKET_AT

__all__ = ["bots", "world"]

DAY = "daily 00:00-12:00 MEAN_REVERSION carry\ndaily 12:00-24:00 GridTrading flatten\n"


@pytest.fixture
def timed(bots: list[Bot]) -> list[Bot]:
    """Return bots whose account knows the time of its market."""
    Account.objects.filter(pk=bots[0].book.account_id).update(synced_through_at=MARKET_AT + timedelta(hours=1))
    return bots


def put(api: Api, address: str, body: dict[str, Any]) -> Any:
    return api.send("PUT", address, body)


def test_single_mode_names_who_trades_and_who_chose_it(api: Api, timed: list[Bot]) -> None:
    said = put(api, "mode", {"mode": "single", "bot": "grid", "budget": "1000.50", "reason": "range market"}).json()

    assert (said["mode"], said["active"], said["budget"]) == ("single", ["GridTrading"], "1000.5")
    assert (said["version"]["set_by"], said["version"]["reason"]) == ("admin", "range market")
    assert said["hand_over"]["phase"] == "settled"
    assert api.get("mode").json() == said
    assert AuditEntry.objects.get(action="mode.set").actor_name == "admin"
    # A hand-over names its books by numbers.
    assert "mode.hand_over" in {event["kind"] for event in api.get("events").json()["items"]}


def test_a_rotation_is_a_text_that_comes_back_with_its_switches(api: Api, timed: list[Bot]) -> None:
    said = put(api, "rotation", {"rotation": "zone Asia/Tokyo\n" + DAY}).json()
    turns = api.get("rotation").json()

    assert said["mode"] == "rotation"
    assert [(row["at"], row["after"]) for row in turns["switches"][:2]] == [
        ("2024-03-01T03:00:00Z", "GridTrading"),
        ("2024-03-01T15:00:00Z", "MeanReversion"),
    ]
    assert turns["switches"][0]["local"] == "Fri 2024-03-01 12:00"
    assert len(turns["earned"]) == 5
    assert put(api, "rotation", {"rotation": turns["rotation"]}).json()["version"]["number"] == 1


def test_the_same_command_twice_switches_once(api: Api, timed: list[Bot]) -> None:
    for _ in range(2):
        assert api.post("mode", {"mode": "single", "bot": "TripleEMA"}, key="switch-1").status_code == 200

    assert HandOver.objects.count() == 1


def test_a_preview_says_what_is_wrong_with_slots(api: Api, timed: list[Bot]) -> None:
    answer = api.post("mode/preview", {"mode": "rotation", "rotation": "daily 00:00-12:00 GRID_TRADING"})

    assert answer.status_code == 200, answer.content
    assert [row["code"] for row in answer.json()["findings"] if row["is_refusal"]] == ["ROTATION_GAP"]
    assert Account.objects.get(pk=timed[0].book.account_id).allocation_mode == "percentage"


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"mode": "single", "bot": "GridTradng"}, 409, "BOT_UNKNOWN"),
        ({"mode": "single"}, 409, "BOT_UNKNOWN"),
        ({"mode": "rotation", "rotation": "daily 00:00-13:00 grid\ndaily 12:00-24:00 TripleEMA"}, 409, "ROTATION_OVERLAP"),
        ({"mode": "rotation", "rotation": "every day"}, 409, "ROTATION_UNREADABLE"),
        ({"mode": "rotation", "rotation": ""}, 409, "ROTATION_EMPTY"),
        ({"mode": "subaccounts"}, 409, "SUBACCOUNTS_NONE"),
        ({"mode": "single", "bot": "grid", "policy": "wait"}, 409, "MODE_WAIT_BAD"),
        ({"mode": "single", "bot": "grid", "budget": "-1"}, 409, "MODE_BUDGET_BAD"),
        ({"mode": "single", "bot": "grid", "budget": 5}, 422, "INPUT_INVALID"),
        ({"mode": "turns"}, 422, "INPUT_INVALID"),
        ({"mode": "single", "bot": "grid", "is_admin": True}, 422, "INPUT_INVALID"),
    ],
)
def test_what_cannot_be_is_refused_with_a_reason(
    api: Api, timed: list[Bot], body: dict[str, Any], status: int, code: str
) -> None:
    answer = put(api, "mode", body)

    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert not HandOver.objects.exists()
