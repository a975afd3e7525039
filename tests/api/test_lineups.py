"""Line-ups over the API: one click, all errors at once."""

from __future__ import annotations

from bots.models import Bot
from tests.api.conftest import Api
from tests.bots.conftest import Desk, desk  # noqa: F401 - a fixture.


def test_a_line_up_is_previewed_and_applied_by_name(api: Api, desk: Desk) -> None:  # noqa: F811
    assert [row["name"] for row in api.get("lineups").json()["items"]] == ["A", "B"]
    preview = api.post("lineups/preview", {"name": "A"}).json()
    assert [(row["action"], row["percent_after"]) for row in preview["steps"]] == [("create", "20")] * 5
    assert Bot.objects.count() == 0

    done = api.post("lineups/apply", {"name": "A", "version": 0})
    assert done.status_code == 200, done.content
    assert Bot.objects.count() == 5
    assert api.post("lineups/preview", {"plan": api.get("lineups/export").json()}).json()["is_empty"] is True
    assert api.post("lineups/apply", {"name": "A", "version": 0}).status_code in (200, 409)


def test_a_strategy_that_does_not_exist_is_refused_with_the_list(api: Api, desk: Desk) -> None:  # noqa: F811
    bot = {"key": "X", "name": "X", "strategy": "alchemy", "symbols": ["BTC/USDT"], "interval": "5m", "percent": "120"}
    answer = api.post("lineups/apply", {"plan": {"schema": 1, "bots": [bot]}})

    assert (answer.status_code, answer.json()["code"]) == (409, "LINEUP_INVALID")
    errors = answer.json()["facts"]["errors"]
    assert len(errors) == 2
    assert "Known: mean_reversion" in errors[0]
    assert api.post("lineups/apply", {}).json()["code"] == "LINEUP_INVALID"
    assert Bot.objects.count() == 0
