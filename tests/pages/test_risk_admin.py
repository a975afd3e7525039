"""The kill switch and the limits in the Django admin."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse

from portfolio.models import Account, AuditEntry, RiskLimits
from tests.portfolio.world import World, build


@pytest.fixture
def world(db: None) -> World:
    return build()


@pytest.fixture
def administrator(db: None) -> Client:
    client = Client()
    client.force_login(User.objects.create_superuser("chief", password="a long enough password"))
    return client


@pytest.fixture
def operator(db: None) -> Client:
    person = User.objects.create_user("mate", password="a long enough password", is_staff=True)
    names = ("view_account", "change_account", "view_risklimits")
    person.user_permissions.set(Permission.objects.filter(codename__in=names, content_type__app_label="portfolio"))
    client = Client()
    client.force_login(person)
    return client


def run(client: Client, world: World, action: str, **fields: str) -> Any:
    body = {"action": action, "_selected_action": str(world.account_id), **fields}
    return client.post(reverse("admin:portfolio_account_changelist"), body)


def is_killed(world: World) -> bool:
    return Account.objects.get(id=world.account_id).is_killed


def test_an_operator_stops_and_only_an_administrator_releases_with_a_reason(
    world: World, operator: Client, administrator: Client
) -> None:
    run(operator, world, "kill", reason="prices look wrong")
    assert is_killed(world)
    run(operator, world, "release_kill", reason="they were right")
    assert is_killed(world)
    run(administrator, world, "release_kill")
    assert is_killed(world)
    run(administrator, world, "release_kill", reason="they were right")
    assert not is_killed(world)
    entries = AuditEntry.objects.filter(action__contains="kill").order_by("id").values_list("action", "actor_name")
    assert list(entries) == [("account.kill", "mate"), ("account.release_kill", "chief")]


def test_limits_are_read_there_and_changed_elsewhere(world: World, operator: Client) -> None:
    row = RiskLimits.objects.get()
    assert b"2470.57" in operator.get(reverse("admin:portfolio_risklimits_changelist")).content
    change = reverse("admin:portfolio_risklimits_change", args=[row.pk])
    assert operator.post(change, {"order_value_max": "999999"}).status_code == 403
