"""The second factor: codes of an authenticator app, each of them once, and recovery codes for a lost telephone."""

from __future__ import annotations

import hashlib
import secrets
from datetime import datetime, timedelta
from typing import Final

from django.conf import settings
from django.contrib.auth.models import User
from django.db import transaction

from exchange.secrets import seal, unseal
from portfolio.writers import audit
from tradeapp import totp
from tradeapp.models import RecoveryCode, SecondFactor

ISSUER: Final = "tradeapp"
FAILURES_MAX: Final = 5
LOCKED_FOR: Final = timedelta(minutes=15)
RECOVERY_CODES: Final = 8


class UnableToSetUp(Exception):
    """Raised when a second factor cannot be set up; carries a reason code."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def is_set_up(user: User) -> bool:
    """Say whether a person has a second factor that was tried once."""
    return SecondFactor.objects.filter(user=user, confirmed_at__isnull=False).exists()


def begin(user: User, *, now: datetime) -> tuple[str, str]:
    """Make a secret for an authenticator app and return it with its address; it counts once a code was right."""
    secret = totp.new_secret()
    sealed = seal(secret, context=_context(user), key_file=settings.MASTER_KEY_FILE)
    with transaction.atomic():
        if is_set_up(user):
            raise UnableToSetUp("SECOND_FACTOR_EXISTS", "You have a second factor: remove it first.")
        SecondFactor.objects.update_or_create(user=user, defaults={"sealed": sealed, "created_at": now})
        audit.record(action="second_factor.begin", subject=f"user:{user.pk}", actor=user, now=now)
    return secret, totp.address(secret, user=user.get_username(), issuer=ISSUER)


def finish(user: User, code: str, *, now: datetime) -> list[str]:
    """Turn the second factor on with its first code; return recovery codes, which are never shown again."""
    with transaction.atomic():
        factor = SecondFactor.objects.select_for_update().filter(user=user).first()
        if factor is None or factor.confirmed_at is not None:
            raise UnableToSetUp("SECOND_FACTOR_NOT_BEGUN", "Ask for a secret first.")
        is_right = _use_code(factor, code, now=now)
        if is_right:
            SecondFactor.objects.filter(pk=factor.pk).update(confirmed_at=now)
            codes = _new_recovery_codes(user)
            audit.record(action="second_factor.on", subject=f"user:{user.pk}", actor=user, now=now)
    if not is_right:
        raise UnableToSetUp("CODE_WRONG", "This code is not right: is the telephone's clock?")
    return codes


def remove(user: User, *, by: User | None, now: datetime) -> bool:
    """Take a person's second factor away, with its recovery codes."""
    with transaction.atomic():
        RecoveryCode.objects.filter(user=user).delete()
        count, _ = SecondFactor.objects.filter(user=user).delete()
        if count:
            audit.record(action="second_factor.off", subject=f"user:{user.pk}", actor=by, now=now)
    return bool(count)


def check(user: User, code: str, *, now: datetime) -> bool:
    """Use a code, or a recovery code, up; after five wrong ones no code is right for a quarter of an hour."""
    with transaction.atomic():
        factor = SecondFactor.objects.select_for_update().filter(user=user, confirmed_at__isnull=False).first()
        return factor is not None and _use_code(factor, code, now=now)


def _use_code(factor: SecondFactor, code: str, *, now: datetime) -> bool:
    if factor.locked_until is not None and factor.locked_until > now:
        return False
    code = code.replace(" ", "").strip()
    secret = unseal(factor.sealed, context=_context(factor.user), key_file=settings.MASTER_KEY_FILE)
    step = totp.matching_step(secret, code, seconds=now.timestamp(), after_step=factor.last_step)
    if step is not None:
        factor.last_step, factor.failures, factor.locked_until = step, 0, None
    elif _use_recovery_code(factor, code, now=now):
        factor.failures, factor.locked_until = 0, None
    else:
        factor.failures += 1
        if factor.failures >= FAILURES_MAX:
            factor.failures, factor.locked_until = 0, now + LOCKED_FOR
    factor.save(update_fields=["last_step", "failures", "locked_until"])
    return factor.failures == 0 and factor.locked_until is None


def _use_recovery_code(factor: SecondFactor, code: str, *, now: datetime) -> bool:
    codes = RecoveryCode.objects.filter(user=factor.user, code_hash=_hash(code), used_at__isnull=True)
    return bool(codes.update(used_at=now))


def _new_recovery_codes(user: User) -> list[str]:
    RecoveryCode.objects.filter(user=user).delete()
    codes = [secrets.token_hex(8) for _ in range(RECOVERY_CODES)]
    RecoveryCode.objects.bulk_create(RecoveryCode(user=user, code_hash=_hash(code)) for code in codes)
    return codes


def _context(user: User) -> str:
    return f"user:{user.pk}:second-factor"


def _hash(code: str) -> str:
    # Sixty-four random bits behind a counter of failures: a plain hash is enough.
    return hashlib.sha256(code.encode(errors="replace")).hexdigest()
