"""What can go wrong: every action, where it acts and which words it takes."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from venue.amounts import IllegalAmount, TooPrecise, parse_signed

REQUEST: Final = "request"
STREAM: Final = "stream"
CONNECTION: Final = "connection"
WORLD: Final = "world"
MATCHING: Final = "matching"
SECONDS_MAX: Final = 7 * 86_400.0

Check = Callable[[Any], str | None]


@dataclass(frozen=True, slots=True)
class Word:
    """One word of an action: how its value is checked, and whether it must be there."""

    check: Check
    is_needed: bool = False


@dataclass(frozen=True, slots=True)
class Action:
    """Where an action acts, and what it may be given."""

    seam: str
    words: dict[str, Word]


def _seconds(value: Any) -> str | None:
    fits = _is_number(value) and 0 <= value <= SECONDS_MAX
    return None if fits else f"must be a number of seconds from 0 to {SECONDS_MAX:g}"


def _number(value: Any) -> str | None:
    return None if _is_number(value) else "must be a number"


def _whole(value: Any) -> str | None:
    return None if _is_whole(value) else "must be a whole number"


def _count(value: Any) -> str | None:
    return None if _is_whole(value) and value >= 1 else "must be a whole number above 0"


def _text(value: Any) -> str | None:
    return None if isinstance(value, str) else "must be a text"


def _flag(value: Any) -> str | None:
    return None if isinstance(value, bool) else "must be true or false"


def _object(value: Any) -> str | None:
    return None if isinstance(value, dict) else "must be an object"


def _fields(value: Any) -> str | None:
    fits = isinstance(value, list) and value and all(isinstance(name, str) for name in value)
    return None if fits else "must be a list of field names such as price or k.c"


def _amount(value: Any) -> str | None:
    try:
        parse_signed(value)
    except (IllegalAmount, TooPrecise, TypeError, AttributeError):
        return 'must be a text with at most eight decimals such as "0.5"'
    return None


def _account(value: Any) -> str | None:
    fits = _is_whole(value) or (isinstance(value, str) and value)
    return None if fits else "must be an account's uid or name"


def _texts(value: Any) -> str | None:
    fits = isinstance(value, dict) and all(isinstance(text, str) for text in value.values())
    return None if fits else "must be an object of texts"


def _choice(*words: str) -> Check:
    return lambda value: None if value in words else f"must be one of {', '.join(words)}"


def _some_of(*words: str) -> Check:
    def check(value: Any) -> str | None:
        fits = isinstance(value, list) and value and all(word in words for word in value)
        return None if fits else f"must be a list of some of {', '.join(words)}"

    return check


def pattern(value: Any) -> str | None:
    """Refuse what is no regular expression."""
    try:
        re.compile(value)
    except (re.error, TypeError):
        return "must be a regular expression"
    return None


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


_STAGE: Final = Word(_choice("before", "after"))
_NEEDED_ACCOUNT: Final = Word(_account, is_needed=True)
_NEEDED_SYMBOL: Final = Word(_text, is_needed=True)
_NEEDED_AMOUNT: Final = Word(_amount, is_needed=True)
_HANG: Final = {"hang_seconds": Word(_seconds)}
_SCALE: Final = {"fields": Word(_fields, is_needed=True), "factor": Word(_number, is_needed=True)}
_FILTER_WORDS: Final = (
    "tick", "step", "min_quantity", "max_quantity", "market_max_quantity", "min_notional", "max_notional", "max_price",
    "max_position",
)  # fmt: skip
_FILTER_COUNTS: Final = ("max_orders", "max_algo_orders")

_REQUEST_ACTIONS: Final = {
    "drop_request": _HANG,
    "drop_answer": _HANG,
    "delay": {"seconds": Word(_seconds, is_needed=True), "stage": _STAGE},
    "answer": {
        "status": Word(_count), "code": Word(_whole), "msg": Word(_text), "body": Word(_text), "headers": Word(_texts),
        "stage": _STAGE,
    },
    "mangle": {
        "how": Word(_choice("cut", "html", "empty", "not_json", "bad_gzip", "drip", "huge"), is_needed=True),
        "bytes": Word(_count), "seconds": Word(_seconds),
    },
    "swap": {"of": Word(_choice("symbol", "client_id", "other"), is_needed=True)},
    "set": {"fields": Word(_object, is_needed=True)},
    "scale": _SCALE,
    "hide": {"seconds": Word(_seconds), "in": Word(_some_of("order", "openOrders", "allOrders", "myTrades"))},
    "stale": {},
    "block": {
        "kind": Word(_choice("weight", "orders", "ban", "waf", "maintenance"), is_needed=True),
        "seconds": Word(_seconds, is_needed=True),
    },
}  # fmt: skip
_STREAM_ACTIONS: Final = {
    "withhold": {"seconds": Word(_seconds)},
    "duplicate": {"copies": Word(_count)},
    "reorder": {"events": Word(_count)},
    "cut": {},
    "silence": {"seconds": Word(_seconds)},
    "inject": {"payload": Word(_object, is_needed=True)},
    "edit": {"fields": Word(_object, is_needed=True)},
    "multiply": _SCALE,
    "cross": {},
    "shift_time": {"to": Word(_choice("future", "1970", "us"), is_needed=True)},
    "revise": {"factor": Word(_number)},
}
_CONNECTION_ACTIONS: Final = {"refuse_connections": {"seconds": Word(_seconds, is_needed=True)}}
_WORLD_ACTIONS: Final = {
    "skew": {"ms": Word(_whole, is_needed=True)},
    "stream_terms": {
        "ping_seconds": Word(_seconds), "life_seconds": Word(_seconds), "streams_max": Word(_count),
        "messages_per_second": Word(_count),
    },
    "flow": {"account": _NEEDED_ACCOUNT, "asset": Word(_text, is_needed=True), "amount": _NEEDED_AMOUNT, "silent": Word(_flag)},
    "crossing": {
        "account": _NEEDED_ACCOUNT, "asset": Word(_text, is_needed=True), "amount": _NEEDED_AMOUNT,
        "status": Word(_whole, is_needed=True), "fee": Word(_amount), "wallet": Word(_choice("spot", "funding")),
    },
    "settle": {"account": _NEEDED_ACCOUNT, "status": Word(_whole, is_needed=True)},
    "lock": {"account": _NEEDED_ACCOUNT, "asset": Word(_text, is_needed=True), "amount": _NEEDED_AMOUNT},
    "human_order": {
        "account": _NEEDED_ACCOUNT, "symbol": _NEEDED_SYMBOL, "side": Word(_choice("BUY", "SELL"), is_needed=True),
        "type": Word(_choice("MARKET", "LIMIT")), "quantity": _NEEDED_AMOUNT, "price": Word(_amount),
    },
    "human_cancel": {"account": _NEEDED_ACCOUNT, "symbol": Word(_text)},
    "end_order": {
        "account": _NEEDED_ACCOUNT, "symbol": Word(_text),
        "status": Word(_choice("EXPIRED", "EXPIRED_IN_MATCH"), is_needed=True),
    },
    "filters": {
        "symbol": _NEEDED_SYMBOL,
        **{name: Word(_amount) for name in _FILTER_WORDS},
        **{name: Word(_count) for name in _FILTER_COUNTS},
    },
    "halt": {"symbol": _NEEDED_SYMBOL},
    "resume": {"symbol": _NEEDED_SYMBOL},
    "delist": {"symbol": _NEEDED_SYMBOL},
    "fees": {"maker": Word(_amount), "taker": Word(_amount), "account": Word(_account)},
    "testnet_reset": {"balances": Word(_texts)},
}  # fmt: skip
_MATCHING_ACTIONS: Final = {"partial": {"ratio": _NEEDED_AMOUNT}}

ACTIONS: Final = {
    name: Action(seam, words)
    for seam, actions in (
        (REQUEST, _REQUEST_ACTIONS),
        (STREAM, _STREAM_ACTIONS),
        (CONNECTION, _CONNECTION_ACTIONS),
        (WORLD, _WORLD_ACTIONS),
        (MATCHING, _MATCHING_ACTIONS),
    )
    for name, words in actions.items()
}
MATCH_WORDS: Final[dict[str, Check]] = {
    "symbol": _text, "client_id": pattern, "account": _account, "stream": pattern, "event": _text, "execution": _text,
}  # fmt: skip
WHEN_WORDS: Final[dict[str, Check]] = {
    "skip": _whole, "every": _count, "chance": _number, "market_from": _whole, "market_until": _whole,
    "wall_after": _seconds, "wall_until": _seconds,
}  # fmt: skip
