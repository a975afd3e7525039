"""Change the master key while everything runs: for a moment both open, and in the end only the new one does."""

from __future__ import annotations

import os
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from cryptography.fernet import Fernet
from django.conf import settings

from exchange.secrets import MasterKeyMissing
from portfolio.services.credentials import reseal_credentials, reseal_rows
from portfolio.writers import audit
from tradeapp.models import SecondFactor
from tradeapp.secret_files import PRIVATE_MODE

if TYPE_CHECKING:
    from django.contrib.auth.models import User


def rotate(*, by: User | None, now: datetime) -> int:
    """Make a new master key, seal everything with it and retire the old one; answers how many secrets were sealed.

    Safe to repeat after a crash: until everything is sealed anew, the file holds old and new keys, the newest first.
    """
    path: Path = settings.MASTER_KEY_FILE
    try:
        old = path.read_text(encoding="utf-8").split()
    except FileNotFoundError:
        old = []
    if not old:
        raise MasterKeyMissing(f"The master key file {path} is missing: restore it from your backup before you rotate it.")
    new = Fernet.generate_key().decode()
    _write(path, [new, *old])
    count = reseal_credentials() + reseal_rows(SecondFactor.objects.all())
    audit.record(action="master_key.rotate", subject="installation", actor=by, after={"secrets": count}, now=now)
    # What was sealed between the two lines above was sealed with the newest key already.
    _write(path, [new])
    return count


def _write(path: Path, keys: list[str]) -> None:
    """Replace the file in one step; a reader sees the old list or the new one, never half of one."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, PRIVATE_MODE)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write("\n".join(keys) + "\n")
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
