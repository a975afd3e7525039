"""Operating bots through the API."""

from __future__ import annotations

from datetime import timedelta

import pytest

from bots.models import Bot
from marketdata.models import Market
from portfolio.models import AuditEntry
from tests.api.conftest import Api
from tests.pages.conftest import bots, world
from tests.portfolio.world import MARKET_AT

__all__ = ["bots", "world"]


@pytest.fixture
def timed(bots: list[Bot]) -> list[Bot]:
    """Return bots whose market has a time."""
    Market.objects.update(market_time_at=MARKET_AT + timedelta(hours=1))
    return bots


def test_a_bot_is_started_paused_resumed_and_stopped_by_a_named_person(api: Api, timed: list[Bot]) -> None:
    bot = timed[0].pk
    told = [api.post(f"bots/{bot}/{word}").json()["status"] for word in ("start", "pause", "resume", "stop")]

    assert told == ["running", "paused", "running", "stopped"]
    actors = AuditEntry.objects.filter(subject=f"bot:{bot}").exclude(action="bot.create").values_list("actor_name", flat=True)
    assert list(actors) == ["admin"] * 4


def test_a_bot_that_is_stopped_cannot_be_paused(api: Api, timed: list[Bot]) -> None:
    answer = api.post(f"bots/{timed[0].pk}/pause")

    assert (answer.status_code, answer.json()["code"]) == (409, "MODE_BOT_NOT_ACTIVE")


def test_a_flattened_bot_is_stopped(api: Api, timed: list[Bot]) -> None:
    api.post(f"bots/{timed[0].pk}/start")

    assert api.post(f"bots/{timed[0].pk}/flatten").json()["status"] == "stopped"


def test_a_bot_tells_its_decisions_equity_and_parameters(api: Api, timed: list[Bot]) -> None:
    bot = timed[0].pk
    assert api.get(f"bots/{bot}").json()["symbols"] == ["BTC/USDT"]
    plots = api.get(f"bots/{bot}/indicators?limit=20").json()["plots"]
    assert {plot["pane"] for plot in plots} == {"price", "below"}
    assert api.get(f"bots/{bot}/decisions").json() == {"items": [], "next_cursor": None}
    assert api.get(f"bots/{bot}/equity").json()["items"] == []


@pytest.mark.parametrize("body", ["[]", '{"force": true}', "7", "{"])
def test_a_command_takes_no_fields(api: Api, timed: list[Bot], body: str) -> None:
    answer = api.post(f"bots/{timed[0].pk}/start", body)

    assert 400 <= answer.status_code < 500
    assert Bot.objects.get(pk=timed[0].pk).status == "stopped"


def test_a_command_needs_no_body(api: Api, timed: list[Bot]) -> None:
    answer = api.client.generic("POST", f"/api/v1/bots/{timed[0].pk}/start", headers={"Idempotency-Key": "x"})

    assert answer.json()["status"] == "running"
