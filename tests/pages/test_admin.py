"""What staff can and cannot do in the Django admin."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from portfolio.models import Account, Allocation, AuditEntry
from portfolio.selectors import account_overview
from tests.portfolio.world import World, build

JOURNAL = ("ledgertransaction", "ledgeraccount", "order", "fill", "decisionrecord", "auditentry", "allocation", "reservation")


@pytest.fixture
def world(db: None) -> World:
    """Return an account with five funded books."""
    return build()


@pytest.fixture
def staff(db: None) -> Client:
    """Return the browser of an administrator."""
    client = Client()
    client.force_login(User.objects.create_superuser("chief", password="a long enough password"))
    return client


def shares(world: World, *percents: str, **more: str) -> dict[str, str]:
    """Fill in the form of an account."""
    return {f"percent_{book.pk}": percent for book, percent in zip(world.books, percents, strict=True)} | more


def account_page(world: World) -> str:
    return reverse("admin:portfolio_account_change", args=[world.account_id])


def test_every_list_and_every_form_opens(world: World, staff: Client) -> None:
    for model, registered in admin.site._registry.items():
        label = f"{model._meta.app_label}_{model._meta.model_name}"
        assert staff.get(reverse(f"admin:{label}_changelist")).status_code == 200, label
        row: Any = model._default_manager.first()
        if row is not None and registered.has_view_permission is not None:
            assert staff.get(reverse(f"admin:{label}_change", args=[row.pk])).status_code == 200, label


def test_the_journal_can_only_be_read(world: World, staff: Client) -> None:
    for name in JOURNAL:
        assert staff.get(reverse(f"admin:portfolio_{name}_add")).status_code == 403, name
    row = Allocation.objects.first()
    assert row is not None
    assert staff.post(reverse("admin:portfolio_allocation_change", args=[row.pk]), {"percent": "99"}).status_code == 403
    assert staff.post(reverse("admin:portfolio_allocation_delete", args=[row.pk]), {"post": "yes"}).status_code == 403


def test_an_edit_of_shares_goes_through_the_service_and_is_audited(world: World, staff: Client) -> None:
    answer = staff.post(account_page(world), shares(world, "10", "30", "20", "20", "20"))
    assert answer.status_code == 302
    smaller, larger = (account_overview(world.account_id).books[i] for i in (0, 1))
    assert (smaller.percent, larger.percent) == (Decimal(10), Decimal(30))
    assert larger.equity - smaller.equity > Decimal(1900)
    entry = AuditEntry.objects.filter(action="allocation.set").first()
    assert entry is not None
    assert entry.actor_name == "chief"


@pytest.mark.parametrize(
    ("percents", "words"),
    [
        (("90", "20", "20", "20", "20"), "100 is all there is"),
        (("-1", "20", "20", "20", "20"), "between 0 and 100"),
        (("101", "0", "0", "0", "0"), "between 0 and 100"),
        (("nan", "20", "20", "20", "20"), "Enter a number"),
        (("", "20", "20", "20", "20"), "This field is required"),
        (("1.23456", "20", "20", "20", "20"), "no more than 4 decimal places"),
    ],
)
def test_a_bad_plan_is_refused_with_words_and_changes_nothing(
    world: World, staff: Client, percents: tuple[str, ...], words: str
) -> None:
    before = Allocation.objects.count()
    answer = staff.post(account_page(world), shares(world, *percents))
    assert answer.status_code == 200
    assert words in answer.content.decode()
    assert Allocation.objects.count() == before


def test_form_tampering_does_not_reach_other_columns(world: World, staff: Client) -> None:
    staff.post(account_page(world), shares(world, "20", "20", "20", "20", "20", mode="live", is_killed="on", name="mine"))
    account = Account.objects.get(id=world.account_id)
    assert (account.mode, account.is_killed, account.name != "mine") == ("paper", False, True)


def test_people_who_are_not_staff_see_nothing(world: World) -> None:
    client = Client()
    client.force_login(User.objects.create_user("guest", password="a long enough password"))
    assert client.get(account_page(world)).status_code == 302
