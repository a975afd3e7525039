"""Settings are read strictly: a typing error in a safety setting must not pass."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured

from tradeapp import environment, places, secret_files, server_addresses


def test_an_unknown_name_of_ours_is_refused_with_the_closest_match() -> None:
    with pytest.raises(ImproperlyConfigured, match=r"Unknown setting TRADEAPP_DATADIR\. Did you mean TRADEAPP_DATA_DIR"):
        environment.refuse_unknown_names({"TRADEAPP_DATADIR": "/data", "PATH": "/bin"})


def test_an_unknown_choice_is_refused_with_the_closest_match() -> None:
    with pytest.raises(ImproperlyConfigured, match="Did you mean percentage"):
        environment.choice({"MODE": "percentge"}, "MODE", environment.ALLOCATION_MODES, "percentage")


def test_a_secret_may_come_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("s3cret\n")
    environ = {"SECRET_KEY_FILE": str(tmp_path / "secret")}

    environment.read_secret_files(environ)

    assert environ == {"SECRET_KEY": "s3cret"}


def test_a_secret_given_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ImproperlyConfigured, match="Both SECRET_KEY and SECRET_KEY_FILE"):
        environment.read_secret_files({"SECRET_KEY": "one", "SECRET_KEY_FILE": str(tmp_path / "other")})


def test_damaged_remembered_addresses_are_as_good_as_none(tmp_path: Path) -> None:
    (tmp_path / environment.ADDRESSES_FILE).write_text('{"VENUE_URL": ')

    assert environment.remembered_addresses(tmp_path) == {}


def test_copies_of_the_project_do_not_share_a_data_directory_as_root() -> None:
    first = places.data_directory(environ={}, user_id=0, project=Path("/srv/first/main"))
    second = places.data_directory(environ={}, user_id=0, project=Path("/srv/second/main"))

    assert first != second
    assert first.parent == second.parent == places.STATE_ROOT


def test_a_generated_secret_is_private_and_stays_the_same(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "secret.key"

    first = secret_files.read_or_create(path)

    assert path.stat().st_mode & 0o777 == 0o600
    assert secret_files.read_or_create(path) == first
    assert len(first) > 60
    assert [child.name for child in path.parent.iterdir()] == ["secret.key"]


def test_an_emptied_secret_is_not_replaced_in_silence(tmp_path: Path) -> None:
    (tmp_path / "secret.key").write_text("")

    with pytest.raises(ImproperlyConfigured, match="is empty"):
        secret_files.read_or_create(tmp_path / "secret.key")


@pytest.mark.parametrize(
    ("url", "host", "port", "name", "user", "password"),
    [
        ("postgresql://tradeapp@/money?host=%2Fvar%2Fsockets", "/var/sockets", "", "money", "tradeapp", ""),
        ("postgres://ann:p%40ss@db.example:6432/money", "db.example", "6432", "money", "ann", "p@ss"),
    ],
)
def test_a_database_address_is_understood(url: str, host: str, port: str, name: str, user: str, password: str) -> None:
    found = server_addresses.database_settings(url)

    assert (found["HOST"], found["PORT"], found["NAME"]) == (host, port, name)
    assert (found["USER"], found["PASSWORD"]) == (user, password)


def test_a_database_option_in_the_address_is_kept() -> None:
    assert server_addresses.database_settings("postgresql://db/money?sslmode=require")["OPTIONS"] == {"sslmode": "require"}


def test_another_kind_of_database_is_refused() -> None:
    with pytest.raises(ImproperlyConfigured, match="only postgresql"):
        server_addresses.database_settings("sqlite:///money.db")


@pytest.mark.parametrize(
    ("url", "broker"),
    [
        ("unix:///run/valkey.sock?db=3", "redis+socket:///run/valkey.sock?virtual_host=3"),
        ("redis://cache:6379/1", "redis://cache:6379/1"),
    ],
)
def test_celery_is_told_the_address_in_its_own_words(url: str, broker: str) -> None:
    assert server_addresses.celery_broker(url) == broker
