"""All accounts of a master over the API: seen together, money moved, limits, shares and proposals."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from portfolio.models import Account, AccountTransfer, AuditEntry, Heartbeat
from portfolio.selectors import account_overview
from tests.api.conftest import Api, token_for
from tests.portfolio.test_transfers import ask, sub  # noqa: F401 - a fixture.
from tests.portfolio.world import World
from tradeapp import tokens
from trading.ledger import plain

ADDRESS = "subaccounts/transfers"


@pytest.fixture
def body(world: World, sub: Account) -> dict[str, Any]:  # noqa: F811
    """Return a transfer that passes; the trader gives a sign of life."""
    Heartbeat.objects.update(beat_at=timezone.now())
    return {"sender": world.account_id, "receiver": sub.pk, "asset": "USDT", "amount": "250.5"}


def test_a_family_is_told_together_with_what_is_on_its_way(api: Api, world: World, sub: Account) -> None:  # noqa: F811
    ask(world, sub, "250.5")
    view = api.get("subaccounts").json()

    alone = account_overview(world.account_id)
    assert (view["equity"], view["pnl"], view["is_exact"]) == (plain(alone.equity), plain(alone.pnl), True)
    assert (view["funded"], view["limits"]["per_transfer"]) == (plain(alone.net_flows), "500")
    assert [(row["is_master"], row["equity"], row["in_transit"]) for row in view["accounts"]] == [
        (True, view["equity"], "250.5"),
        (False, "0", "0"),
    ]
    (moving,) = view["transfers"]
    assert (moving["amount"], moving["state"], moving["outcome"]) == ("250.5", "recorded", "")
    assert api.get(f"subaccounts?account={moving['receiver']}").json()["accounts"][0]["account"] == world.account_id
    # Where nobody says which account, the newest sub-account is not meant.
    assert api.get("mode").json()["account"] == world.account_id


def test_a_transfer_is_previewed_asked_for_once_and_listed(api: Api, body: dict[str, Any]) -> None:
    shown = api.post(f"{ADDRESS}/preview", body, key=None).json()
    assert (shown["code"], shown["value"], shown["receiver_after"], shown["left_today"]) == ("", "250.5", "250.5", "800")
    assert not AccountTransfer.objects.exists()

    first = api.post(ADDRESS, body, key="once")
    again = api.post(ADDRESS, body, key="once")
    other = api.post(ADDRESS, body | {"amount": "1"}, key="once")

    assert (first.status_code, again.status_code, other.status_code) == (200, 200, 409), first.content
    assert (again.json(), again["Idempotency-Replayed"]) == (first.json(), "true")
    assert other.json()["code"] == "IDEMPOTENCY_KEY_REUSED"
    row = AccountTransfer.objects.get()
    assert (row.requested_by.get_username() if row.requested_by else "", row.state) == ("admin", "recorded")
    entry = AuditEntry.objects.get(action="transfer.request")
    assert (entry.request_id, entry.after["amount"]) == ("once", "250.5")
    api.post(ADDRESS, body | {"amount": "1"})
    page = api.get(ADDRESS, limit=1).json()
    older = api.get(ADDRESS, limit=1, cursor=page["next_cursor"]).json()
    assert [row["amount"] for row in (*page["items"], *older["items"])] == ["1", "250.5"]
    assert older["next_cursor"] is None


@pytest.mark.parametrize(
    ("change", "status", "code"),
    [
        ({"amount": "NaN"}, 422, "INPUT_INVALID"),
        ({"amount": 5}, 422, "INPUT_INVALID"),
        ({"amount": "-1"}, 409, "TRANSFER_AMOUNT"),
        ({"amount": "0"}, 409, "TRANSFER_AMOUNT"),
        ({"amount": "0.000000001"}, 409, "TRANSFER_AMOUNT"),
        ({"amount": "500.01"}, 409, "TRANSFER_LIMIT"),
        ({"amount": "5000"}, 409, "CAPITAL_INSUFFICIENT"),
        ({"asset": "DOGE"}, 409, "ASSET_UNKNOWN"),
        ({"asset": "US DT"}, 422, "INPUT_INVALID"),
        ({"asset": "BTC"}, 409, "CAPITAL_INSUFFICIENT"),
        ({"receiver": 10**9}, 409, "ACCOUNT_UNKNOWN"),
        ({"receiver": 0}, 422, "INPUT_INVALID"),
        ({"is_admin": True}, 422, "INPUT_INVALID"),
    ],
)
def test_what_cannot_move_is_refused_with_a_reason(
    api: Api, body: dict[str, Any], change: dict[str, Any], status: int, code: str
) -> None:
    answer = api.post(ADDRESS, body | change)

    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer["Content-Type"] == "application/problem+json"
    assert not AccountTransfer.objects.exists()


def test_an_account_is_not_its_own_receiver_and_a_trader_must_be_there(api: Api, body: dict[str, Any]) -> None:
    assert api.post(ADDRESS, body | {"receiver": body["sender"]}).json()["code"] == "TRANSFER_SAME_ACCOUNT"
    Heartbeat.objects.all().delete()
    assert api.post(ADDRESS, body).json()["code"] == "TRADER_AWAY"
    assert api.post(f"{ADDRESS}/preview", body, key=None).json()["code"] == "TRADER_AWAY"


def test_money_moves_only_for_somebody_who_has_just_proven_who_they_are(admin: User, body: dict[str, Any]) -> None:
    script, unattended = token_for(admin, "read", "trade"), token_for(admin, "read", "trade", tokens.UNATTENDED)
    for address, asked in ((ADDRESS, body), ("subaccounts/rebalancing", {"moves": []})):
        assert script.post(address, asked).json()["code"] == "CONFIRMATION_NEEDED"
    assert unattended.post(ADDRESS, body).status_code == 200
    assert token_for(admin, "read").post(ADDRESS, body).status_code == 403


def test_limits_are_lowered_by_operators_and_raised_by_administrators(api: Api, admin: User, body: dict[str, Any]) -> None:
    operator = token_for(admin, "read", "risk", tokens.UNATTENDED)
    lower, higher = {"per_transfer": "100", "per_day": "800"}, {"per_transfer": "600", "per_day": "800"}

    assert operator.post("subaccounts/limits", lower).json()["limits"]["per_transfer"] == "100"
    assert operator.post("subaccounts/limits", higher).json()["code"] == "RISK_RAISE_NEEDS_ADMIN"
    assert api.post("subaccounts/limits", higher).json()["limits"]["per_transfer"] == "600"
    none = api.post("subaccounts/limits", {"per_transfer": None, "per_day": None}).json()["limits"]
    assert none == {"per_transfer": None, "per_day": None, "left_today": None}
    assert api.post(ADDRESS, body).json()["code"] == "TRANSFER_LIMIT_UNSET"


def test_what_is_proposed_is_sent_at_one_call(api: Api, body: dict[str, Any]) -> None:
    sub_id = body["receiver"]
    assert api.get("subaccounts/rebalancing").json()["code"] == "TARGETS_UNSET"
    twice = {"targets": [{"account": sub_id, "percent": "4"}] * 2}
    assert api.post("subaccounts/targets", twice).json()["code"] == "TARGET_TWICE"
    over = {"targets": [{"account": sub_id, "percent": "100.01"}]}
    assert api.post("subaccounts/targets", over).json()["code"] == "TARGET_PERCENT"

    found = api.post("subaccounts/targets", {"targets": [{"account": sub_id, "percent": "4"}]}).json()
    assert found == api.get("subaccounts/rebalancing").json()
    (move,) = found["moves"]
    assert api.post("subaccounts/rebalancing", {"moves": [move, move]}).json()["code"] == "PROPOSAL_STALE"
    (row,) = api.post("subaccounts/rebalancing", {"moves": [move]}).json()["items"]
    assert (row["amount"], row["receiver"], row["reason"]) == (move["amount"], sub_id, "even out")
    assert api.post("subaccounts/rebalancing", {"moves": [move]}).json()["code"] == "TRANSFER_UNDER_WAY"
