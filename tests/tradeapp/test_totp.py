"""One-time codes: the standard's own vectors, and every code once."""

from __future__ import annotations

import base64

import pytest

from tradeapp import totp

SECRET = base64.b32encode(b"12345678901234567890").decode()


@pytest.mark.parametrize(
    ("seconds", "code"),
    [
        (59, "94287082"),
        (1111111109, "07081804"),
        (1111111111, "14050471"),
        (1234567890, "89005924"),
        (2000000000, "69279037"),
        (20000000000, "65353130"),
    ],
)
def test_the_codes_are_those_of_rfc_6238(seconds: int, code: str) -> None:
    assert totp.code_at(SECRET, totp.step_of(seconds), digits=8) == code


@pytest.mark.fault("S14")
def test_a_code_works_once_and_a_step_early_or_late() -> None:
    step = totp.step_of(1111111111)
    code = totp.code_at(SECRET, step)

    assert totp.matching_step(SECRET, code, seconds=1111111111, after_step=0) == step
    assert totp.matching_step(SECRET, code, seconds=1111111111, after_step=step) is None
    assert totp.matching_step(SECRET, code, seconds=1111111111 + totp.STEP_SECONDS, after_step=0) == step
    assert totp.matching_step(SECRET, code, seconds=1111111111 + 2 * totp.STEP_SECONDS, after_step=0) is None
    assert totp.matching_step(SECRET, "", seconds=1111111111, after_step=0) is None
    assert totp.matching_step(SECRET, "١٢٣٤٥٦", seconds=1111111111, after_step=0) is None


def test_a_new_secret_is_what_an_authenticator_app_reads() -> None:
    secret = totp.new_secret()

    assert len(base64.b32decode(secret)) == totp.SECRET_BYTES
    assert totp.address(secret, user="ada@example.org", issuer="tradeapp") == (
        f"otpauth://totp/tradeapp%3Aada%40example.org?secret={secret}&issuer=tradeapp"
    )
