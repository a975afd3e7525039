"""Who may use the API, and for what: a session with CSRF for pages, a bearer token with scopes for scripts."""

from __future__ import annotations

import re
from typing import Any, Final

from django.contrib.auth.models import User
from django.http import HttpRequest
from django.utils import timezone
from ninja.security import APIKeyCookie, HttpBearer

from portfolio import asking
from tradeapp import access, confirmation, tokens
from tradeapp.access import Confirm
from tradeapp.problems import Problem

_PARAMETER: Final = re.compile(r"<(?:\w+:)?(\w+)>")
_PREFIX: Final = "api/v1/"


class TokenAuth(HttpBearer):
    """`Authorization: Bearer tra_...`."""

    def authenticate(self, request: HttpRequest, token: str) -> Any | None:
        """Return the token's owner if it works and may do this."""
        found = tokens.authenticate(token, now=timezone.now())
        if found is None:
            # A bad token is refused even beside a good session: the two are never mixed.
            raise Problem(401, "TOKEN_INVALID", "This token does not work (any more).")
        # A script cannot be asked again: its maker confirmed when it was made, or it may not.
        _demand(request, found.user, frozenset(found.scopes), is_fresh=tokens.UNATTENDED in found.scopes)
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
        user = request.user
        if not isinstance(user, User) or not user.is_active:
            return None
        is_fresh = confirmation.is_fresh(request.session, now=timezone.now())
        _demand(request, user, tokens.scopes_of(user), is_fresh=is_fresh)
        return user


def operation_of(request: HttpRequest) -> access.Access:
    """Return what the operation that was asked for needs."""
    assert request.resolver_match is not None, "The address was resolved before anybody is asked who they are."
    template = _PARAMETER.sub(r"{\1}", request.resolver_match.route).removeprefix(_PREFIX)
    return access.operation(request.method or "", template)


def _demand(request: HttpRequest, user: User, scopes: frozenset[str], *, is_fresh: bool) -> None:
    """Raise unless the scopes allow the request, and a confirmation is there where it needs one."""
    needed = operation_of(request)
    if needed.scope not in scopes:
        raise Problem(403, "SCOPE_MISSING", f"This needs the scope {needed.scope}.")
    if not confirmation.is_enough(confirm=needed.confirm, is_fresh=is_fresh, user=user):
        raise Problem(403, asking.NeedsConfirmation.code, "Confirm that it is you, then ask again.")
    # What an address does may depend on more than its name: lowering a limit is less than raising it.
    request.scopes = scopes  # type: ignore[attr-defined]
    asking.note_confirmed(confirmation.is_enough(confirm=Confirm.ASKED, is_fresh=is_fresh, user=user))
