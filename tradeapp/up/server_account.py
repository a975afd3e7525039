"""Which account the database servers run under: PostgreSQL refuses to run as root."""

from __future__ import annotations

import os
import pwd
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypedDict

from tradeapp.up.trouble import UnableToStart

UNPRIVILEGED = ("postgres", "nobody")


class ProcessUser(TypedDict, total=False):
    """Arguments of a subprocess that runs under another account."""

    user: int
    group: int
    extra_groups: list[int]


@dataclass(frozen=True, slots=True)
class ServerAccount:
    """An account of the operating system, and whether we must change to it."""

    name: str
    user_id: int
    group_id: int
    is_other: bool

    def process_user(self) -> ProcessUser:
        """Return the arguments that start a subprocess under this account."""
        if not self.is_other:
            return {}
        return {"user": self.user_id, "group": self.group_id, "extra_groups": []}


def choose(*, user_id: int | None = None, names: Iterable[str] = UNPRIVILEGED) -> ServerAccount:
    """Return the caller's own account, or for root an unprivileged account that exists already."""
    user_id = os.getuid() if user_id is None else user_id
    if user_id != 0:
        try:
            entry = pwd.getpwuid(user_id)
        except KeyError as error:
            raise UnableToStart(
                f"User id {user_id} has no entry in /etc/passwd, which PostgreSQL needs. "
                "Add one, or set DATABASE_URL to a PostgreSQL server of your own."
            ) from error
        return ServerAccount(entry.pw_name, user_id, os.getgid(), is_other=False)
    for name in names:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return ServerAccount(name, entry.pw_uid, entry.pw_gid, is_other=True)
    raise UnableToStart(
        f"PostgreSQL does not run as root, and none of the accounts {', '.join(names)} exists. "
        "Start as an ordinary user, or set DATABASE_URL to a PostgreSQL server of your own."
    )
