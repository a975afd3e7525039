"""Who may still listen: sessions are checked again and again, because Channels asks only at connect."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from django.contrib.auth import HASH_SESSION_KEY, SESSION_KEY
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session
from django.utils.crypto import constant_time_compare


def signed_in(session_keys: Collection[str], *, now: datetime) -> set[str]:
    """Return the sessions that still belong to an active user with an unchanged password: two queries."""
    sessions = Session.objects.filter(session_key__in=session_keys, expire_date__gt=now)
    contents = {session.session_key: session.get_decoded() for session in sessions}
    wanted = {content[SESSION_KEY] for content in contents.values() if SESSION_KEY in content}
    users = {str(user.pk): user for user in User.objects.filter(pk__in=wanted, is_active=True)}
    return {key for key, content in contents.items() if _is_valid(content, users)}


def _is_valid(content: dict[str, str], users: dict[str, User]) -> bool:
    user = users.get(content.get(SESSION_KEY, ""))
    return user is not None and constant_time_compare(content.get(HASH_SESSION_KEY, ""), user.get_session_auth_hash())
