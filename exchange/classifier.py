"""Tell what an error answer of Binance means, from its status, code, message and the method of the request."""

from __future__ import annotations

import json
from typing import Any, Final

from exchange.errors import Outcome

_READS: Final = frozenset(("GET", "HEAD"))
_SLOTS: Final = ("MAX_NUM_ORDERS", "MAX_NUM_ALGO_ORDERS", "MAX_NUM_ICEBERG_ORDERS", "EXCHANGE_MAX_NUM")
# Codes that say "we could not finish", which is no answer to an order.
_UNFINISHED: Final = frozenset((-1000, -1001, -1006, -1007, -1008, -1016, -1034))
_BY_CODE: Final = {
    -1002: Outcome.KEY_INVALID,
    -1003: Outcome.BACKOFF_WEIGHT,
    -1013: Outcome.REJECTED_FILTER,
    -1015: Outcome.BACKOFF_ORDERS,
    -1021: Outcome.REJECTED_TIME,
    -1022: Outcome.KEY_INVALID,
    -1111: Outcome.REJECTED_FILTER,
    -1121: Outcome.REJECTED_MARKET,
    -2013: Outcome.NOT_VISIBLE,
    -2014: Outcome.KEY_INVALID,
    -2015: Outcome.KEY_INVALID,
    -2016: Outcome.REJECTED_MARKET,
    -2021: Outcome.READ_BOTH,
    -2022: Outcome.READ_BOTH,
    -2026: Outcome.TERMINAL_EMPTY,
}
# The texts of -2010 that name what is wrong with an order; any other text proves nothing.
_REFUSED_ORDER: Final = (
    ("duplicate order", Outcome.EXISTS),
    ("insufficient balance", Outcome.REJECTED_FUNDS),
    ("would immediately match", Outcome.REJECTED_PRICE),
    ("would match and take", Outcome.REJECTED_PRICE),
    ("would trigger immediately", Outcome.REJECTED_PRICE),
    ("market is closed", Outcome.REJECTED_MARKET),
    ("not permitted for", Outcome.REJECTED_ACCOUNT),
    ("disabled on this account", Outcome.REJECTED_ACCOUNT),
    ("may not place or cancel", Outcome.REJECTED_ACCOUNT),
    ("filter failure", Outcome.REJECTED_FILTER),
    ("not supported for this symbol", Outcome.REJECTED_MARKET),
    ("order types are not", Outcome.REJECTED_MARKET),
)
_MALFORMED: Final = range(-1139, -1099)


def classify(*, status: int, code: int | None, message: str, method: str) -> Outcome:
    """Say what an error answer means; whatever is not on the list stays unknown, or unavailable for a read."""
    if status == 418:
        return Outcome.BANNED
    if status == 429:
        return Outcome.BACKOFF_ORDERS if code == -1015 else Outcome.BACKOFF_WEIGHT
    if status == 403 and code is None:
        return Outcome.BLOCKED
    if status >= 500 or status < 400 or code is None or code in _UNFINISHED:
        return _no_answer(method)
    if code == -2010:
        return _refused_order(message, method)
    if code == -2011:
        return _refused_cancel(message)
    if code == -1013 and any(name in message for name in _SLOTS):
        return Outcome.REJECTED_SLOTS
    if code in _BY_CODE:
        return _BY_CODE[code]
    if code in _MALFORMED:
        return Outcome.REJECTED_REQUEST
    return _no_answer(method)


def error_of(body: str) -> tuple[int | None, str]:
    """Read the code and the message of an error body; no code means that it is not the exchange's own."""
    try:
        content: Any = json.loads(body)
    except ValueError:
        return None, body[:200]
    if not isinstance(content, dict) or not isinstance(content.get("code"), int):
        return None, body[:200]
    return content["code"], str(content.get("msg", ""))


def _no_answer(method: str) -> Outcome:
    return Outcome.UNAVAILABLE if method in _READS else Outcome.UNKNOWN


def _refused_order(message: str, method: str) -> Outcome:
    said = message.lower()
    for text, outcome in _REFUSED_ORDER:
        if text in said:
            return outcome
    return _no_answer(method)


def _refused_cancel(message: str) -> Outcome:
    # Both texts become OrderNotFound in ccxt, though one of them says that the order lives.
    return Outcome.STILL_LIVE if "cancel restrictions" in message.lower() else Outcome.QUERY
