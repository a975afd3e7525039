"""Who may use the API, and for what: a session with CSRF for pages, a bearer token with scopes for scripts."""

from __future__ import annotations

from typing import Any, Final

from django.http import HttpRequest
from django.utils import timezone
from ninja.security import APIKeyCookie, HttpBearer

from tradeapp import tokens
from tradeapp.problems import Problem

READING: Final = ("GET", "HEAD", "OPTIONS")
# What a change needs, by the first word of its address. What is not named here needs an administrator.
SCOPES: Final = {
    "bots": "bots:write",
    "allocations": "trade",
    "mode": "trade",
    "rotation": "trade",
    "kill": "risk",
    "risk": "risk",
    "reconciliation": "risk",
    "sweeps": "bots:write",
    "tokens": "admin",
}
# Lifting a halt is more than setting it.
STRICTER: Final = {"kill/release": "admin", "risk/release": "admin"}


class TokenAuth(HttpBearer):
    """`Authorization: Bearer tra_...`."""

    def authenticate(self, request: HttpRequest, token: str) -> Any | None:
        """Return the token's owner if it works and may do this."""
        found = tokens.authenticate(token, now=timezone.now())
        if found is None:
            # A bad token is refused even beside a good session: the two are never mixed.
            raise Problem(401, "TOKEN_INVALID", "This token does not work (any more).")
        demand_scope(request, frozenset(found.scopes))
        request.user = found.user
        return found.user


class SessionAuth(APIKeyCookie):
    """The session of a signed-in browser; a change needs the CSRF token."""

    param_name = "sessionid"

    def __call__(self, request: HttpRequest) -> Any | None:
        """Ask for CSRF only where there is a session that could be abused."""
        if not request.user.is_authenticated:
            return None
        return super().__call__(request)

    def authenticate(self, request: HttpRequest, key: str | None) -> Any | None:  # noqa: ARG002 - ninja names it.
        """Return the user if they may do this."""
        if not request.user.is_authenticated or not request.user.is_active:
            return None
        demand_scope(request, tokens.scopes_of(request.user))
        return request.user


def scope_needed(method: str, address: str) -> str:
    """Return the scope that a request needs; `address` is what follows /api/v1/."""
    if method in READING:
        return "read"
    address = address.strip("/")
    return STRICTER.get(address) or SCOPES.get(address.split("/")[0], "admin")


def demand_scope(request: HttpRequest, scopes: frozenset[str]) -> None:
    """Raise unless the scopes allow the request."""
    needed = scope_needed(request.method or "", request.path.partition("/api/v1/")[2])
    if needed not in scopes:
        raise Problem(403, "SCOPE_MISSING", f"This needs the scope {needed}.")
    # What an address does may depend on more than its name: lowering a limit is less than raising it.
    request.scopes = scopes  # type: ignore[attr-defined]
