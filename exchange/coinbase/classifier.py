"""Tell what Coinbase's refusals mean, from their status, their words and the method of the request."""

from __future__ import annotations

import json
from typing import Any, Final

from exchange.errors import Outcome

_READS: Final = frozenset(("GET", "HEAD"))
# What an answer with one of these words proves, whatever was asked.
_BY_ERROR: Final = {
    "authentication_error": Outcome.KEY_INVALID,
    "unauthorized": Outcome.KEY_INVALID,
    "invalid_token": Outcome.KEY_INVALID,
    "revoked_token": Outcome.KEY_INVALID,
    "expired_token": Outcome.KEY_INVALID,
    "invalid_scope": Outcome.KEY_INVALID,
    "permission_denied": Outcome.REJECTED_ACCOUNT,
    "rate_limit_exceeded": Outcome.BACKOFF_WEIGHT,
    "resource_exhausted": Outcome.BACKOFF_WEIGHT,
    "not_found": Outcome.NOT_VISIBLE,
    "invalid_argument": Outcome.REJECTED_REQUEST,
    "invalid_request": Outcome.REJECTED_REQUEST,
    "param_required": Outcome.REJECTED_REQUEST,
    "validation_error": Outcome.REJECTED_REQUEST,
}
_TOO_OLD: Final = "timestamp expired"
# Why an order was not made. What is not here proves nothing: UNKNOWN_FAILURE_REASON and COMMANDER_REJECTED_NEW_ORDER, too.
_REFUSED_ORDER: Final = {
    "INSUFFICIENT_FUND": Outcome.REJECTED_FUNDS,
    "INSUFFICIENT_FUNDS": Outcome.REJECTED_FUNDS,
    "INSUFFICIENT_LEDGER_BALANCE": Outcome.REJECTED_FUNDS,
    "INVALID_SIZE_PRECISION": Outcome.REJECTED_FILTER,
    "INVALID_PRICE_PRECISION": Outcome.REJECTED_FILTER,
    "INVALID_BASE_SIZE_TOO_LARGE": Outcome.REJECTED_FILTER,
    "INVALID_BASE_SIZE_TOO_SMALL": Outcome.REJECTED_FILTER,
    "INVALID_QUOTE_SIZE_TOO_LARGE": Outcome.REJECTED_FILTER,
    "INVALID_QUOTE_SIZE_TOO_SMALL": Outcome.REJECTED_FILTER,
    "INVALID_LIMIT_PRICE": Outcome.REJECTED_PRICE,
    "INVALID_LIMIT_PRICE_POST_ONLY": Outcome.REJECTED_PRICE,
    "LIMIT_PRICE_TOO_FAR_FROM_MARKET": Outcome.REJECTED_PRICE,
    "INVALID_STOP_PRICE": Outcome.REJECTED_PRICE,
    # We place stops to sell alone, and those lie below the last price.
    "STOP_PRICE_ABOVE_LAST_TRADE_PRICE": Outcome.STOP_WOULD_TRIGGER,
    "STOP_PRICE_BELOW_LAST_TRADE_PRICE": Outcome.REJECTED_PRICE,
    "STOP_PRICE_ABOVE_LIMIT_PRICE": Outcome.REJECTED_PRICE,
    "STOP_PRICE_BELOW_LIMIT_PRICE": Outcome.REJECTED_PRICE,
    "STOP_TRIGGER_PRICE_OUT_OF_BOUNDS": Outcome.REJECTED_PRICE,
    "INVALID_PRODUCT_ID": Outcome.REJECTED_MARKET,
    "INELIGIBLE_PAIR": Outcome.REJECTED_MARKET,
    "UNTRADABLE_PRODUCT": Outcome.REJECTED_MARKET,
    "ORDER_ENTRY_DISABLED": Outcome.REJECTED_MARKET,
    "INVALID_NO_LIQUIDITY": Outcome.REJECTED_MARKET,
    "UNSUPPORTED_ORDER_CONFIGURATION": Outcome.REJECTED_REQUEST,
    "INVALID_ORDER_CONFIG": Outcome.REJECTED_REQUEST,
    "INVALID_SIDE": Outcome.REJECTED_REQUEST,
    "INVALID_REQUEST": Outcome.REJECTED_REQUEST,
    "FOK_DISABLED": Outcome.REJECTED_REQUEST,
    "POST_ONLY_NOT_ALLOWED_WITH_FOK": Outcome.REJECTED_REQUEST,
    "GEOFENCING_RESTRICTION": Outcome.REJECTED_ACCOUNT,
    "DUPLICATE_CLIENT_ORDER_ID": Outcome.EXISTS,
}
_REFUSED_CANCEL: Final = {
    "UNKNOWN_CANCEL_ORDER": Outcome.QUERY,
    "ORDER_IS_FULLY_FILLED": Outcome.QUERY,
    "DUPLICATE_CANCEL_REQUEST": Outcome.QUERY,
    "COMMANDER_REJECTED_CANCEL_ORDER": Outcome.STILL_LIVE,
    "NOT_ALLOWED_TO_CANCEL": Outcome.STILL_LIVE,
    "ORDER_IS_BEING_REPLACED": Outcome.STILL_LIVE,
}
_PREVIEW: Final = "PREVIEW_"


def classify(*, status: int, error: str, message: str, method: str) -> Outcome:
    """Say what an error answer means; whatever is not on the list stays unknown, or unavailable for a read."""
    if status == 429:
        return Outcome.BACKOFF_WEIGHT
    if _TOO_OLD in message.lower():
        return Outcome.REJECTED_TIME
    if status == 401:
        return Outcome.KEY_INVALID
    if status == 403 and not error:
        return Outcome.BLOCKED
    if status >= 500 or status < 400:
        return no_answer(method)
    return _BY_ERROR.get(error.lower(), no_answer(method))


def refused_order(reasons: list[str]) -> Outcome:
    """Say why an order was not made, by the first reason that says something."""
    known = (_REFUSED_ORDER.get(reason.removeprefix(_PREVIEW)) for reason in reasons)
    return next((outcome for outcome in known if outcome is not None), Outcome.UNKNOWN)


def refused_cancel(reason: str) -> Outcome:
    """Say what it means that an order was not cancelled."""
    return _REFUSED_CANCEL.get(reason, Outcome.UNKNOWN)


def error_of(body: str) -> tuple[str, str]:
    """Read the name and the message of an error body; no name means that it is not the exchange's own."""
    try:
        content: Any = json.loads(body)
    except (ValueError, RecursionError):
        return "", body[:200]
    if not isinstance(content, dict):
        return "", body[:200]
    listed = content.get("errors")
    if isinstance(listed, list) and listed and isinstance(listed[0], dict):
        return str(listed[0].get("id", "")), str(listed[0].get("message", ""))
    said = content.get("message") or content.get("error_details") or content.get("error_description") or ""
    return str(content.get("error", "")), str(said)


def no_answer(method: str) -> Outcome:
    """Say what silence means: a read may be tried again, of anything else nobody knows what became of it."""
    return Outcome.UNAVAILABLE if method in _READS else Outcome.UNKNOWN
