"""Tokens for scripts: made once, shown once, stored as a hash."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from django.contrib.auth.models import User
from django.db.models import Q

from portfolio.writers import audit
from tradeapp import access, roles
from tradeapp.models import ApiToken

PREFIX: Final = "tra_"
# What a person has to confirm, a token with this may do by itself: it is given knowingly, or not at all.
UNATTENDED: Final = "unattended"
SCOPES: Final = (*access.SCOPES, UNATTENDED)
# The moment of last use is for people; a write with every request would cost more than it tells.
USE_NOTED_EVERY: Final = timedelta(minutes=1)


class UnableToMakeToken(Exception):
    """Raised when a token is refused; carries a reason code."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def scopes_of(user: User) -> frozenset[str]:
    """Return what a person may do: viewers read, operators operate, administrators do the rest."""
    role = roles.role_of(user)
    return frozenset() if role is None else access.ROLE_SCOPES[role]


def create_token(
    *, name: str, scopes: Sequence[str], by: User, now: datetime, expires_at: datetime | None = None
) -> tuple[ApiToken, str]:
    """Make a token with no more rights than its maker has; the second value is the only time it is seen."""
    unknown = sorted(set(scopes) - set(SCOPES))
    if unknown or not scopes:
        raise UnableToMakeToken("SCOPE_UNKNOWN", f"Scopes are {', '.join(SCOPES)}; not {', '.join(unknown) or 'none'}.")
    if not set(scopes) <= scopes_of(by) | {UNATTENDED}:
        raise UnableToMakeToken("SCOPE_NOT_YOURS", "A token cannot do more than you may do yourself.")
    if expires_at is not None and expires_at <= now:
        raise UnableToMakeToken("TOKEN_EXPIRED", "The token would be too old already.")
    secret = PREFIX + secrets.token_urlsafe(32)
    token = ApiToken.objects.create(
        token_hash=_hash(secret),
        prefix=secret[:8],
        name=name,
        scopes=sorted(set(scopes)),
        user=by,
        created_at=now,
        expires_at=expires_at,
    )
    after = {"name": name, "scopes": token.scopes}
    audit.record(action="token.create", subject=f"token:{token.pk}", actor=by, after=after, now=now)
    return token, secret


def revoke_token(*, token_id: int, by: User, now: datetime) -> None:
    """Make a token useless; ApiToken.DoesNotExist says that it is not theirs."""
    mine = ApiToken.objects.filter(Q(user=by) if not by.is_superuser else Q())
    token = mine.get(pk=token_id)
    if token.revoked_at is None:
        ApiToken.objects.filter(pk=token_id).update(revoked_at=now)
        audit.record(action="token.revoke", subject=f"token:{token_id}", actor=by, after={"name": token.name}, now=now)


def authenticate(secret: str, *, now: datetime) -> ApiToken | None:
    """Return the token if it works now, with no more scopes than its maker still has."""
    token = ApiToken.objects.select_related("user").filter(token_hash=_hash(secret), revoked_at=None).first()
    if token is None or not token.user.is_active or (token.expires_at is not None and token.expires_at <= now):
        return None
    if token.used_at is None or token.used_at < now - USE_NOTED_EVERY:
        ApiToken.objects.filter(pk=token.pk).update(used_at=now)
    token.scopes = sorted(set(token.scopes) & (scopes_of(token.user) | {UNATTENDED}))
    return token


def _hash(secret: str) -> str:
    # The token has 256 random bits: a plain hash is enough to keep the table useless to a reader.
    return hashlib.sha256(secret.encode(errors="replace")).hexdigest()
