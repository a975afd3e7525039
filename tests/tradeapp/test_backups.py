"""Backups: whole or refused, restored under a new name, and with nothing sent twice."""

from __future__ import annotations

import json
import sqlite3
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import psycopg
import pytest
from django.conf import settings
from django.db import connection

from portfolio.models import Account, LedgerTransaction, Order
from tests.portfolio.world import World, build
from tests.servers import drop_database
from tradeapp import server_addresses
from tradeapp.backups import archive, database, restoring, state, taking
from tradeapp.backups.archive import BadArchive
from tradeapp.backups.places import Place

EARLIER = "t1"
NOW = datetime(2024, 5, 1, 12, tzinfo=UTC)


def address(name: str) -> str:
    known = connection.settings_dict
    return server_addresses.database_url(socket_directory=known["HOST"], role=known["USER"], name=name)


@pytest.fixture
def empty_database(transactional_db: None) -> Iterator[str]:
    """Have a second, empty database beside the test's own."""
    name = f"{connection.settings_dict['NAME']}_restored"
    with psycopg.connect(address("postgres"), autocommit=True) as server:
        drop_database(server, name)
        server.execute(f'CREATE DATABASE "{name}"')
        yield address(name)
        drop_database(server, name)


@pytest.fixture
def world(transactional_db: None) -> World:
    return build()


@pytest.fixture
def here(tmp_path: Path) -> Place:
    """Have a data directory with a local exchange's store that somebody is writing."""
    data_dir = tmp_path / "here"
    (data_dir / "venue" / "epoch").mkdir(parents=True)
    (data_dir / "master.key").write_text("the master key")
    (data_dir / "secret.key").write_text("the secret key")
    (data_dir / "logs").mkdir()
    (data_dir / "logs" / "web.log").write_text("noise")
    with closing(sqlite3.connect(data_dir / "venue" / "epoch" / "venue.sqlite3")) as store:
        store.execute("PRAGMA journal_mode=WAL")
        store.execute("CREATE TABLE trade (id INTEGER)")
        store.execute("INSERT INTO trade VALUES (7)")
        store.commit()
    return Place(data_dir, address(connection.settings_dict["NAME"]))


@pytest.fixture
def there(tmp_path: Path, empty_database: str) -> Place:
    (tmp_path / "there").mkdir()
    return Place(tmp_path / "there", empty_database)


def rows(url: str, statement: str) -> list[tuple[object, ...]]:
    with psycopg.connect(url) as reader:
        return reader.execute(statement.encode()).fetchall()


def test_books_come_back_as_they_were_under_a_new_name(world: World, here: Place, there: Place, tmp_path: Path) -> None:
    account = Account.objects.get()
    path, manifest = taking.take(place=here, target=tmp_path / "copy.tar.gz", now=NOW)

    done = restoring.restore(source=path, place=there, now=NOW)

    head = manifest.heads[0]
    assert (head.account, head.ledger_seq, head.ledger_hash) == (account.name, account.ledger_seq, account.ledger_hash)
    journal = "SELECT seq, kind, reference, hash FROM portfolio_ledgertransaction ORDER BY seq"
    assert rows(there.external_url, journal) == rows(here.external_url, journal)
    assert LedgerTransaction.objects.count() == account.ledger_seq > 0
    ((deploy, status, reason),) = rows(there.external_url, "SELECT deploy, state, state_reason FROM portfolio_account")
    assert (status, reason) == ("halted", "RESTORED")
    assert done.deploys == {account.name: deploy}
    assert deploy != account.deploy
    # The first installation knows nothing of all this.
    assert Account.objects.get(pk=account.pk).deploy == account.deploy


@pytest.mark.fault("D09")
def test_what_waited_to_be_sent_is_never_sent_from_a_copy(world: World, here: Place, there: Place, tmp_path: Path) -> None:
    world.decide(world.propose("place", side="buy", slot=0, lots=100, limit_price=Decimal(49000)))
    waiting = world.order(kind="place")
    path, _ = taking.take(place=here, target=tmp_path / "copy.tar.gz", now=NOW)

    restoring.restore(source=path, place=there, now=NOW)

    found = rows(there.external_url, "SELECT client_order_id, status, attempt FROM portfolio_order")
    assert found == [(waiting.client_order_id, "unknown", 1)]
    assert Order.objects.get(pk=waiting.pk).status == "ready"


