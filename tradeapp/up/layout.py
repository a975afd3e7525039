"""Where the embedded servers keep their files, so that their account reaches them and nobody's permissions change."""

from __future__ import annotations

import hashlib
import os
import stat
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tradeapp.up.server_account import ServerAccount
from tradeapp.up.trouble import UnableToStart

STATE_ROOT = Path("/var/lib/tradeapp")
PRIVATE = 0o700
# A unix socket's path has 107 bytes, of which PostgreSQL's file name takes up to 22.
SOCKET_DIRECTORY_BYTES_MAX = 85


@dataclass(frozen=True, slots=True)
class ServerPlaces:
    """Directories of the embedded servers, all owned by the servers' account."""

    home: Path
    postgres: Path
    valkey: Path
    binaries: Path
    sockets: Path


def prepare(*, data_dir: Path, account: ServerAccount) -> ServerPlaces:
    """Make the servers' directories and return them; nothing outside them is touched."""
    create_data_directory(data_dir)
    home = servers_home(data_dir=data_dir, account=account)
    sockets = home / "sockets"
    if len(os.fsencode(sockets)) > SOCKET_DIRECTORY_BYTES_MAX:
        sockets = _short_socket_directory(data_dir, account)
    places = ServerPlaces(home, home / "postgres", home / "valkey", home / "binaries", sockets)
    for place in (places.home, places.valkey, places.binaries, places.sockets):
        _own(place, account)
    return places


def create_data_directory(data_dir: Path) -> None:
    """Make the data directory, or say why it cannot be."""
    try:
        # Others may pass through on their way to the servers' directory; every secret file is private by itself.
        data_dir.mkdir(mode=0o711, parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=data_dir):
            pass
    except OSError as error:
        raise UnableToStart(
            f"The data directory {data_dir} is not usable: {error.strerror}. Make it a directory that this user "
            "can write, or set TRADEAPP_DATA_DIR to another one."
        ) from error


def servers_home(*, data_dir: Path, account: ServerAccount) -> Path:
    """Return the servers' own directory: beside the other data where their account gets there, else in the state root."""
    if not account.is_other or all(_may_pass(parent, account) for parent in (data_dir, *data_dir.parents)):
        return data_dir / "servers"
    return STATE_ROOT / f"servers-{_short_hash(data_dir)}"


def _may_pass(directory: Path, account: ServerAccount) -> bool:
    found = directory.stat()
    if found.st_uid == account.user_id:
        return bool(found.st_mode & stat.S_IXUSR)
    if found.st_gid == account.group_id:
        return bool(found.st_mode & stat.S_IXGRP)
    return bool(found.st_mode & stat.S_IXOTH)


def _short_socket_directory(data_dir: Path, account: ServerAccount) -> Path:
    return Path(tempfile.gettempdir()) / f"tradeapp-{account.user_id}-{_short_hash(data_dir)}"


def _short_hash(path: Path) -> str:
    return hashlib.sha256(os.fsencode(path)).hexdigest()[:8]


def _own(directory: Path, account: ServerAccount) -> None:
    try:
        directory.mkdir(mode=PRIVATE, parents=True)
        if account.is_other:
            os.chown(directory, account.user_id, account.group_id)
    except FileExistsError:
        pass
    except OSError as error:
        raise UnableToStart(
            f"{directory} cannot be made: {error.strerror}. Free space or permissions, then start again."
        ) from error
    found = directory.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != account.user_id or found.st_mode & 0o077:
        raise UnableToStart(
            f"{directory} must be a directory of the account {account.name} that nobody else can enter "
            f"(owner {found.st_uid}, mode {stat.S_IMODE(found.st_mode):o}). "
            "The data directory was used by another user before: start as that user, or set TRADEAPP_DATA_DIR to another one."
        )
