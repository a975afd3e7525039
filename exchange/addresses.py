"""Keep real keys from test addresses and test keys from real ones: neither world may be taken for the other (I-49)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

_REAL: Final[Mapping[str, str]] = {"binance": "binance.com", "binanceus": "binance.us", "coinbase": "coinbase.com"}
# Names of an exchange's own playgrounds, which may lie under its real domain.
_PLAYGROUNDS: Final = ("testnet", "sandbox", "demo", "mock")


def is_real(*, exchange: str, rest_url: str) -> bool:
    """Say whether an address is one at which an exchange trades real money; none given is the exchange's own."""
    if not rest_url:
        return True
    parts = urlsplit(rest_url)
    host, domain = (parts.hostname or "").rstrip("."), _REAL.get(exchange, "")
    is_theirs = bool(domain) and (host == domain or host.endswith(f".{domain}"))
    return is_theirs and not any(word in host for word in _PLAYGROUNDS)


def trouble_with_address(*, exchange: str, rest_url: str, has_real_money: bool) -> str:
    """Say why the keys of an account must not be used at an address; empty when they may."""
    if is_real(exchange=exchange, rest_url=rest_url) == has_real_money:
        if has_real_money and rest_url and urlsplit(rest_url).scheme != "https":
            return f"Keys for real money do not go to {rest_url} unencrypted."
        return ""
    if has_real_money:
        return f"This account has real money and its market is at {rest_url}, which is not {exchange}'s own address."
    return f"This account has no real money and its market is at {exchange}'s own address: give the market its test address."
