"""Secrets that this installation makes for itself, kept in files that only their owner reads."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured

PRIVATE_MODE = 0o600


def read_or_create(path: Path, make: Callable[[], str] = lambda: secrets.token_urlsafe(64)) -> str:
    """Return the secret in a file, made on first use; two processes that start together agree on one."""
    try:
        return _read(path)
    except FileNotFoundError:
        pass
    except OSError as error:
        raise ImproperlyConfigured(f"{path} cannot be read: {error.strerror}.") from error
    try:
        _create(path, make())
        return _read(path)
    except OSError as error:
        raise ImproperlyConfigured(
            f"{path} cannot be written: {error.strerror}. Make {path.parent} writable for this user, "
            "or set TRADEAPP_DATA_DIR to a directory that is."
        ) from error


def _read(path: Path) -> str:
    secret = path.read_text(encoding="utf-8").strip()
    if not secret:
        raise ImproperlyConfigured(f"{path} is empty: restore it from a backup, or remove it to make a new one.")
    return secret


def _create(path: Path, secret: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE_MODE)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(secret + "\n")
            file.flush()
            os.fsync(file.fileno())
        # A link never replaces the file of a process that was quicker.
        os.link(draft, path)
    except FileExistsError:
        pass
    finally:
        draft.unlink()
