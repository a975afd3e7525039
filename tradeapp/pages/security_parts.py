"""The parts of the security page."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import User
from django.http import HttpRequest
from django.utils import timezone

from tradeapp import confirmation, people, people_api, roles, second_factor
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


def _user(request: HttpRequest) -> User:
    assert isinstance(request.user, User), "The door let only people in."
    return request.user


PARTS = {"door": show_door, "sessions": show_sessions, "people": show_people}
