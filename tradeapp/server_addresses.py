"""Say one server's address in the dialect of each library that needs it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import SplitResult, parse_qs, unquote, urlencode, urlsplit

from django.core.exceptions import ImproperlyConfigured

DATABASE_SCHEMES = ("postgres", "postgresql")
REDIS_SCHEMES = ("redis", "rediss", "unix")


def database_settings(url: str) -> dict[str, Any]:
    """Return Django's database settings for a PostgreSQL address, unix sockets included."""
    parts = _split("DATABASE_URL", url)
    if parts.scheme not in DATABASE_SCHEMES:
        raise ImproperlyConfigured(
            f"DATABASE_URL begins with {parts.scheme or 'nothing'}: only postgresql:// addresses work; "
            "leave it unset for the embedded server."
        )
    query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": unquote(parts.path.lstrip("/")),
        "USER": unquote(parts.username or query.pop("user", "")),
        "PASSWORD": unquote(parts.password or query.pop("password", "")),
        "HOST": query.pop("host", "") or unquote(parts.hostname or ""),
        "PORT": query.pop("port", "") or str(parts.port or ""),
        "OPTIONS": query,
    }


def database_url(*, socket_directory: str, role: str, name: str) -> str:
    """Return the address of a database behind a unix socket."""
    return f"postgresql://{role}@/{name}?{urlencode({'host': socket_directory})}"


def check_redis(url: str) -> str:
    """Return a Redis address as redis-py reads it; refuse what it cannot read."""
    parts = _split("REDIS_URL", url)
    if parts.scheme not in REDIS_SCHEMES:
        raise ImproperlyConfigured(
            f"REDIS_URL begins with {parts.scheme or 'nothing'}: use redis://, rediss:// or unix://; "
            "leave it unset for the embedded server."
        )
    return url


def objections(environ: Mapping[str, str]) -> dict[str, str]:
    """Return which of the servers' addresses nobody can read, and why."""
    found = {}
    readers: dict[str, Callable[[str], object]] = {"DATABASE_URL": database_settings, "REDIS_URL": check_redis}
    for name, read in readers.items():
        try:
            if environ.get(name):
                read(environ[name])
        except ImproperlyConfigured as refused:
            found[name] = str(refused)
    return found


def _split(name: str, url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        # It is read here because asking for it is what refuses nonsense.
        parts.port  # noqa: B018
    except ValueError:
        # What Python says of it would show a password that was not quoted.
        raise ImproperlyConfigured(f"{name} is not an address: write @, : and / in a password as %40, %3A and %2F.") from None
    return parts


def celery_broker(url: str) -> str:
    """Return a Redis address as Celery reads it: it has its own word for a unix socket."""
    parts = urlsplit(url)
    if parts.scheme != "unix":
        return url
    database = parse_qs(parts.query).get("db", ["0"])[-1]
    return f"redis+socket://{parts.path}?virtual_host={database}"