def test_a_copy_does_not_hold_the_master_key_and_keeps_newer_files(
    world: World, here: Place, there: Place, tmp_path: Path
) -> None:
    path, _ = taking.take(place=here, target=tmp_path / "copy.tar.gz", now=NOW)
    (there.data_dir / "secret.key").write_text("another secret")

    done = restoring.restore(source=path, place=there, now=NOW)

    with tarfile.open(path) as tar:
        assert sorted(tar.getnames()) == ["database.dump", "manifest.json", "state/secret.key", "state/venue/epoch/venue.sqlite3"]
    assert done.kept_files == ["secret.key"]
    assert (there.data_dir / "secret.key").read_text() == "another secret"
    with closing(sqlite3.connect(there.data_dir / "venue" / "epoch" / "venue.sqlite3")) as store:
        assert store.execute("SELECT id FROM trade").fetchall() == [(7,)]
    assert not (there.data_dir / "master.key").exists()
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.fixture
def embedded() -> Iterator[Place]:
    """Have an empty data directory whose PostgreSQL the command itself starts and ends."""
    # Not under pytest's own folder, which only its owner may enter: root's servers run under another account.
    with tempfile.TemporaryDirectory(prefix="tradeapp-restore-") as folder:
        Path(folder).chmod(0o711)
        yield Place(Path(folder) / "data")


def test_an_embedded_database_is_kept_beside_the_restored_one(world: World, here: Place, embedded: Place, tmp_path: Path) -> None:
    path, _ = taking.take(place=here, target=tmp_path / "copy.tar.gz", now=NOW)
    embedded.data_dir.mkdir(mode=0o711)

    first = restoring.restore(source=path, place=embedded, now=NOW)
    again, _ = taking.take(place=embedded, target=None, now=NOW)
    second = restoring.restore(source=again, place=embedded, now=NOW)

    assert first.kept_database == ""
    assert second.kept_database == "tradeapp_before_20240501_120000"
    # Each life has its own names, and nothing of the server is left running.
    assert len({EARLIER, *first.deploys.values(), *second.deploys.values()}) == 3
    assert again.parent == embedded.data_dir / "backups"
    server = embedded.server()
    assert server is not None
    assert not server.is_ready()


def test_a_database_that_is_in_use_is_not_overwritten(world: World, here: Place, tmp_path: Path) -> None:
    path, _ = taking.take(place=here, target=tmp_path / "copy.tar.gz", now=NOW)

    with pytest.raises(database.DatabaseRefused, match="holds tables already"):
        restoring.restore(source=path, place=here, now=NOW)

    assert Account.objects.get().state_reason != "RESTORED"


@pytest.mark.parametrize("part", ["database.dump", "state/secret.key"])
def test_a_damaged_copy_is_refused_before_anything_is_touched(
    world: World, here: Place, there: Place, tmp_path: Path, part: str
) -> None:
    path, _ = taking.take(place=here, target=tmp_path / "copy.tar.gz", now=NOW)
    folder = tmp_path / "unpacked"
    folder.mkdir()
    archive.unpack(path, folder)
    with (folder / part).open("ab") as file:
        file.write(b"!")
    with tarfile.open(path, "w:gz") as tar:
        for member in sorted(path for path in folder.rglob("*") if path.is_file()):
            tar.add(member, arcname=str(member.relative_to(folder)))

    with pytest.raises(BadArchive, match=f"damaged: {part}"):
        restoring.restore(source=path, place=there, now=NOW)

    assert rows(there.external_url, "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == [(0,)]


@pytest.mark.parametrize("content", [b"", b"not a tar", b"\x1f\x8b\x08\x00garbage"])
def test_a_file_that_is_no_backup_is_refused(there: Place, tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "copy.tar.gz"
    path.write_bytes(content)

    with pytest.raises(BadArchive, match="no whole backup"):
        restoring.restore(source=path, place=there, now=NOW)


def test_a_member_that_would_leave_the_folder_is_refused(tmp_path: Path) -> None:
    evil = tmp_path / "evil.tar.gz"
    (tmp_path / "manifest.json").write_text(json.dumps({}))
    with tarfile.open(evil, "w:gz") as tar:
        tar.add(tmp_path / "manifest.json", arcname="../escaped.json")
    (tmp_path / "folder").mkdir()

    with pytest.raises(BadArchive):
        archive.unpack(evil, tmp_path / "folder")

    assert not (tmp_path / "escaped.json").exists()


def test_the_settings_know_no_other_file_that_must_be_left_out() -> None:
    assert Path(settings.MASTER_KEY_FILE).name == state.MASTER_KEY
