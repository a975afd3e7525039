"""Sweeps through the API: asked for, watched, stopped and looked at."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.utils import timezone

from backtests import jobs
from backtests.models import Sweep
from tests.api.conftest import Api, token_for
from tests.backtests.test_backtest_command import folder
from tradeapp import tokens

__all__ = ["folder"]


def body(folder: Path, **changes: Any) -> dict[str, Any]:
    return {
        "strategy": "sma_cross",
        "grid": ["fast=5:20:5", "slow=10:60:10"],
        "symbol": "ETH/USDT",
        "interval": "5m",
        "folder": str(folder),
        "begin_at": "2024-01-01T00:00:00Z",
        "end_at": "2024-01-11T00:00:00Z",
        **changes,
    }


@pytest.fixture
def sweep(api: Api, folder: Path) -> dict[str, Any]:
    """Return a sweep that nobody has begun."""
    answer = api.post("sweeps", body(folder))
    assert answer.status_code == 201, answer.content
    found: dict[str, Any] = answer.json()
    return found


def test_a_sweep_is_watched_to_its_end(api: Api, sweep: dict[str, Any]) -> None:
    assert (sweep["state"], sweep["trials"], sweep["trials_done"], sweep["seconds_left"]) == ("queued", 24, 0, None)
    assert api.get(f"sweeps/{sweep['id']}/heatmap").status_code == 404

    while jobs.run_sweep_chunk(sweep_id=sweep["id"], clock=timezone.now):
        pass

    after = api.get(f"sweeps/{sweep['id']}").json()
    assert (after["state"], after["trials_done"], after["seconds_left"]) == ("done", 24, None)
    assert all(len(after[name]) == 64 for name in ("fingerprint", "source_hash", "data_hash"))
    assert api.get("sweeps").json()["items"][0]["id"] == sweep["id"]


def test_its_map_and_trials_say_how_many_were_tried(api: Api, sweep: dict[str, Any]) -> None:
    jobs.run_sweep_chunk(sweep_id=sweep["id"], clock=timezone.now)

    drawn = api.get(f"sweeps/{sweep['id']}/heatmap?x=fast&y=slow&figure=total_return").json()
    listed = api.get(f"sweeps/{sweep['id']}/trials?figure=total_return&limit=3").json()

    assert (len(drawn["cells"]), len(drawn["cells"][0])) == (6, 4)
    assert drawn["cells"][0][1:] == [None, None, None]
    assert drawn["trials"] == listed["trials"] == 20
    assert len(listed["items"]) == 3
    assert "not a promise" in drawn["note"]
    best = listed["items"][0]
    assert drawn["cells"][int(best["slow"] / 10 - 1)][int(best["fast"] / 5 - 1)] == best["total_return"]
    assert api.get(f"sweeps/{sweep['id']}/heatmap?x=fats").status_code == 422


def test_a_sweep_is_cancelled_once(api: Api, sweep: dict[str, Any]) -> None:
    assert api.post(f"sweeps/{sweep['id']}/cancel").json()["state"] == "cancelled"

    again = api.post(f"sweeps/{sweep['id']}/cancel")
    assert (again.status_code, again.json()["code"]) == (409, "SWEEP_IS_OVER")
    assert api.get("sweeps/12345").status_code == 404


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"strategy": "sma_crros"}, "Did you mean"),
        ({"grid": ["fast=50:5:5"]}, "upside down"),
        ({"grid": ["fast=1:5000:1", "slow=2:5000:1"]}, "too many"),
        ({"end_at": "2020-01-01T00:00:00Z"}, "must be after"),
        ({"symbol": "NOPE/USDT"}, "No 5m candles"),
        ({"frictions": {"latency_ms": 400}}, "latency cannot be taken into account"),
    ],
)
def test_a_bad_sweep_is_refused_with_the_reason(api: Api, folder: Path, changes: dict[str, Any], words: str) -> None:
    answer = api.post("sweeps", body(folder, **changes))

    assert answer.status_code == 422
    assert words in answer.content.decode()
    assert not Sweep.objects.exists()


def test_only_an_administrator_names_a_folder(folder: Path, db: None) -> None:
    operator = User.objects.create_user("operator", password="a long enough password")
    operator.groups.set(Group.objects.all())
    script = token_for(operator, *sorted(tokens.scopes_of(operator)))

    answer = script.post("sweeps", body(folder))

    assert answer.status_code == 403
    assert not Sweep.objects.exists()
