"""Put a backup back: under a new name at the exchange, and with nothing sent until a person has the books reopened."""

from __future__ import annotations

import tempfile
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from django.core.management import call_command
from django.db import connection, connections, transaction

from portfolio.models import Account, Lease, Order
from portfolio.trader import lease
from portfolio.writers import accounts, audit, orders, releases
from tradeapp import server_addresses
from tradeapp.backups import archive, database, state
from tradeapp.backups.archive import Manifest
from tradeapp.backups.places import Place
from tradeapp.up import instance_lock
from trading import order_status
from trading.orders import raise_deploy

MAYBE_SENT = "RESTORED_MAYBE_SENT"


@dataclass(frozen=True, slots=True)
class Restored:
    """What was put back."""

    manifest: Manifest
    deploys: dict[str, str]
    kept_database: str
    kept_files: list[str]


def restore(*, source: Path, place: Place, now: datetime) -> Restored:
    """Fill the place from a backup. What it holds already is set aside, never overwritten.

    Refuses while the system runs there, and a file that is damaged before anything is touched.
    """
    with tempfile.TemporaryDirectory(prefix="tradeapp-restore-") as folder, closing(instance_lock.acquire(place.data_dir)):
        manifest = archive.unpack(source, Path(folder))
        dump = Path(folder) / archive.DATABASE
        server = place.server()
        if server is None:
            kept_database = ""
            database.load(dump, place.external_url)
            deploys = _live_again(place.external_url, now)
        else:
            with database.running(server) as url:
                kept_database = database.set_aside(server, now)
                database.load(dump, url)
                deploys = _live_again(url, now)
        state.forget_heads(place.data_dir)
        kept_files = state.put_back(Path(folder) / archive.STATE, place.data_dir)
    return Restored(manifest, deploys, kept_database, kept_files)


def begin_new_life(account_id: int, *, now: datetime) -> str:
    """Halt a restored account under a new deploy; answer it.

    An order that waited to be sent when the copy was taken may have been sent since: nobody knows, so it is never sent, only
    looked for. What waited for a cancel was decided for a market that is gone.
    """
    # The row was copied with the books; whoever holds the real one is another matter.
    Lease.objects.filter(name=f"trader:{account_id}").update(expires_at=now, holder="")
    epoch = lease.acquire(account_id, now=now)
    with lease.fenced(account_id, epoch) as account:
        before, account.deploy = account.deploy, raise_deploy(account.deploy)
        accounts.changed(account, "deploy")
        waiting = Order.objects.filter(account=account, status=order_status.READY).values_list("id", flat=True)
        for order_id in list(waiting):
            if orders.mark_sending(order_id, epoch=epoch, now=now):
                orders.mark_unknown(order_id, MAYBE_SENT, "Restored from a backup; it may have been sent since.", now=now)
        releases.drop_waiting(account, accounts.RESTORED)
        accounts.set_state(account, Account.State.HALTED, accounts.RESTORED, now=now)
        audit.record(
            action="account.restore",
            subject=f"account:{account.pk}",
            before={"deploy": before},
            after={"deploy": account.deploy},
            now=now,
        )
    lease.release(account_id, epoch, now=now)
    return account.deploy


def _live_again(url: str, now: datetime) -> dict[str, str]:
    """Bring the restored tables up to date and give every account its next life."""
    connections["default"].close()
    before = dict(connection.settings_dict)
    connection.settings_dict.update(server_addresses.database_settings(url))
    try:
        call_command("migrate", verbosity=0, interactive=False)
        with transaction.atomic():
            found = Account.objects.order_by("id").values_list("id", "name")
            return {name: begin_new_life(account_id, now=now) for account_id, name in list(found)}
    finally:
        # The server ends when this is done: nothing may be left open.
        connections["default"].close()
        connection.settings_dict.update(before)
