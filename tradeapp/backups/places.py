"""Which database a backup is taken from or put into: the embedded one of a data directory, or a server of the operator's."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tradeapp.backups import database
from tradeapp.up import instance_lock, layout, server_account
from tradeapp.up import postgres as postgres_server
from tradeapp.up.postgres import OWNER_ROLE, Postgres


@dataclass(frozen=True, slots=True)
class Place:
    """A data directory and its database; an address means a server that is not ours."""

    data_dir: Path
    external_url: str = ""

    def server(self) -> Postgres | None:
        """Return the embedded server, or nothing."""
        if self.external_url:
            return None
        account = server_account.choose()
        return postgres_server.embedded(places=layout.prepare(data_dir=self.data_dir, account=account), account=account)

    @contextmanager
    def open_database(self) -> Iterator[str]:
        """Have the database running; yield the address of a role that owns its tables."""
        server = self.server()
        if server is None:
            yield self.external_url
        elif instance_lock.holder(self.data_dir) is not None:
            yield server.url(role=OWNER_ROLE)
        else:
            with database.running(server) as url:
                yield url
