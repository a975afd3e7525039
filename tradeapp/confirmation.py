"""A second look at who is sitting there: what is dangerous wants a person who has just proven again who they are."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Final

from django.contrib.auth import authenticate
from django.contrib.auth.models import User
from django.contrib.sessions.backends.base import SessionBase
from django.db import transaction
from django.http import HttpRequest
from django.utils import timezone

from portfolio.writers import audit
from tradeapp import second_factor
from tradeapp.access import Confirm

FRESH_FOR: Final = timedelta(minutes=5)
_CONFIRMED_AT: Final = "confirmed_at"


class UnableToConfirm(Exception):
    """Raised when a person did not prove who they are; carries a reason code."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def means_of(user: User) -> str:
    """Return what a person confirms with: `code`, `password`, or nothing while they have neither."""
    if second_factor.is_set_up(user):
        return "code"
    return "password" if user.has_usable_password() else ""


def is_fresh(session: SessionBase, *, now: datetime) -> bool:
    """Say whether the person in front of this session proved who they are within five minutes."""
    at = session.get(_CONFIRMED_AT)
    return at is not None and timedelta(0) <= now - datetime.fromisoformat(at) <= FRESH_FOR


def is_enough(*, confirm: Confirm, is_fresh: bool, user: User) -> bool:
    """Say whether an operation may go on; without any means a session is all there is, and keys and rights wait."""
    if confirm is Confirm.NO or is_fresh:
        return True
    return confirm is Confirm.ASKED and not means_of(user)


def note(session: SessionBase, *, now: datetime) -> None:
    """Remember that the person has just proven who they are."""
    session[_CONFIRMED_AT] = now.isoformat()


def confirm(request: HttpRequest, *, user: User, proof: str, now: datetime) -> None:
    """Check a code or a password and remember it for five minutes; wrong ones are counted like failed sign-ins."""
    means = means_of(user)
    if not means:
        raise UnableToConfirm(
            "CONFIRMATION_IMPOSSIBLE",
            "You have neither a second factor nor a password: set one up right after a sign-in, or make a new link with "
            "`python manage.py sign_in_link`.",
        )
    with transaction.atomic():
        is_right = second_factor.check(user, proof, now=now) if means == "code" else _knows_password(request, user, proof)
        action = "user.confirm" if is_right else "user.confirm_failed"
        audit.record(action=action, subject=f"user:{user.pk}", actor=user, after={"by": means}, now=now)
    if not is_right:
        raise UnableToConfirm("CONFIRMATION_WRONG", "That was not right, or there were too many attempts.")
    note(request.session, now=now)


def note_sign_in(request: HttpRequest | None, **_rest: Any) -> None:
    """Take a sign-in for a confirmation: whoever has just come in has just proven it."""
    if request is not None and hasattr(request, "session"):
        note(request.session, now=timezone.now())


def _knows_password(request: HttpRequest, user: User, password: str) -> bool:
    found = authenticate(request, username=user.get_username(), password=password)
    return found is not None and found.pk == user.pk
