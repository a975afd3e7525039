"""What must never be read in a log: every secret this process has opened, and whatever looks like one (S05)."""

from __future__ import annotations

import re
from typing import Final

MASK: Final = "[secret]"
# Shorter ones would mask ordinary words.
_LENGTH_MIN: Final = 8
_LOOKS_SECRET: Final = re.compile(
    r"""(?P<before>
        signature=|listenKey=|sessionid=|csrftoken=|X-MBX-APIKEY["':=\s]+|Bearer\s+|/sign-in/
    )[^\s&"';,/]+""",
    re.VERBOSE | re.IGNORECASE,
)
_TOKEN: Final = re.compile(r"tra_[\w-]{16,}")
_URL_PASSWORD: Final = re.compile(r"(?P<before>[a-z][a-z0-9+]*://[^\s:/@]*:)[^\s@/]+(?=@)")
_known: set[str] = set()


def remember(secret: str) -> None:
    """Mask this very text from now on."""
    if len(secret) >= _LENGTH_MIN:
        _known.add(secret)


def redact(text: str) -> str:
    """Return a text without secrets."""
    for secret in _known:
        text = text.replace(secret, MASK)
    text = _LOOKS_SECRET.sub(rf"\g<before>{MASK}", text)
    text = _URL_PASSWORD.sub(rf"\g<before>{MASK}", text)
    return _TOKEN.sub(MASK, text)
