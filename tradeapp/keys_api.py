"""Exchange keys over the API: they go in and never come out."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from django.contrib.auth.models import User
from django.http import Http404, HttpRequest
from django.utils import timezone
from ninja import Router, Schema, Status
from pydantic import Field

from marketdata.schemas import Payload, RowId, shown
from portfolio.models import Account, Credential
from portfolio.schemas import PageOut
from portfolio.services.credentials import remove_credential, store_credential
from portfolio.trader import rights

router = Router(tags=["keys"])

KeyRole = Literal["read", "trade", "transfer"]
Secret = Annotated[str, Field(min_length=8, max_length=512, pattern=r"^[\x21-\x7e]+$")]


class KeyIn(Payload):
    """A key and its secret; neither is ever shown again."""

    model_config = shown({"key": "the-key-of-an-exchange", "secret": "the-secret-of-the-key"})  # nosec B105 - an example for people.

    key: Secret
    secret: Secret


class KeyOut(Schema):
    """What people recognise a key by, and what the exchange said it may do."""

    account: int
    role: str
    key_last4: str
    fingerprint: str
    created_at: datetime
    checked_at: datetime | None
    rights: dict[str, bool]
    trouble: str


@router.get("/accounts/{account_id}/keys", response=PageOut[KeyOut])
def keys(request: HttpRequest, account_id: RowId) -> dict[str, Any]:
    """List an account's keys by their last four characters."""
    return {"items": [key_view(row) for row in Credential.objects.filter(account=_account(account_id)).order_by("role")]}


@router.put("/accounts/{account_id}/keys/{role}", response=KeyOut)
def store_key(request: HttpRequest, account_id: RowId, role: KeyRole, payload: KeyIn) -> dict[str, Any]:
    """Store or replace a key, after the exchange said what it may do; one that may withdraw is refused."""
    assert isinstance(request.user, User), "The doorkeeper let only people in."
    account = _account(account_id)
    stored = store_credential(
        account=account,
        key=payload.key,
        secret=payload.secret,
        role=role,
        rights=rights.ask(account, key=payload.key, secret=payload.secret),
        by=request.user,
        now=timezone.now(),
    )
    return key_view(stored)


@router.delete("/accounts/{account_id}/keys/{role}", response={204: None})
def remove_key(request: HttpRequest, account_id: RowId, role: KeyRole) -> Status[None]:
    """Forget a key; revoke it at the exchange as well."""
    assert isinstance(request.user, User), "The doorkeeper let only people in."
    try:
        remove_credential(account=_account(account_id), role=role, by=request.user, now=timezone.now())
    except Credential.DoesNotExist:
        raise Http404("There is no such key.") from None
    return Status(204, None)


def key_view(row: Credential) -> dict[str, Any]:
    """Describe a key without telling it."""
    return {
        "account": row.account_id,
        "role": row.role,
        "key_last4": row.key_last4,
        "fingerprint": row.fingerprint[:16],
        "created_at": row.created_at,
        "checked_at": row.checked_at,
        "rights": row.rights,
        "trouble": row.trouble,
    }


def _account(account_id: int) -> Account:
    found = Account.objects.select_related("market").filter(id=account_id).first()
    if found is None:
        raise Http404("There is no such account.")
    return found
