"""A command that is sent twice is done once: the stored answer is given again."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from datetime import timedelta
from typing import Final

from django.contrib.auth.models import User
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.utils import timezone

from portfolio import asking
from portfolio.writers import audit
from tradeapp.models import IdempotencyKey
from tradeapp.problems import BODY_BYTES_MAX, respond

HEADER: Final = "Idempotency-Key"
REPLAYED: Final = "Idempotency-Replayed"
KEPT_FOR: Final = timedelta(days=2)
_WELL_FORMED: Final = re.compile(r"[\x21-\x7e]{1,128}")
# A preview changes nothing; an answer with a secret in it is never stored.
_EXEMPT: Final = (
    "/api/v1/allocations/preview",
    "/api/v1/lineups/preview",
    "/api/v1/mode/preview",
    "/api/v1/rotation/read",
    "/api/v1/subaccounts/transfers/preview",
    "/api/v1/tokens",
    "/api/v1/users",
    "/api/v1/confirmation",
    "/api/v1/second-factor",
    "/api/v1/second-factor/confirm",
)


def is_exempt(path: str) -> bool:
    """Say whether a command at this address needs no key."""
    return path.rstrip("/") in _EXEMPT


class IdempotencyMiddleware:
    """Guard every POST of the API that changes something.

    The key, the change and the answer are committed together; a second request with the same key waits for the first.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Answer from the store, or do it and store the answer."""
        if request.method != "POST" or not request.path.startswith("/api/v1/") or is_exempt(request.path):
            return self.get_response(request)
        caller = _caller(request)
        if caller is None:
            return self.get_response(request)
        key = request.headers.get(HEADER, "")
        if not _WELL_FORMED.fullmatch(key):
            message = f"Send the header {HEADER}: 1 to 128 visible characters, new for every command."
            return respond(400, "IDEMPOTENCY_KEY_INVALID" if key else "IDEMPOTENCY_KEY_MISSING", message)
        if int(request.headers.get("Content-Length") or 0) > BODY_BYTES_MAX:
            return respond(413, "BODY_TOO_LARGE", f"Send at most {BODY_BYTES_MAX} bytes.")
        with transaction.atomic():
            response = self._once(request, caller, key)
            if response.status_code >= 400:
                # Nothing was done, so the key is free again.
                transaction.set_rollback(True)
        return response

    def _once(self, request: HttpRequest, caller: str, key: str) -> HttpResponse:
        now, wanted = timezone.now(), _hash(request)
        row = IdempotencyKey(caller=caller, key=key, request_hash=wanted, created_at=now)
        # Waits here while another request with this key is under way.
        IdempotencyKey.objects.bulk_create([row], ignore_conflicts=True)
        stored = IdempotencyKey.objects.select_for_update().get(caller=caller, key=key)
        if stored.request_hash != wanted:
            return respond(409, "IDEMPOTENCY_KEY_REUSED", "This key was used for another command.")
        if stored.status:
            again = HttpResponse(bytes(stored.content), status=stored.status, content_type=stored.content_type)
            again[REPLAYED] = "true"
            return again
        response = self.get_response(request)
        if response.status_code < 300:
            _see_to_the_audit(request)
        stored.status, stored.content = response.status_code, response.content
        stored.content_type = response.headers.get("Content-Type", "")
        stored.save(update_fields=["status", "content", "content_type"])
        IdempotencyKey.objects.filter(created_at__lt=now - KEPT_FOR).delete()
        return response


def _see_to_the_audit(request: HttpRequest) -> None:
    """Write a change down that no service did, in the transaction that made it: floors below the audit cannot."""
    if not asking.current().recorded:
        actor = request.user if isinstance(request.user, User) else None
        subject = request.path.removeprefix("/api/v1/")[:96]
        audit.record(action="api.request", subject=subject, actor=actor, now=timezone.now())


def _caller(request: HttpRequest) -> str | None:
    authorization = request.headers.get("Authorization", "")
    if authorization:
        return f"token:{hashlib.sha256(authorization.encode()).hexdigest()}"
    return f"user:{request.user.pk}" if request.user.is_authenticated else None


def _hash(request: HttpRequest) -> str:
    content = "\n".join((request.method or "", request.get_full_path())).encode() + b"\n" + request.body
    return hashlib.sha256(content).hexdigest()
