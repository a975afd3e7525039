"""What an installation is made of: the master key, the grants, and settings that name bots that exist."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest
from cryptography.fernet import Fernet
from django.core.exceptions import ImproperlyConfigured
from django.db import connection

from portfolio.models import Credential
from tests.portfolio import world
from tradeapp import installation
from tradeapp.up.postgres import PROCESS_ROLE


@pytest.mark.parametrize(
    ("active_bot", "percents", "says"),
    [
        ("MeanReversoin", {}, "Did you mean MeanReversion"),
        ("", {"MEAN_REVERSOIN": "20"}, "Did you mean MeanReversion"),
        ("", {"MEAN_REVERSION": "-1"}, "BOT_PERCENT_MEAN_REVERSION"),
        ("", {"MEAN_REVERSION": "101"}, "BOT_PERCENT_MEAN_REVERSION"),
        ("", {"MEAN_REVERSION": "a fifth"}, "BOT_PERCENT_MEAN_REVERSION"),
        ("", {"MEAN_REVERSION": "60"}, "100"),
    ],
)
def test_settings_that_name_the_wrong_bot_or_share_are_refused(active_bot: str, percents: dict[str, str], says: str) -> None:
    with pytest.raises(ImproperlyConfigured, match=says):
        installation.refuse_bad_bot_settings(active_bot=active_bot, percents=percents)


@pytest.mark.parametrize("spelling", ["MEAN_REVERSION", "MeanReversion", "mean_reversion", "SashaHybrid", "grid"])
def test_every_known_spelling_of_a_bot_is_accepted(spelling: str) -> None:
    installation.refuse_bad_bot_settings(active_bot=spelling, percents={"GRID_TRADING": "15.5"})


@pytest.mark.django_db
def test_the_master_key_is_made_once_and_is_a_key(tmp_path: Path) -> None:
    path = tmp_path / "master.key"

    installation.make_master_key(path)
    first = path.read_text()
    installation.make_master_key(path)

    assert path.read_text() == first
    assert Fernet(first.strip().encode()).encrypt(b"sealed")


@pytest.mark.django_db
@pytest.mark.fault("G12")
def test_a_lost_master_key_is_never_replaced(tmp_path: Path) -> None:
    account_id = world.build(books=1).account_id
    Credential.objects.create(account_id=account_id, role="trade", key_last4="1234", sealed="sealed", created_at=world.NOW)

    with pytest.raises(ImproperlyConfigured, match="Restore the file from your backup"):
        installation.make_master_key(tmp_path / "master.key")
    assert not (tmp_path / "master.key").exists()


@pytest.mark.django_db(transaction=True)
def test_a_process_may_write_a_journal_but_not_empty_it() -> None:
    installation.grant_to_processes()
    known = connection.settings_dict

    with psycopg.connect(host=known["HOST"], dbname=known["NAME"], user=PROCESS_ROLE, autocommit=True) as process:
        assert process.execute("SELECT count(*) FROM portfolio_ledgerentry").fetchone() == (0,)
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="permission denied"):
            process.execute("TRUNCATE portfolio_ledgerentry CASCADE")
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="must be owner"):
            process.execute("ALTER TABLE portfolio_ledgerentry DISABLE TRIGGER ALL")
