"""Invite people, give them roles, disable them, and end their sessions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from django.contrib.auth import SESSION_KEY
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import transaction

from portfolio.writers import audit
from tradeapp import roles, sign_in
from tradeapp.access import Role

if TYPE_CHECKING:
    from collections.abc import Mapping


class UnableToAdmit(Exception):
    """Raised when a change of people is refused; carries a reason code."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True)
class OpenSession:
    """Somebody is signed in somewhere."""

    key: str
    user_id: int
    signed_in_at: str
    address: str
    agent: str
    expires_at: datetime


def invite(*, email: str, role: str, by: User | None, base_url: str, now: datetime) -> tuple[User, str]:
    """Make a person with a role and no password; the second value is a link that signs them in, once."""
    wanted = _role(role)
    email = email.strip().lower()
    try:
        validate_email(email)
    except ValidationError:
        raise UnableToAdmit("EMAIL_INVALID", "That is not an e-mail address.") from None
    with transaction.atomic():
        if User.objects.filter(username=email).exists():
            raise UnableToAdmit("USER_EXISTS", "There is somebody of that name already.")
        user = User.objects.create_user(username=email, email=email, password=None, **roles.flags_of(wanted))
        audit.record(action="user.invite", subject=f"user:{user.pk}", actor=by, after={"name": email, "role": wanted}, now=now)
        link = sign_in.create_link_for(user, now=now, base_url=base_url)
    return user, link


def set_role(*, user_id: int, role: str, by: User | None, now: datetime) -> User:
    """Give a person another role; their sessions end, so that nothing goes on under the old one."""
    wanted = _role(role)
    with transaction.atomic():
        user = User.objects.select_for_update().get(pk=user_id)
        before = roles.stored_role(user)
        if before is Role.ADMIN and wanted is not Role.ADMIN:
            _demand_another_administrator(user)
        if before is not wanted:
            User.objects.filter(pk=user_id).update(**roles.flags_of(wanted))
            end_sessions(user_id=user_id)
            audit.record(
                action="user.role",
                subject=f"user:{user_id}",
                actor=by,
                before={"role": before},
                after={"role": wanted},
                now=now,
            )
    user.refresh_from_db()
    return user


def set_active(*, user_id: int, is_active: bool, by: User | None, now: datetime) -> User:
    """Disable a person, which ends their sessions and silences their tokens, or let them in again."""
    with transaction.atomic():
        user = User.objects.select_for_update().get(pk=user_id)
        if not is_active and user.is_superuser:
            _demand_another_administrator(user)
        if user.is_active != is_active:
            User.objects.filter(pk=user_id).update(is_active=is_active)
            end_sessions(user_id=user_id)
            action = "user.enable" if is_active else "user.disable"
            audit.record(action=action, subject=f"user:{user_id}", actor=by, after={"name": user.get_username()}, now=now)
    user.refresh_from_db()
    return user


def sessions(*, user_id: int | None = None, now: datetime) -> list[OpenSession]:
    """List who is signed in, newest first."""
    found = [session for session in _open_sessions(now) if user_id is None or session.user_id == user_id]
    return sorted(found, key=lambda session: session.expires_at, reverse=True)


def revoke_session(*, name: str, of: User | None, by: User | None, now: datetime) -> bool:
    """End one session by its name; `of` keeps a person to their own."""
    for session in sessions(user_id=of.pk if of else None, now=now):
        if session_name(session.key) == name:
            with transaction.atomic():
                Session.objects.filter(session_key=session.key).delete()
                audit.record(action="session.revoke", subject=f"user:{session.user_id}", actor=by, now=now)
            return True
    return False


def session_name(key: str) -> str:
    """Return a name of a session that opens nothing: whoever knows the key is signed in."""
    return sign_in.hash_of(key)[:16]


def end_sessions(*, user_id: int) -> None:
    """End all sessions of a person; their sockets close within seconds."""
    keys = [row.session_key for row in Session.objects.all() if row.get_decoded().get(SESSION_KEY) == str(user_id)]
    Session.objects.filter(session_key__in=keys).delete()


def _open_sessions(now: datetime) -> Iterator[OpenSession]:
    for row in Session.objects.filter(expire_date__gt=now):
        content: Mapping[str, str] = row.get_decoded()
        if SESSION_KEY in content:
            yield OpenSession(
                key=row.session_key,
                user_id=int(content[SESSION_KEY]),
                signed_in_at=content.get("signed_in_at", ""),
                address=content.get("address", ""),
                agent=content.get("agent", ""),
                expires_at=row.expire_date,
            )


def _role(role: str) -> Role:
    try:
        return Role(role)
    except ValueError:
        raise UnableToAdmit("ROLE_UNKNOWN", f"Roles are {', '.join(Role)}.") from None


def _demand_another_administrator(user: User) -> None:
    if not User.objects.filter(is_superuser=True, is_active=True).exclude(pk=user.pk).exists():
        raise UnableToAdmit("LAST_ADMINISTRATOR", "This is the last administrator: nobody could undo it.")
