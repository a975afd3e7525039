"""Store API keys: sealed for one account and role, never shown again, refused if they may take money out."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.db import transaction
from django.db.models import F, QuerySet

from exchange.ports import KeyPermissions
from exchange.rights import trouble_with
from exchange.secrets import credential_context, fingerprint, reseal, seal, unseal
from portfolio.models import Account, Credential, Lease
from portfolio.writers import audit

if TYPE_CHECKING:
    from django.contrib.auth.models import User


class UnableToStore(Exception):
    """Raised when a key is refused; carries a reason code."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def store_credential(
    *,
    account: Account,
    key: str,
    secret: str,
    now: datetime,
    role: str = Credential.Role.TRADE,
    rights: KeyPermissions | None = None,
    by: User | None = None,
) -> Credential:
    """Seal a key for an account, replacing the one it had in that role; its trader begins anew with it.

    `rights` is what the exchange says of the key. Without it only keys of the local venue and of the testnet, which does
    not say, are taken.
    """
    _demand_fit(account, role, rights)
    context = credential_context(account.pk, role)
    sealed = seal(json.dumps({"key": key, "secret": secret}), context=context, key_file=settings.MASTER_KEY_FILE)
    facts = {
        "key_last4": key[-4:],
        "fingerprint": fingerprint(key),
        "sealed": sealed,
        "created_at": now,
        "rights": asdict(rights) if rights else {},
        "checked_at": now if rights else None,
        "trouble": "",
    }
    with transaction.atomic():
        if Credential.objects.filter(fingerprint=facts["fingerprint"]).exclude(account=account, role=role).exists():
            raise UnableToStore("KEY_IN_USE", "This key is in use already: every account and every role has a key of its own.")
        before = Credential.objects.filter(account=account, role=role).values("key_last4").first()
        credential, _ = Credential.objects.update_or_create(account=account, role=role, defaults=facts)
        audit.record(
            action="credential.store",
            subject=f"account:{account.pk}",
            actor=by,
            before={"role": role, **before} if before else None,
            after={"role": role, "key_last4": key[-4:]},
            now=now,
        )
        _begin_anew(account.pk, now=now)
    return credential


def remove_credential(*, account: Account, role: str, by: User | None, now: datetime) -> None:
    """Forget a key; revoke it at the exchange as well. Credential.DoesNotExist says that there is none."""
    with transaction.atomic():
        credential = Credential.objects.select_for_update().get(account=account, role=role)
        before = {"role": role, "key_last4": credential.key_last4}
        credential.delete()
        audit.record(action="credential.remove", subject=f"account:{account.pk}", actor=by, before=before, now=now)
        _begin_anew(account.pk, now=now)


def move_credentials(*, before: Account, after: Account, by: User | None, now: datetime) -> None:
    """Seal the keys of closed books for the account that follows them at the same exchange: no key is in two places."""
    key_file = settings.MASTER_KEY_FILE
    with transaction.atomic():
        for row in Credential.objects.select_for_update().filter(account=before):
            content = unseal(row.sealed, context=credential_context(before.pk, row.role), key_file=key_file)
            row.sealed = seal(content, context=credential_context(after.pk, row.role), key_file=key_file)
            row.account = after
            row.save(update_fields=["sealed", "account"])
            audit.record(
                action="credential.move",
                subject=f"account:{after.pk}",
                actor=by,
                before={"account": before.pk},
                after={"role": row.role, "key_last4": row.key_last4},
                now=now,
            )
        _begin_anew(before.pk, now=now)


def reseal_credentials() -> int:
    """Encrypt every key again with the newest master key; answers how many there were."""
    return reseal_rows(Credential.objects.all())


def reseal_rows(rows: QuerySet[Any]) -> int:
    """Encrypt what is `sealed` in each row again, one at a time, so that nobody waits for all; answers how many there were."""
    count = 0
    for number in rows.order_by("id").values_list("id", flat=True):
        with transaction.atomic():
            row = rows.select_for_update().filter(id=number).first()
            if row is not None:
                row.sealed = reseal(row.sealed, key_file=settings.MASTER_KEY_FILE)
                row.save(update_fields=["sealed"])
                count += 1
    return count


def _demand_fit(account: Account, role: str, rights: KeyPermissions | None) -> None:
    if role not in Credential.Role.values:
        raise UnableToStore("ROLE_UNKNOWN", f"Roles of keys are {', '.join(Credential.Role.values)}.")
    if rights is None:
        if account.mode == Account.Mode.LIVE:
            raise UnableToStore("KEY_UNCHECKED", "The exchange did not say what this key may do; nothing was stored.")
        return
    trouble = trouble_with(rights, role=role)
    if trouble:
        raise UnableToStore("KEY_REFUSED", trouble)


def _begin_anew(account_id: int, *, now: datetime) -> None:
    """End the session of the account's trader by its fencing token: it opens the next one with the keys of then."""
    Lease.objects.filter(name=f"trader:{account_id}").update(epoch=F("epoch") + 1, expires_at=now)
