"""Seal and open secrets with the master key; a sealed text opens only in the place it was sealed for."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from exchange import redaction


class MasterKeyMissing(Exception):
    """Raised when the file with the master key is absent or empty."""


class SealBroken(Exception):
    """Raised when a sealed text was made with another key, for another place, or was changed."""


def seal(plain: str, *, context: str, key_file: Path) -> str:
    """Encrypt a secret for one place, for example `account:1:trade`."""
    return _keys(key_file).encrypt(json.dumps([context, plain]).encode()).decode()


def unseal(token: str, *, context: str, key_file: Path) -> str:
    """Decrypt a secret; a text moved from another place is refused."""
    place, plain = _open(token, _keys(key_file))
    if place != context:
        raise SealBroken(f"This secret was sealed for {place}, not for {context}.")
    redaction.remember(plain)
    return plain


def reseal(token: str, *, key_file: Path) -> str:
    """Encrypt again with the newest master key, after a key was added in front."""
    keys = _keys(key_file)
    return keys.encrypt(json.dumps(_open(token, keys)).encode()).decode()


def fingerprint(plain: str) -> str:
    """Name a secret without telling it."""
    return hashlib.sha256(plain.encode()).hexdigest()


def credential_context(account_id: int, role: str) -> str:
    """Name the place of an account's key."""
    return f"account:{account_id}:{role}"


def _keys(key_file: Path) -> MultiFernet:
    """Read the master keys, newest first: the first one encrypts, all of them decrypt."""
    try:
        lines = key_file.read_text().split()
    except FileNotFoundError:
        lines = []
    if not lines:
        raise MasterKeyMissing(f"The master key file {key_file} is missing: without it no stored exchange key can be read.")
    return MultiFernet([Fernet(line) for line in lines])


def _open(token: str, keys: MultiFernet) -> tuple[str, str]:
    try:
        place, plain = json.loads(keys.decrypt(token.encode()))
    except InvalidToken as error:
        raise SealBroken("This secret was sealed with another master key, or it was changed.") from error
    return place, plain
