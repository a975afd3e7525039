"""Comparisons of plans through the API: asked for, watched, stopped and looked at."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.utils import timezone

from backtests import jobs
from backtests.models import PlanComparison
from marketdata.models import Instrument
from portfolio.models import AuditEntry
from tests.api.conftest import Api, token_for
from tests.backtests.test_account_command import folder
from tests.backtests.test_backtest_command import instrument
from tests.backtests.test_comparisons import content
from tradeapp import tokens

__all__ = ["folder", "instrument"]


def body(folder: Path, **changes: Any) -> dict[str, Any]:
    plan = content(folder)
    return {
        "plans": [{"plan": plan}, {"plan": plan, "mode": "single", "bot": "GridTrading"}],
        "begin_at": "2024-01-08T00:00:00Z",
        "end_at": "2024-01-10T00:00:00Z",
        "capital": "9882.3",
        "folder": str(folder),
        **changes,
    }


@pytest.fixture
def comparison(api: Api, folder: Path, instrument: Instrument) -> dict[str, Any]:
    """Return a comparison that nobody has begun."""
    answer = api.post("simulations", body(folder))
    assert answer.status_code == 201, answer.content
    found: dict[str, Any] = answer.json()
    return found


def test_a_comparison_is_watched_to_its_end(api: Api, comparison: dict[str, Any]) -> None:
    address = f"simulations/{comparison['id']}"
    assert (comparison["state"], comparison["bars"], comparison["bars_done"]) == ("queued", 2 * 2 * 576, 0)
    assert [plan["name"] for plan in comparison["plans"]] == ["plan, percentage", "plan, single"]
    assert api.get(f"{address}/curves").json()["items"] == []

    while jobs.run_comparison_plan(comparison_id=comparison["id"], clock=timezone.now):
        pass

    after = api.get(address).json()
    assert (after["state"], after["bars_done"], after["seconds_left"]) == ("done", after["bars"], None)
    assert after["plans_tried"] == 2
    assert all(len(plan[name]) == 64 for plan in after["plans"] for name in ("fingerprint", "data_hash"))
    assert all(plan["report"]["fills"] > 0 for plan in after["plans"])
    curves = api.get(f"{address}/curves").json()
    assert [(item["number"], item["is_benchmark"]) for item in curves["items"]] == [(0, False), (1, False), (0, True)]
    assert curves["items"][2]["name"] == "Buy and hold ETH/USDT"
    assert "not a promise" in after["note"]
    assert "not a promise" in curves["note"]
    assert api.get("simulations").json()["items"][0] == after
    assert AuditEntry.objects.filter(action="api.request", subject__contains="simulations").exists()


def test_a_comparison_is_cancelled_once(api: Api, comparison: dict[str, Any]) -> None:
    assert api.post(f"simulations/{comparison['id']}/cancel").json()["state"] == "cancelled"

    again = api.post(f"simulations/{comparison['id']}/cancel")
    assert (again.status_code, again.json()["code"]) == (409, "COMPARISON_IS_OVER")
    assert api.get("simulations/12345").status_code == 404


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"end_at": "2020-01-01T00:00:00Z"}, "must be after"),
        ({"plans": [{"plan": {"schema": 1}}]}, "bots: Field required"),
        ({"plans": []}, "at least 1 item"),
        ({"capital": "0"}, "greater than 0"),
        ({"frictions": {"latency_ms": 300_001}}, "A latency is from 0 to one candle"),
        ({"frictions": {"fee_tiers": [{"volume": "5"}]}}, "Field required"),
    ],
)
def test_a_bad_comparison_is_refused_with_the_reason(
    api: Api, folder: Path, instrument: Instrument, changes: dict[str, Any], words: str
) -> None:
    answer = api.post("simulations", body(folder, **changes))

    assert answer.status_code == 422, answer.content
    assert words in answer.content.decode()
    assert not PlanComparison.objects.exists()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"strategy": "gridd"}, "Did you mean"),
        ({"symbols": ["NOPE/USDT"]}, "No 5m candles"),
        ({"exchanges": ["binance", "kraken"]}, "simulated on one exchange"),
        ({"symbols": ["ETH/USDT", "ETH/USDT"]}, "its own candles"),
        ({"symbols": []}, "trades 1 to 1 markets, not 0"),
        ({"percent": "1e400000"}, "percent"),
        ({"percent": "NaN"}, "percent"),
        ({"interval": "7m"}, "Unknown interval"),
        ({"params": {"cost_gat": 1}}, "cost_gat"),
    ],
)
def test_a_bad_plan_is_refused_with_the_reason(
    api: Api, folder: Path, instrument: Instrument, change: dict[str, Any], words: str
) -> None:
    plan = content(folder)
    plan["bots"][1] |= change

    answer = api.post("simulations", body(folder, plans=[{"plan": plan}]))

    assert answer.status_code == 422, answer.content
    assert words in answer.content.decode()


def test_only_an_administrator_names_a_folder(folder: Path, instrument: Instrument) -> None:
    operator = User.objects.create_user("operator", password="a long enough password")
    operator.groups.set(Group.objects.all())
    script = token_for(operator, *sorted(tokens.scopes_of(operator)))

    assert script.post("simulations", body(folder)).status_code == 403
    assert not PlanComparison.objects.exists()


def test_money_comes_and_goes_in_a_comparison(api: Api, folder: Path, instrument: Instrument) -> None:
    plan = content(folder) | {"name": "saving"}
    plan["account"] = {
        "flows": [{"at": "2024-01-09T00:03:00Z", "amount": "500.5"}, {"at": "2024-01-09T12:00:00Z", "amount": "-99999"}]
    }
    found = api.post("simulations", body(folder, plans=[{"plan": plan}, {"plan": content(folder)}])).json()
    while jobs.run_comparison_plan(comparison_id=found["id"], clock=timezone.now):
        pass

    saving, still = (row["report"] for row in api.get(f"simulations/{found['id']}").json()["plans"])
    assert saving["flows"] == {
        "deposits": "500.5",
        "withdrawals": "0",
        "waits": "0",
        "refused": 1,
        "items": [
            {"asked_at": "2024-01-09T00:03:00Z", "at": "2024-01-09T00:05:00Z", "amount": "500.5", "done": "500.5"}
            | {"waits": "0", "code": ""},
            {"asked_at": "2024-01-09T12:00:00Z", "at": "2024-01-09T12:00:00Z", "amount": "-99999", "done": "0"}
            | {"waits": "0", "code": "CAPITAL_INSUFFICIENT"},
        ],
    }
    # The deposit is dealt to nobody: the bots did the same, and it is no profit.
    assert (saving["profit"], saving["fills"]) == (still["profit"], still["fills"])
    assert Decimal(saving["final_equity"]) == Decimal(still["final_equity"]) + Decimal("500.5")
    curves = api.get(f"simulations/{found['id']}/curves").json()["items"]
    assert [(item["name"], item["is_benchmark"], len(item["flows"])) for item in curves] == [
        ("saving, percentage", False, 1),
        ("plan, percentage", False, 0),
        ("Buy and hold ETH/USDT, flows of saving, percentage", True, 0),
        ("Buy and hold ETH/USDT", True, 0),
    ]
    (mark,) = curves[0]["flows"]
    assert (mark["at"], mark["amount"]) == (1704758700000, 500.5)
    assert mark["equity"] > 10_000
    text = api.get(f"simulations/{found['id']}/file").content.decode()
    assert "Money in and out" in text
    assert "99,999.00 at 2024-01-09 12:00: <code>CAPITAL_INSUFFICIENT</code>" in text


def test_a_flow_that_cannot_be_is_refused_at_the_door(api: Api, folder: Path, instrument: Instrument) -> None:
    for flow, words in (
        ({"at": "2024-01-09T00:00:00Z", "amount": "NaN"}, "finite number"),
        ({"at": "2024-01-09T00:00:00Z", "amount": "0"}, "a deposit is above zero"),
        ({"at": "2024-01-10T00:00:00Z", "amount": "5"}, "must lie between"),
    ):
        plan = content(folder) | {"account": {"flows": [flow]}}
        answer = api.post("simulations", body(folder, plans=[{"plan": plan}]))
        assert answer.status_code == 422, answer.content
        assert words in answer.content.decode()
    assert not PlanComparison.objects.exists()
