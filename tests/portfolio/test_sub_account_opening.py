"""One account at the exchange has one place in the books: whoever asks for it second is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.db import IntegrityError, transaction

from portfolio.models import Account, Credential
from portfolio.services import UnableToOpen, open_sub_account
from tests.portfolio.world import NOW, World
from tradeapp.installation import make_master_key


@pytest.fixture
def master(world: World, tmp_path: Path, settings: Any) -> Account:
    settings.MASTER_KEY_FILE = tmp_path / "master.key"
    make_master_key(settings.MASTER_KEY_FILE)
    Account.objects.filter(pk=world.account_id).update(venue_uid="1")
    return Account.objects.get(pk=world.account_id)


def ask(master: Account, name: str, uid: str, *, key: str = "") -> Account:
    return open_sub_account(
        master_id=master.pk, name=name, venue_name=f"{name}@exchange", venue_uid=uid, deploy=f"d{name[-1]}",
        key=key or f"key-of-{name}-123456", secret="secret-12345678", by=None, now=NOW,
    )  # fmt: skip


@pytest.mark.fault("G05")
def test_two_bots_cannot_have_one_sub_account(master: Account) -> None:
    first = ask(master, "bot a", "2")
    assert ask(master, "bot a", "2").pk == first.pk, "asked twice for the same is the same"
    for name, uid, code in (
        ("bot b", "2", "SUBACCOUNT_UID"),
        ("bot a", "3", "SUBACCOUNT_TAKEN"),
        ("bot b", "1", "SUBACCOUNT_UID"),
        ("bot b", "", "SUBACCOUNT_UID"),
    ):
        with pytest.raises(UnableToOpen) as refused:
            ask(master, name, uid)
        assert refused.value.code == code
    with pytest.raises(UnableToOpen) as refused:
        ask(first, "bot c", "4")
    assert refused.value.code == "SUBACCOUNT_NESTED"
    assert list(Account.objects.filter(master=master)) == [first]


@pytest.mark.fault("G05")
def test_the_database_itself_refuses_a_second_place_and_a_second_use_of_a_key(master: Account) -> None:
    ask(master, "bot a", "2")
    second = ask(master, "bot b", "3")
    with pytest.raises(IntegrityError, match="account_sub_uid_unique"), transaction.atomic():
        Account.objects.filter(pk=second.pk).update(venue_uid="2")
    with pytest.raises(Exception, match="key"), transaction.atomic():
        ask(master, "bot c", "4", key="key-of-bot a-123456")
    assert Credential.objects.filter(account__master=master).count() == 2
