"""Alarms over the API: listed until acknowledged, by somebody who may, with a reason."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.db import transaction
from django.test import Client

from portfolio.models import Alarm, AuditEntry
from portfolio.writers import accounts
from tests.api.conftest import Api
from tests.portfolio.world import NOW, World


@pytest.fixture
def alarm(world: World) -> Alarm:
    with transaction.atomic():
        accounts.halt_entries(world.account(), "LEDGER_BROKEN", now=NOW)
        accounts.lift_halt(world.account(), now=NOW)
    return Alarm.objects.get()


@pytest.mark.fault("O13")
def test_an_alarm_is_listed_until_an_operator_says_what_they_found(api: Api, alarm: Alarm) -> None:
    (row,) = api.get("alarms").json()["items"]
    assert (row["id"], row["code"], row["is_critical"], row["acknowledged_by"]) == (alarm.pk, "LEDGER_BROKEN", True, None)
    assert row["cleared_at"] is not None

    answer = api.post(f"alarms/{alarm.pk}/acknowledge", {"reason": "a disk; replaced"})
    assert answer.status_code == 200
    assert answer.json()["acknowledgement"] == "a disk; replaced"
    assert api.get("alarms").json()["items"] == []
    assert [row["id"] for row in api.get("alarms?state=all").json()["items"]] == [alarm.pk]
    entry = AuditEntry.objects.get(action="alarm.acknowledge")
    assert (entry.after, entry.actor_name) == ({"reason": "a disk; replaced"}, answer.json()["acknowledged_by"])
    again = api.post(f"alarms/{alarm.pk}/acknowledge", {"reason": "again"})
    assert (again.status_code, again.json()["code"]) == (409, "ALARM_ACKNOWLEDGED")


@pytest.mark.fault("O13")
@pytest.mark.parametrize("body", [{}, {"reason": ""}, {"reason": "x", "id": 1}])
def test_nobody_acknowledges_without_a_reason(api: Api, alarm: Alarm, body: dict[str, object]) -> None:
    assert api.post(f"alarms/{alarm.pk}/acknowledge", body).status_code == 422
    assert Alarm.objects.filter(acknowledged_at=None).exists()


def test_an_unknown_alarm_is_named(api: Api, world: World) -> None:
    answer = api.post("alarms/12345/acknowledge", {"reason": "x"})
    assert (answer.status_code, answer.json()["code"]) == (409, "ALARM_UNKNOWN")


@pytest.mark.fault("O13")
def test_a_viewer_sees_and_does_not_acknowledge(alarm: Alarm) -> None:
    client = Client()
    client.force_login(User.objects.create_user("viewer"))
    assert [row["id"] for row in Api(client).get("alarms").json()["items"]] == [alarm.pk]
    assert Api(client).post(f"alarms/{alarm.pk}/acknowledge", {"reason": "x"}).status_code == 403
