"""One-time codes of a clock: RFC 6238 with SHA-1, six digits and thirty seconds, as every authenticator app speaks it."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from typing import Final
from urllib.parse import quote, urlencode

STEP_SECONDS: Final = 30
DIGITS: Final = 6
# A clock may be one step off, in either direction.
DRIFT_STEPS: Final = 1
SECRET_BYTES: Final = 20


def new_secret() -> str:
    """Return a secret as authenticator apps read it: base32 without padding."""
    return base64.b32encode(secrets.token_bytes(SECRET_BYTES)).decode().rstrip("=")


def code_at(secret: str, step: int, *, digits: int = DIGITS) -> str:
    """Return the code of one step (RFC 4226, section 5.3)."""
    key = base64.b32decode(secret + "=" * (-len(secret) % 8))
    digest = hmac.new(key, step.to_bytes(8, "big"), hashlib.sha1).digest()
    offset = digest[-1] & 0x0F
    number = int.from_bytes(digest[offset : offset + 4], "big") & 0x7FFFFFFF
    return str(number % 10**digits).zfill(digits)


def step_of(seconds: float) -> int:
    """Return the step a moment lies in."""
    return int(seconds) // STEP_SECONDS


def matching_step(secret: str, code: str, *, seconds: float, after_step: int) -> int | None:
    """Return the step whose code this is, if it is later than the last one used; every code works once."""
    now = step_of(seconds)
    found = None
    for step in range(now - DRIFT_STEPS, now + DRIFT_STEPS + 1):
        # All of them are compared, so that the time taken tells nothing.
        if hmac.compare_digest(code_at(secret, step).encode(), code.encode()) and step > after_step:
            found = step
    return found


def address(secret: str, *, user: str, issuer: str) -> str:
    """Return what an authenticator app takes in: an otpauth:// address."""
    label = quote(f"{issuer}:{user}")
    return f"otpauth://totp/{label}?{urlencode({'secret': secret, 'issuer': issuer})}"
