"""Tell what an error answer of Binance means, from its status, code, message and the method of the request."""

from __future__ import annotations

import json
import re
from typing import Any, Final

from exchange.errors import Outcome

_READS: Final = frozenset(("GET", "HEAD"))
_SLOTS: Final = "MAX_NUM_"
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
    -1112: Outcome.REJECTED_MARKET,
    -1121: Outcome.REJECTED_MARKET,
    -2013: Outcome.NOT_VISIBLE,
    -2014: Outcome.KEY_INVALID,
    -2015: Outcome.KEY_INVALID,
    -2016: Outcome.REJECTED_MARKET,
    -2021: Outcome.READ_BOTH,
    -2022: Outcome.READ_BOTH,
    -2026: Outcome.TERMINAL_EMPTY,
}
# The request was taken apart and refused before anything looked at an order book. Codes of FIX sessions are not
# here: no request of ours can meet them, so they prove nothing.
_MALFORMED: Final = frozenset(
    (
        -1014, -1020, -1100, -1101, -1102, -1103, -1104, -1105, -1106, -1108, -1114, -1115, -1116, -1117, -1118, -1119,
        -1120, -1122, -1125, -1127, -1128, -1130, -1131, -1134, -1135, -1139, -1145, -1151, -1152, -1153, -1155, -1158,
        -1160, -1161, -1165, -1166, -1168, -1182, -1194, -1196, -1197, -1198, -1199, -1210, -1211, -1220, -1221, -1222,
        -1223, -1224, -1225, -2039,
    )
)  # fmt: skip
# The texts of -2010 that name what is wrong with an order; any other text proves nothing.
_REFUSED_ORDER: Final = (
    ("duplicate order", Outcome.EXISTS),
    ("insufficient balance", Outcome.REJECTED_FUNDS),
    ("would immediately match", Outcome.REJECTED_PRICE),
    ("would match and take", Outcome.REJECTED_PRICE),
    ("would trigger immediately", Outcome.STOP_WOULD_TRIGGER),
    ("relationship of the prices", Outcome.REJECTED_PRICE),
    ("market is closed", Outcome.REJECTED_MARKET),
    ("book liquidity is less", Outcome.REJECTED_MARKET),
    ("not permitted for", Outcome.REJECTED_ACCOUNT),
    ("restricted for this account", Outcome.REJECTED_ACCOUNT),
    ("disabled on this account", Outcome.REJECTED_ACCOUNT),
    ("may not place or cancel", Outcome.REJECTED_ACCOUNT),
    ("price * qty is zero", Outcome.REJECTED_FILTER),
    ("filter failure", Outcome.REJECTED_FILTER),
    ("icebergqty exceeds", Outcome.REJECTED_REQUEST),
    ("unsupported order combination", Outcome.REJECTED_REQUEST),
    ("quantity increase) is not supported", Outcome.REJECTED_REQUEST),
    ("for this symbol", Outcome.REJECTED_MARKET),
    ("order types are not", Outcome.REJECTED_MARKET),
)
_BAN: Final = re.compile(r"banned until (\d{13})\b")


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
    if code == -1013 and _SLOTS in message:
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
    except (ValueError, RecursionError):
        return None, body[:200]
    code = content.get("code") if isinstance(content, dict) else None
    if not isinstance(code, int) or isinstance(code, bool):
        return None, body[:200]
    return code, str(content.get("msg", ""))


def banned_until_ms(message: str) -> int | None:
    """Read from a ban's own words when it ends."""
    found = _BAN.search(message)
    return int(found[1]) if found else None


def _no_answer(method: str) -> Outcome:
    return Outcome.UNAVAILABLE if method in _READS else Outcome.UNKNOWN


def _refused_order(message: str, method: str) -> Outcome:
    if _SLOTS in message:
        return Outcome.REJECTED_SLOTS
    said = message.lower()
    for text, outcome in _REFUSED_ORDER:
        if text in said:
            return outcome
    return _no_answer(method)


def _refused_cancel(message: str) -> Outcome:
    # Both texts become OrderNotFound in ccxt, though one of them says that the order lives.
    return Outcome.STILL_LIVE if "cancel restrictions" in message.lower() else Outcome.QUERY
