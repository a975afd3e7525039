"""The kill switch and the limits in the Django admin."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse

from portfolio import services
from portfolio.models import Account, AuditEntry, RiskLimits
from tests.portfolio.test_risk import hold
from tests.portfolio.world import NOW, World, build


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


def add_limits(client: Client, world: World, **said: str) -> Any:
    form = {"account": str(world.account_id), "reason": "in the admin"} | said
    return client.post(reverse("admin:portfolio_risklimits_add"), form, follow=True)


def test_limits_are_lowered_in_the_admin_and_it_says_what_they_do(
    world: World, administrator: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    hold(world, 0, lots=100)
    monkeypatch.setattr("portfolio.limits_admin.timezone.now", lambda: NOW)
    assert administrator.get(reverse("admin:portfolio_risklimits_add")).status_code == 200
    answer = add_limits(administrator, world, order_value_max="1", soft_loss_percent="3")

    row = RiskLimits.objects.filter(account=world.account_id, book=None).latest("id")
    assert (row.version, row.order_value_max, row.soft_loss_percent, row.reason) == (2, 1, 3, "in the admin")
    assert AuditEntry.objects.get(action="risk.lower_limits").actor_name == "chief"
    assert "could not enter (RISK_ORDER_VALUE)" in answer.content.decode()


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({}, "Fill in at least one limit"),
        ({"hard_loss_percent": "11"}, "10"),
        ({"order_value_max": "-1"}, "above zero"),
        ({"orders_per_minute": "many"}, "whole number"),
        ({"soft_loss_percent": "3", "reason": ""}, "required"),
    ],
)
def test_limits_that_make_no_sense_are_refused_in_words(
    world: World, administrator: Client, said: dict[str, str], why: str
) -> None:
    answer = add_limits(administrator, world, **said)

    assert why in answer.content.decode()
    assert RiskLimits.objects.count() == 1


def test_an_operator_lowers_in_the_admin_and_raises_nothing(world: World, operator: Client) -> None:
    refused = add_limits(operator, world, soft_loss_percent="6")
    add_limits(operator, world, soft_loss_percent="4")

    assert "Only an administrator may raise soft_loss_percent" in refused.content.decode()
    assert [row.soft_loss_percent for row in RiskLimits.objects.order_by("id")][1:] == [4]


def test_who_was_overtaken_is_told_and_raises_nothing(world: World, operator: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the look and the setting somebody else lowers further: what was lower has become a raise."""
    look = services.preview_limits

    def look_and_be_overtaken(**asked: Any) -> Any:
        found = look(**asked)
        monkeypatch.setattr(services, "preview_limits", look)
        services.set_limits(
            account_id=world.account_id, changes={"soft_loss_percent": 2}, reason="sooner", may_raise=False, by=None, now=NOW
        )
        return found

    monkeypatch.setattr(services, "preview_limits", look_and_be_overtaken)
    answer = add_limits(operator, world, soft_loss_percent="4")

    assert "Only an administrator may raise soft_loss_percent" in answer.content.decode()
    # What was typed is still there, beside why it was refused.
    assert (answer.redirect_chain, answer.context["adminform"].form["soft_loss_percent"].value()) == ([], "4")
    # What this request did is undone as a whole.
    assert RiskLimits.objects.count() == 1
