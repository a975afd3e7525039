"""The answers of an exchange in trouble: its codes with their texts, its pages, its refusals for a while."""

import json
from dataclasses import dataclass, field
from typing import Final

# HTTP status and text of the documented codes that no check of ours gives.
CODES: Final[dict[int, tuple[int, str]]] = {
    -1000: (500, "An unknown error occurred while processing the request."),
    -1001: (500, "Internal error; unable to process your request. Please try again."),
    -1002: (401, "You are not authorized to execute this request."),
    -1003: (429, "Too many requests queued."),
    -1004: (503, "Server is busy, please wait and try again"),
    -1006: (500, "An unexpected response was received from the message bus. Execution status unknown."),
    -1007: (504, "Timeout waiting for response from backend server. Send status unknown; execution status unknown."),
    -1008: (503, "Server is currently overloaded with other requests. Please try again in a few minutes."),
    -1010: (400, "ERROR_MSG_RECEIVED."),
    -1013: (400, "Filter failure: LOT_SIZE"),
    -1015: (429, "Too many new orders; current limit is 50 orders per 10 SECOND."),
    -1016: (503, "This service is no longer available."),
    -1020: (400, "This operation is not supported."),
    -1021: (400, "Timestamp for this request is outside of the recvWindow."),
    -1022: (400, "Signature for this request is not valid."),
    -1111: (400, "Parameter 'quantity' has too much precision."),
    -1121: (400, "Invalid symbol."),
    -2010: (400, "Account has insufficient balance for requested action."),
    -2011: (400, "Unknown order sent."),
    -2013: (400, "Order does not exist."),
    -2014: (401, "API-key format invalid."),
    -2015: (401, "Invalid API-key, IP, or permissions for action."),
    -2016: (400, "No trading window could be found for the symbol. Try ticker/24hrs instead."),
    -2021: (409, "Order cancel-replace partially failed."),
    -2022: (400, "Order cancel-replace failed."),
    -2026: (400, "Order was canceled or expired with no executed qty over 90 days ago and has been archived."),
    -2035: (400, "User Data Stream subscription already active."),
    -2036: (400, "User Data Stream subscription not active."),
    -2039: (400, "Client order ID is not correct for this order ID"),
}
PAGE: Final = "<html><head><title>{title}</title></head><body><center><h1>{title}</h1></center></body></html>"
_TITLES: Final = {403: "403 Forbidden", 502: "502 Bad Gateway", 503: "503 Service Unavailable", 504: "504 Gateway Time-out"}
_JSON: Final = "application/json"
_HTML: Final = "text/html"


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer that no endpoint gave."""

    status: int
    body: str
    content_type: str = _JSON
    headers: dict[str, str] = field(default_factory=dict)


def coded(code: int, message: str | None, status: int | None, headers: dict[str, str]) -> Answer:
    """Answer with a code of the exchange."""
    usual_status, usual_message = CODES.get(code, (400, "An unknown error occurred while processing the request."))
    body = json.dumps({"code": code, "msg": usual_message if message is None else message}, separators=(",", ":"))
    return Answer(usual_status if status is None else status, body, _JSON, headers)


def written(body: str, status: int | None, headers: dict[str, str]) -> Answer:
    """Answer with a text as it stands."""
    return Answer(200 if status is None else status, body, _JSON if body.startswith(("{", "[")) else _HTML, headers)


def page(status: int, headers: dict[str, str]) -> Answer:
    """Answer with the page that a proxy shows when it cannot reach what lies behind."""
    return Answer(status, PAGE.format(title=_TITLES.get(status, str(status))), _HTML, headers)


def blocked(kind: str, until_ms: int, now_ms: int) -> Answer:
    """Refuse everything until a moment, in the way of its kind."""
    again = {"Retry-After": str(max(1, -(-(until_ms - now_ms) // 1000)))}
    if kind == "weight":
        message = (
            "Too much request weight used; current limit is 6000 request weight per 1 MINUTE. "
            "Please use WebSocket Streams for live updates to avoid polling the API."
        )
        return coded(-1003, message, 429, again)
    if kind == "orders":
        return coded(-1015, None, 429, again)
    if kind == "ban":
        message = f"Way too much request weight used; IP banned until {until_ms}. Please use WebSocket Streams for live updates."
        return coded(-1003, message, 418, again)
    return page(403 if kind == "waf" else 503, {})
