"""Whether this installation may be reached from other machines (S10), and whether its servers are closed to them (S12)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qs, unquote, urlsplit

from tradeapp import server_addresses

LOOPBACK_HOSTS: Final = frozenset({"127.0.0.1", "localhost", "::1"})
SECRET_LENGTH_MIN: Final = 50
SECRET_LETTERS_MIN: Final = 10
TLS_CERTIFICATE: Final = "TRADEAPP_TLS_CERTIFICATE"
TLS_KEY: Final = "TRADEAPP_TLS_KEY"
TRUSTED_PROXY: Final = "TRADEAPP_TRUSTED_PROXY"


@dataclass(frozen=True, slots=True)
class Trouble:
    """Something that is open, and how to close it."""

    code: str
    says: str
    remedy: str


def is_loopback(host: str) -> bool:
    """Say whether only this machine reaches an address."""
    return host in LOOPBACK_HOSTS


def is_behind_tls(environ: Mapping[str, str]) -> bool:
    """Say whether browsers speak TLS, to us or to a proxy that we trust."""
    return bool(environ.get(TLS_CERTIFICATE) or environ.get(TRUSTED_PROXY))


def troubles(*, host: str, environ: Mapping[str, str]) -> list[Trouble]:
    """Return why a dashboard on this host must not start; an empty list lets it."""
    found = server_troubles(environ)
    if is_loopback(host):
        return found
    if not is_behind_tls(environ):
        remedy = f"Set {TLS_CERTIFICATE} and {TLS_KEY}, or {TRUSTED_PROXY} to the address of the proxy that ends TLS."
        found.append(Trouble("TLS_MISSING", "passwords and keys would travel in the clear", remedy))
    if bool(environ.get(TLS_CERTIFICATE)) != bool(environ.get(TLS_KEY)):
        found.append(Trouble("TLS_HALF", "a certificate needs its key", f"Set both {TLS_CERTIFICATE} and {TLS_KEY}."))
    if environ.get(TRUSTED_PROXY, "").strip() == "*":
        remedy = f"Set {TRUSTED_PROXY} to the proxy's own address."
        found.append(Trouble("PROXY_ANY", "anybody could pretend to be the proxy", remedy))
    secret = environ.get("SECRET_KEY", "")
    if secret and (
        len(secret) < SECRET_LENGTH_MIN or len(set(secret)) < SECRET_LETTERS_MIN or secret.startswith("django-insecure")
    ):
        remedy = "Remove the setting: a strong key is made in the data directory."
        found.append(Trouble("SECRET_KEY_WEAK", "SECRET_KEY is short or guessable", remedy))
    hosts = [name.strip() for name in environ.get("ALLOWED_HOSTS", "").split(",") if name.strip()]
    if not hosts or "*" in hosts or any(name.startswith("*") for name in hosts):
        remedy = "Set ALLOWED_HOSTS to the names people type, for example bots.example.org."
        found.append(Trouble("ALLOWED_HOSTS_OPEN", "any name would be answered", remedy))
    if environ.get("DEBUG", "").lower() not in ("", "0", "false", "no"):
        found.append(Trouble("DEBUG_ON", "DEBUG is set", "Remove DEBUG: there is no debug mode here."))
    return found


def server_troubles(environ: Mapping[str, str]) -> list[Trouble]:
    """Return which servers others could use: one on another machine must ask for a password.

    An address that nobody can read is told beside them, so that a person has to come here once.
    """
    found = []
    objections = server_addresses.objections(environ)
    for name in ("DATABASE_URL", "REDIS_URL"):
        url = environ.get(name, "")
        if name in objections:
            says, _, remedy = objections[name].partition(": ")
            found.append(Trouble(f"{name}_UNREADABLE", says, remedy[:1].upper() + remedy[1:]))
        elif url and not _is_local(url) and not _has_password(url):
            says = f"{name} names a server on another machine that asks for no password"
            found.append(Trouble(f"{name}_OPEN", says, f"Give that server a password and put it into {name}."))
    return found


def _is_local(url: str) -> bool:
    parts = urlsplit(url)
    socket = parse_qs(parts.query).get("host", [""])[-1]
    host = socket or parts.hostname or ""
    return parts.scheme == "unix" or not host or host.startswith("/") or is_loopback(unquote(host))


def _has_password(url: str) -> bool:
    parts = urlsplit(url)
    return bool(parts.password or parse_qs(parts.query).get("password") or parse_qs(parts.query).get("sslcert"))
