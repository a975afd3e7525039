"""A backup meets an exchange that has gone on: refused while the first installation lives, reopened exactly when it is gone."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.db import connection
from django.utils import timezone

from portfolio.models import Order, Position
from tests.journeys.stack import database_url
from tests.portfolio.trader.desk import MANAGE, Desk
from tests.servers import drop_database
from tradeapp import server_addresses
from tradeapp.backups import restoring, taking
from tradeapp.backups.places import Place

pytestmark = [pytest.mark.timeout(240), pytest.mark.slow]

ACCOUNT = "desk"


@dataclass
class Copy:
    """The books as a backup had them, in a database of their own, facing the same exchange."""

    desk: Desk
    place: Place
    source: Path

    def take(self) -> None:
        """Take the backup from the desk's own database."""
        here = Place(self.place.data_dir.parent / "here", database_url())
        here.data_dir.mkdir(exist_ok=True)
        taking.take(place=here, target=self.source, now=timezone.now())

    def restore(self) -> str:
        """Put it back; answer the new deploy."""
        return restoring.restore(source=self.source, place=self.place, now=timezone.now()).deploys[ACCOUNT]

    def start(self, *words: str) -> subprocess.Popen[str]:
        """Run a management command on the copy."""
        environment = self.desk.stack.environment("command") | {"DATABASE_URL": self.place.external_url}
        return subprocess.Popen([*MANAGE, *words], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def reopen(self, watch: str) -> subprocess.Popen[str]:
        return self.start("reopen", "--account", ACCOUNT, "--confirm", ACCOUNT, "--watch", watch, "--json")

    def rows(self, statement: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.place.external_url) as reader:
            return reader.execute(statement.encode()).fetchall()

    def state(self) -> tuple[str, str]:
        ((state, reason),) = self.rows("SELECT state, state_reason FROM portfolio_account")
        return str(state), str(reason)

    def positions(self) -> dict[tuple[int, str], tuple[Decimal, Decimal]]:
        statement = """
            SELECT book.number, instrument.symbol, position.quantity, position.cost FROM portfolio_position AS position
            JOIN portfolio_book AS book ON book.id = position.book_id
            JOIN marketdata_instrument AS instrument ON instrument.id = position.instrument_id
        """
        return {(number, symbol): (quantity, cost) for number, symbol, quantity, cost in self.rows(statement)}


@pytest.fixture
def copy(desk: Desk, tmp_path: Path) -> Iterator[Copy]:
    name = f"{connection.settings_dict['NAME']}_copy"
    known = connection.settings_dict
    server = server_addresses.database_url(socket_directory=known["HOST"], role=known["USER"], name="postgres")
    (tmp_path / "there").mkdir()
    with psycopg.connect(server, autocommit=True) as administrator:
        drop_database(administrator, name)
        administrator.execute(f'CREATE DATABASE "{name}"')
        url = server_addresses.database_url(socket_directory=known["HOST"], role=known["USER"], name=name)
        yield Copy(desk, Place(tmp_path / "there", url), tmp_path / "copy.tar.gz")
        drop_database(administrator, name)


@pytest.mark.fault("O07", "E44")
def test_a_copy_is_refused_while_the_first_installation_trades(desk: Desk, copy: Copy) -> None:
    desk.start_trader()
    desk.place()
    desk.wait_until_quiet()
    copy.take()
    copy.restore()

    reopening = copy.reopen(watch="8")
    while reopening.poll() is None:
        desk.step()
    _, errors = reopening.communicate()

    assert reopening.returncode == 1
    assert "SECOND_INSTANCE" in errors
    assert copy.state() == ("halted", "RESTORED")
    # Nothing happened to the first one: its order rests, and it goes on.
    assert Order.objects.get(account=desk.account_id).status == "open"
    desk.enter(book=1)
    desk.wait_until_quiet()
    desk.check_books()


@pytest.mark.fault("D09")
def test_an_older_copy_is_reopened_with_nothing_left_over(desk: Desk, copy: Copy) -> None:
    desk.start_trader()
    desk.enter()
    desk.wait_until_quiet()
    copy.take()
    desk.enter(book=1)
    desk.exit()
    # A purchase that could meet the sale on its way would be refused.
    desk.wait_until_quiet()
    desk.place(book=1, slot=3)
    desk.wait_until_quiet()
    desk.stop_trader(signal.SIGKILL)
    lost = set(Order.objects.filter(book=desk.books[1], status="open").values_list("client_order_id", flat=True))
    deploy = copy.restore()

    reopening = copy.reopen(watch="1")
    output, errors = reopening.communicate(timeout=120)

    assert reopening.returncode == 0, output + errors
    done = json.loads(output)
    assert done["residuals"] == {}
    assert set(done["cancelled"]) == lost
    assert len(lost) == 2
    # Every trade went to the bot that made it: the positions are those of the books that were lost.
    first = {
        (row.book.number, row.instrument.symbol): (row.quantity, row.cost)
        for row in Position.objects.filter(book__account=desk.account_id).select_related("book", "instrument")
    }
    assert copy.positions() == first
    _trades_on(desk, copy, deploy)


def _trades_on(desk: Desk, copy: Copy, deploy: str) -> None:
    """The copy's trader recovers by itself, and everything agrees with the exchange to the last unit."""
    trader = copy.start("run_trader", "--account", str(desk.account_id))
    try:
        desk.wait(lambda: copy.state() == ("active", ""), "the copy trades", 60)
    finally:
        trader.terminate()
        trader.wait(30)
    reconcile = copy.start("reconcile", "--account", ACCOUNT)
    output, errors = reconcile.communicate(timeout=60)
    assert reconcile.returncode == 0, output + errors
    assert copy.rows("SELECT deploy FROM portfolio_account") == [(deploy,)]
    assert copy.rows("SELECT count(*) FROM portfolio_ledgeraccount WHERE kind = 'suspense' AND balance <> 0") == [(0,)]
