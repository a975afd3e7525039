"""Store API keys: sealed for one account and role, never shown again."""

from __future__ import annotations

import json
from datetime import datetime

from django.conf import settings
from django.db import transaction

from exchange.secrets import credential_context, fingerprint, seal
from portfolio.models import Account, Credential
from portfolio.writers import audit


def store_credential(*, account: Account, key: str, secret: str, now: datetime, role: str = Credential.Role.TRADE) -> Credential:
    """Seal a key for an account, replacing the one it had in that role."""
    context = credential_context(account.pk, role)
    sealed = seal(json.dumps({"key": key, "secret": secret}), context=context, key_file=settings.MASTER_KEY_FILE)
    facts = {"key_last4": key[-4:], "fingerprint": fingerprint(key), "sealed": sealed, "created_at": now}
    with transaction.atomic():
        credential, _ = Credential.objects.update_or_create(account=account, role=role, defaults=facts)
        audit.record(
            action="credential.store",
            subject=f"account:{account.pk}",
            after={"role": role, "key_last4": key[-4:]},
            now=now,
        )
    return credential
