"""People over the API: confirming, one's own second factor, password and sessions, and the people themselves."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib.auth import update_session_auth_hash
from django.contrib.auth.models import User
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.db import transaction
from django.http import Http404, HttpRequest
from django.utils import timezone
from ninja import Router, Status

from marketdata.schemas import RowId
from portfolio.schemas import PageOut
from portfolio.writers import audit
from tradeapp import confirmation, environment, people, roles, second_factor, tokens
from tradeapp.problems import Problem
from tradeapp.schemas import (
    ConfirmedOut,
    InvitedOut,
    InviteIn,
    NewPasswordIn,
    PersonIn,
    PersonOut,
    ProofIn,
    RecoveryCodesOut,
    SecretOut,
    SessionOut,
)

router = Router(tags=["people"])


@router.post("/confirmation", response=ConfirmedOut)
def confirm(request: HttpRequest, payload: ProofIn) -> dict[str, Any]:
    """Prove again who you are; what is dangerous may then be done for five minutes."""
    user, now = _own_session(request), timezone.now()
    confirmation.confirm(request, user=user, proof=payload.proof, now=now)
    return {"until": now + confirmation.FRESH_FOR}


@router.post("/second-factor", response=SecretOut)
def begin_second_factor(request: HttpRequest) -> dict[str, Any]:
    """Make a secret for an authenticator app; its first code turns the second factor on."""
    secret, address = second_factor.begin(_own_session(request), now=timezone.now())
    return {"secret": secret, "address": address}


@router.post("/second-factor/confirm", response=RecoveryCodesOut)
def finish_second_factor(request: HttpRequest, payload: ProofIn) -> dict[str, Any]:
    """Turn the second factor on with its first code."""
    return {"recovery_codes": second_factor.finish(_own_session(request), payload.proof, now=timezone.now())}


@router.delete("/second-factor", response={204: None})
def remove_second_factor(request: HttpRequest) -> Status[None]:
    """Take one's own second factor away."""
    user = _own_session(request)
    second_factor.remove(user, by=user, now=timezone.now())
    return Status(204, None)


@router.put("/password", response={204: None})
def set_password(request: HttpRequest, payload: NewPasswordIn) -> Status[None]:
    """Set one's own password; the other sessions end."""
    user = _own_session(request)
    try:
        validate_password(payload.password, user)
    except ValidationError as weak:
        raise Problem(422, "PASSWORD_WEAK", " ".join(weak.messages)) from None
    with transaction.atomic():
        user.set_password(payload.password)
        user.save(update_fields=["password"])
        audit.record(action="user.password", subject=f"user:{user.pk}", actor=user, now=timezone.now())
        update_session_auth_hash(request, user)
    return Status(204, None)


@router.get("/sessions", response=PageOut[SessionOut])
def sessions(request: HttpRequest) -> dict[str, Any]:
    """List where one is signed in; administrators see everybody."""
    user = _user(request)
    found = people.sessions(user_id=None if user.is_superuser else user.pk, now=timezone.now())
    own = request.session.session_key
    return {"items": [session_view(session, own) for session in found]}


@router.delete("/sessions/{name}", response={204: None})
def revoke_session(request: HttpRequest, name: str) -> Status[None]:
    """End a session; its sockets close within seconds."""
    user = _user(request)
    if not people.revoke_session(name=name, of=None if user.is_superuser else user, by=user, now=timezone.now()):
        raise Http404("There is no such session.")
    return Status(204, None)


@router.get("/users", response=PageOut[PersonOut])
def users(request: HttpRequest) -> dict[str, Any]:
    """List the people."""
    return {"items": [person_view(user) for user in User.objects.order_by("id")]}


@router.post("/users", response={201: InvitedOut})
def invite(request: HttpRequest, payload: InviteIn) -> Status[dict[str, Any]]:
    """Invite somebody; the link in this answer signs them in once and is stored nowhere."""
    remembered = environment.remembered_addresses(settings.TRADEAPP_DATA_DIR).get("DASHBOARD_URL")
    base_url = remembered or request.build_absolute_uri("/")
    user, link = people.invite(email=payload.email, role=payload.role, by=_user(request), base_url=base_url, now=timezone.now())
    return Status(201, person_view(user) | {"sign_in_link": link})


@router.patch("/users/{user_id}", response=PersonOut)
def change_user(request: HttpRequest, user_id: RowId, payload: PersonIn) -> dict[str, Any]:
    """Give somebody another role, disable them, or let them in again."""
    facts: dict[str, Any] = {"user_id": _person(user_id).pk, "by": _user(request), "now": timezone.now()}
    with transaction.atomic():
        if payload.role is not None:
            people.set_role(role=payload.role, **facts)
        if payload.is_active is not None:
            people.set_active(is_active=payload.is_active, **facts)
    return person_view(_person(user_id))


@router.delete("/users/{user_id}/second-factor", response={204: None})
def reset_second_factor(request: HttpRequest, user_id: RowId) -> Status[None]:
    """Take somebody's second factor away: their telephone is lost."""
    second_factor.remove(_person(user_id), by=_user(request), now=timezone.now())
    return Status(204, None)


def session_view(session: people.OpenSession, own_key: str | None) -> dict[str, Any]:
    """Describe a session without its key."""
    return {
        "name": people.session_name(session.key),
        "user": session.user_id,
        "signed_in_at": session.signed_in_at,
        "address": session.address,
        "agent": session.agent,
        "expires_at": session.expires_at,
        "is_this": session.key == own_key,
    }


def person_view(user: User) -> dict[str, Any]:
    """Describe somebody who may sign in."""
    return {
        "id": user.pk,
        "name": user.get_username(),
        "role": roles.stored_role(user),
        "is_active": user.is_active,
        "has_second_factor": second_factor.is_set_up(user),
        "last_login": user.last_login,
    }


def me_view(request: HttpRequest) -> dict[str, Any]:
    """Describe who asks."""
    user = _user(request)
    return {
        "name": user.get_username(),
        "role": roles.stored_role(user),
        "scopes": sorted(tokens.scopes_of(user)),
        "confirms_with": confirmation.means_of(user),
        "is_confirmed": confirmation.is_fresh(request.session, now=timezone.now()),
    }


def _user(request: HttpRequest) -> User:
    assert isinstance(request.user, User), "The doorkeeper let only people in."
    return request.user


def _own_session(request: HttpRequest) -> User:
    """Return the person in front of a browser: a script cannot be asked who it is."""
    if "Authorization" in request.headers:
        raise Problem(403, "SESSION_NEEDED", "Only a person who is signed in can do this.")
    return _user(request)


def _person(user_id: int) -> User:
    found = User.objects.filter(pk=user_id).first()
    if found is None:
        raise Http404("There is nobody of that number.")
    return found
