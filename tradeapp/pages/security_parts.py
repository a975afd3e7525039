"""The parts of the security page."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import User
from django.http import HttpRequest
from django.utils import timezone

from portfolio.models import Credential
from tradeapp import confirmation, keys_api, people, people_api, roles, second_factor
from tradeapp.access import Role


def show_door(request: HttpRequest, context: dict[str, Any]) -> None:
    """Gather how one signs in oneself."""
    user = _user(request)
    context |= {"means": confirmation.means_of(user), "has_second_factor": second_factor.is_set_up(user)}


def show_sessions(request: HttpRequest, context: dict[str, Any]) -> None:
    """Gather where one is signed in."""
    own = request.session.session_key
    found = people.sessions(user_id=_user(request).pk, now=timezone.now())
    context["sessions"] = [people_api.session_view(session, own) for session in found]


def show_people(request: HttpRequest, context: dict[str, Any]) -> None:
    """Gather who may sign in; for administrators."""
    context["people"] = []
    if roles.role_of(_user(request)) is Role.ADMIN:
        context["people"] = [people_api.person_view(user) for user in User.objects.order_by("id")]


def show_exchange_keys(request: HttpRequest, context: dict[str, Any]) -> None:
    """Gather the exchange keys as people recognise them; for administrators."""
    context["exchange_keys"] = []
    if roles.role_of(_user(request)) is Role.ADMIN:
        rows = Credential.objects.select_related("account").order_by("account_id", "role")
        context["exchange_keys"] = [
            keys_api.key_view(row) | {"account_name": row.account.name, "mode": row.account.mode} for row in rows
        ]


def _user(request: HttpRequest) -> User:
    assert isinstance(request.user, User), "The door let only people in."
    return request.user


PARTS = {"door": show_door, "sessions": show_sessions, "people": show_people, "exchange_keys": show_exchange_keys}
