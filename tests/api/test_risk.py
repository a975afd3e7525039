"""Limits and what is left to lose, asked through the API."""

from __future__ import annotations

from django.contrib.auth.models import User

from portfolio.models import AuditEntry, RiskLatch, RiskLimits
from tests.api.conftest import Api, token_for
from tests.portfolio.world import NOW, World
from trading.risk import HARD_STOP


def test_risk_tells_what_is_left_and_why(api: Api, world: World) -> None:
    answer = api.get("risk").json()
    total, book = answer["total"], answer["books"][0]
    assert (total["book"], total["shut_by"], total["limits"]["order_value_max"]) == (None, "", "2470.57")
    # 0.003 BTC at 50,000 without a stop may lose ten percent, the fee coin is gone.
    assert (book["worst_open"], book["soft_cap"], book["has_own_limits"]) == ("14.985", "98.8155", False)
    assert sum(float(book[name]) for name in ("lost_today", "worst_open", "left")) == float(book["soft_cap"])
    assert len(answer["books"]) == 5


def test_an_operator_lowers_and_only_an_administrator_raises(admin: User, world: World) -> None:
    operator, administrator = token_for(admin, "risk"), token_for(admin, "risk", "admin", "unattended")
    book = world.books[0].pk
    lowered = operator.post("risk/limits", {"book": book, "soft_loss_percent": "3", "reason": "quiet week"})
    assert lowered.json()["books"][0]["limits"]["soft_loss_percent"] == "3"
    refused = operator.post("risk/limits", {"book": book, "soft_loss_percent": "4", "reason": "more"})
    assert (refused.status_code, refused.json()["code"]) == (409, "RISK_RAISE_NEEDS_ADMIN")
    assert administrator.post("risk/limits", {"book": book, "soft_loss_percent": "4", "reason": "more"}).status_code == 200
    actions = AuditEntry.objects.filter(action__startswith="risk.").order_by("id").values_list("action", "actor_name")
    assert list(actions) == [("risk.lower_limits", "admin"), ("risk.raise_limits", "admin")]


def test_limits_that_limit_nothing_are_refused(api: Api, world: World) -> None:
    """G11 at the door: no zero, no ten percent, no word for unlimited, no float, no stranger's book."""
    for body, code in (
        ({"order_value_max": "0"}, "LIMIT_INVALID"),
        ({"hard_loss_percent": "10"}, "LIMIT_INVALID"),
        ({"soft_loss_percent": "8"}, "LIMIT_INVALID"),
        ({"order_value_max": "unlimited"}, "INPUT_INVALID"),
        ({"order_value_max": 100.5}, "INPUT_INVALID"),
        ({"max_order": "1"}, "INPUT_INVALID"),
        ({"book": 10**9, "repeats_max": 3}, "BOOK_UNKNOWN"),
    ):
        answer = api.post("risk/limits", {"reason": "x", **body})
        assert answer.json()["code"] == code, (body, answer.json())
    assert RiskLimits.objects.count() == 1


def test_a_latch_is_let_go_of_by_an_administrator_with_a_reason(admin: User, world: World) -> None:
    RiskLatch.objects.create(account_id=world.account_id, book=world.books[2], code=HARD_STOP, market_at=NOW, latched_at=NOW)
    body = {"book": world.books[2].pk, "reason": "looked into it"}
    assert token_for(admin, "risk").post("risk/release", body).json()["code"] == "SCOPE_MISSING"
    administrator = token_for(admin, "risk", "admin", "unattended")
    shut = token_for(admin, "read").get("risk")
    assert shut.json()["books"][2]["shut_by"] == HARD_STOP
    assert administrator.post("risk/release", {"book": world.books[2].pk, "reason": ""}).status_code == 422
    released = administrator.post("risk/release", body)
    assert released.json()["books"][2]["shut_by"] == ""


def test_limits_are_looked_at_before_they_are_set(admin: User, world: World) -> None:
    operator = token_for(admin, "risk")
    book = world.books[0].pk
    wish = {"changes": [{"book": book, "order_value_max": "4"}, {"orders_per_minute": 599}]}
    answer = operator.post("risk/limits/preview", wish).json()
    assert [row["sentence"] for row in answer["rows"] if row["sentence"]] == ["Book 1 could not enter (RISK_ORDER_VALUE)."]
    assert answer["raised"] == []
    assert RiskLimits.objects.count() == 1
    assert operator.post("risk/limits/preview", {"changes": [{"order_value_max": "99999"}]}).json()["raised"] == [
        "order_value_max"
    ]
    for body, code in (
        ({"changes": [{"hard_loss_percent": "10"}]}, "LIMIT_INVALID"),
        ({"changes": [{"book": 999999, "repeats_max": 3}]}, "BOOK_UNKNOWN"),
    ):
        assert operator.post("risk/limits/preview", body).json()["code"] == code
    assert operator.post("risk/limits/preview", {"changes": []}).status_code == 422
    assert token_for(admin, "read").post("risk/limits/preview", wish).status_code == 403
