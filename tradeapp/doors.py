"""What stands in front of every view: the request gets its name, and a page its role."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable
from typing import Any, Final

from django.contrib import messages
from django.contrib.auth.models import User
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils import timezone
from django.utils.http import urlencode

from portfolio import asking
from tradeapp import access, confirmation, roles, tokens
from tradeapp.access import Confirm
from tradeapp.idempotency import HEADER

REQUEST_ID: Final = "X-Request-ID"
_WELL_FORMED: Final = re.compile(r"[\x21-\x7e]{1,64}")
# What has a door of its own: the admin asks the table of roles, the API its doorkeeper.
_API_DOCUMENTS: Final = ("api:openapi-json", "api:openapi-view", "api:api-root")


class AskingMiddleware:
    """Give every request a name, which the audit and the answer carry."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Answer under a name."""
        sent = request.headers.get(REQUEST_ID) or request.headers.get(HEADER, "")
        name = sent if _WELL_FORMED.fullmatch(sent) else uuid.uuid4().hex
        with asking.asked(request_id=name, address=request.META.get("REMOTE_ADDR", "")):
            response = self.get_response(request)
        response[REQUEST_ID] = name
        return response


class PageDoor:
    """Ask who is there before any page: a page that nobody gave to a role is the administrators'."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Pass the request on; the view is judged when it is known."""
        return self.get_response(request)

    def process_view(self, request: HttpRequest, *_view: Any) -> HttpResponse | None:
        """Let those in whose role reaches the page."""
        assert request.resolver_match is not None, "A view was found."
        name = request.resolver_match.view_name
        user = request.user
        if isinstance(user, User):
            fresh = confirmation.is_fresh(request.session, now=timezone.now())
            asking.note_confirmed(confirmation.is_enough(confirm=Confirm.ASKED, is_fresh=fresh, user=user))
        if name.startswith("admin:") or (name.startswith("api:") and name not in _API_DOCUMENTS):
            return None
        needed = access.page(name)
        if needed is None or (name in _API_DOCUMENTS and _has_token(request)):
            return None
        role = roles.role_of(user) if isinstance(user, User) else None
        if role is None:
            return redirect_to_login(request.get_full_path())
        if not access.reaches(role, needed):
            raise PermissionDenied(f"This page is for the role {needed}.")
        return None

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
        """Ask for a confirmation where a form of the admin needs one; what was typed has to be sent again."""
        if not isinstance(error, asking.NeedsConfirmation) or request.path.startswith("/api/"):
            return None
        messages.warning(request, str(error))
        return HttpResponseRedirect(f"{reverse('pages:confirm')}?{urlencode({'next': request.get_full_path()})}")


def _has_token(request: HttpRequest) -> bool:
    kind, _, secret = request.headers.get("Authorization", "").partition(" ")
    return kind == "Bearer" and tokens.authenticate(secret, now=timezone.now()) is not None
