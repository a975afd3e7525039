"""What the exchange answers when it refuses: HTTP status, code and text, as documented."""

from typing import Final

BAD_REQUEST: Final = 400
UNAUTHORIZED: Final = 401
TOO_MANY_REQUESTS: Final = 429
TEAPOT: Final = 418
SERVICE_UNAVAILABLE: Final = 503


class ApiError(Exception):
    """A refusal in the words of the exchange."""

    def __init__(self, code: int, message: str, *, status: int = BAD_REQUEST, retry_after: int | None = None) -> None:
        super().__init__(f"{code} {message}")
        self.code = code
        self.message = message
        self.status = status
        self.retry_after = retry_after

    def body(self) -> dict[str, object]:
        """Return the body of the answer."""
        return {"code": self.code, "msg": self.message}


def filter_failure(name: str) -> ApiError:
    """Refuse an order that breaks a filter of its symbol."""
    return ApiError(-1013, f"Filter failure: {name}")


def overloaded() -> ApiError:
    """Refuse for now what cannot be answered yet."""
    message = "Server is currently overloaded with other requests. Please try again in a few minutes."
    return ApiError(-1008, message, status=SERVICE_UNAVAILABLE)


def rejected(message: str) -> ApiError:
    """Refuse an order that reached the matching engine."""
    return ApiError(-2010, message)


def insufficient_balance() -> ApiError:
    """Refuse an order that the account cannot pay."""
    return rejected("Account has insufficient balance for requested action.")


def cancel_rejected(message: str = "Unknown order sent.") -> ApiError:
    """Refuse a cancellation."""
    return ApiError(-2011, message)


def no_such_order() -> ApiError:
    """Answer a query for an order that is not there."""
    return ApiError(-2013, "Order does not exist.")


def invalid_symbol() -> ApiError:
    """Refuse a symbol that is not listed."""
    return ApiError(-1121, "Invalid symbol.")


def illegal_text() -> ApiError:
    """Refuse what is no text at all."""
    return ApiError(-1100, "Illegal characters found in a parameter.")


def illegal_characters(name: str, legal: str) -> ApiError:
    """Refuse a parameter whose text is out of its legal range."""
    return ApiError(-1100, f"Illegal characters found in parameter '{name}'; legal range is '{legal}'.")


def missing_parameter(name: str) -> ApiError:
    """Refuse a request that lacks a parameter."""
    return ApiError(-1102, f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed.")


def either_parameter(first: str, second: str) -> ApiError:
    """Refuse a request that has neither of two parameters."""
    return ApiError(-1102, f"Param '{first}' or '{second}' must be sent, but both were empty/null!")


def empty_parameter(name: str) -> ApiError:
    """Refuse an empty parameter."""
    return ApiError(-1105, f"Parameter '{name}' was empty.")


def not_required(name: str) -> ApiError:
    """Refuse a known parameter that does not belong to this kind of order."""
    return ApiError(-1106, f"Parameter '{name}' sent when not required.")


def too_precise(name: str) -> ApiError:
    """Refuse a number with too many decimals."""
    return ApiError(-1111, f"Parameter '{name}' has too much precision.")


def unread_parameters(*, read: int, sent: int) -> ApiError:
    """Refuse a request with parameters that the endpoint does not know."""
    return ApiError(-1104, f"Not all sent parameters were read; read '{read}' parameter(s) but was sent '{sent}'.")


def duplicate_parameter() -> ApiError:
    """Refuse a request that names a parameter twice."""
    return ApiError(-1101, "Duplicate values for a parameter detected.")


def invalid_parameter(name: str) -> ApiError:
    """Refuse a parameter whose value makes no sense."""
    return ApiError(-1130, f"Data sent for parameter '{name}' is not valid.")


def outside_receive_window() -> ApiError:
    """Refuse a request that is too old."""
    return ApiError(-1021, "Timestamp for this request is outside of the recvWindow.")


def ahead_of_server() -> ApiError:
    """Refuse a request from the future."""
    return ApiError(-1021, "Timestamp for this request was 1000ms ahead of the server's time.")


def invalid_signature() -> ApiError:
    """Refuse a request whose signature does not match."""
    return ApiError(-1022, "Signature for this request is not valid.")


def invalid_key_format() -> ApiError:
    """Refuse a request without a usable key."""
    return ApiError(-2014, "API-key format invalid.", status=UNAUTHORIZED)


def rejected_key() -> ApiError:
    """Refuse a key that nobody has."""
    return ApiError(-2015, "Invalid API-key, IP, or permissions for action.", status=UNAUTHORIZED)


def too_much_weight(*, limit: int, retry_after: int) -> ApiError:
    """Refuse a request beyond the weight of a minute."""
    message = (
        f"Too much request weight used; current limit is {limit} request weight per 1 MINUTE. "
        "Please use WebSocket Streams for live updates to avoid polling the API."
    )
    return ApiError(-1003, message, status=TOO_MANY_REQUESTS, retry_after=retry_after)


def banned(*, until_ms: int, retry_after: int) -> ApiError:
    """Refuse everything from an address that went on after it was told to stop."""
    message = (
        f"Way too much request weight used; IP banned until {until_ms}. "
        "Please use WebSocket Streams for live updates to avoid bans."
    )
    return ApiError(-1003, message, status=TEAPOT, retry_after=retry_after)


def too_many_orders(*, limit: int, interval: str, retry_after: int) -> ApiError:
    """Refuse an order beyond the count of an interval."""
    message = f"Too many new orders; current limit is {limit} orders per {interval}."
    return ApiError(-1015, message, status=TOO_MANY_REQUESTS, retry_after=retry_after)
