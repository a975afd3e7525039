"""Who asks, and whether they may: keys, signatures and the receive window, on wall time."""

import hashlib
import hmac
import re
from collections.abc import Mapping
from typing import Final

from venue.errors import (
    ApiError,
    ahead_of_server,
    illegal_text,
    invalid_key_format,
    invalid_signature,
    missing_parameter,
    outside_receive_window,
    rejected_key,
)
from venue.keys import ApiKey
from venue.parameters import Parameters

DEFAULT_WINDOW_MS: Final = 5_000
LARGEST_WINDOW_MS: Final = 60_000
AHEAD_MS: Final = 1_000
_KEY = re.compile(r"[A-Za-z0-9]{16,64}", re.ASCII)
_SIGNATURE = re.compile(r"(^|&)signature=[^&]*")


def usable_key(key: str | None, keys: Mapping[str, ApiKey], *, right: str, address: str) -> ApiKey:
    """Find a key that may do this from there; which of both it may not is not told."""
    if not key or _KEY.fullmatch(key) is None:
        raise invalid_key_format()
    found = keys.get(key)
    if found is None or not found.may(right, address):
        raise rejected_key()
    return found


def check_signature(key: ApiKey, payload: str, signature: str) -> None:
    """Refuse a request that the owner of the key did not sign as it was sent."""
    try:
        expected = hmac.new(key.secret.encode(), payload.encode(), hashlib.sha256).hexdigest()
        is_right = hmac.compare_digest(expected.encode(), signature.lower().encode())
    except UnicodeEncodeError:
        # Half a character, or bytes that are none: nobody can have signed that.
        raise illegal_text() from None
    if not is_right:
        raise invalid_signature()


def check_time(parameters: Parameters, now_ms: int) -> None:
    """Refuse a request that is too old or from the future."""
    timestamp = parameters.whole("timestamp")
    if timestamp is None:
        raise missing_parameter("timestamp")
    window = parameters.whole("recvWindow")
    window = DEFAULT_WINDOW_MS if window is None else window
    if window > LARGEST_WINDOW_MS:
        raise ApiError(-1131, f"recvWindow must be less than {LARGEST_WINDOW_MS}")
    if timestamp > now_ms + AHEAD_MS:
        raise ahead_of_server()
    if timestamp < now_ms - window:
        raise outside_receive_window()


def signed_payload(query: str, body: str) -> str:
    """Return what was signed: query string and body as sent, without the signature."""
    return _without_signature(query) + _without_signature(body)


def _without_signature(part: str) -> str:
    return _SIGNATURE.sub("", part).removeprefix("&")
