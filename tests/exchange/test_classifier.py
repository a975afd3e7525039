"""The whole table of what answers mean, row by row."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchange.classifier import classify, error_of
from exchange.errors import HALTING, PROVEN_REFUSALS, Outcome

FILTER = "Filter failure: "
ON_NEW_ORDER = [
    (400, -1013, FILTER + "LOT_SIZE", Outcome.REJECTED_FILTER),
    (400, -1013, FILTER + "PRICE_FILTER", Outcome.REJECTED_FILTER),
    (400, -1013, FILTER + "MARKET_LOT_SIZE", Outcome.REJECTED_FILTER),
    (400, -1013, FILTER + "PERCENT_PRICE_BY_SIDE", Outcome.REJECTED_FILTER),
    (400, -1013, FILTER + "NOTIONAL", Outcome.REJECTED_FILTER),
    (400, -1013, FILTER + "MIN_NOTIONAL", Outcome.REJECTED_FILTER),
    (400, -1013, FILTER + "MAX_POSITION", Outcome.REJECTED_FILTER),
    (400, -1013, FILTER + "MAX_NUM_ORDERS", Outcome.REJECTED_SLOTS),
    (400, -1013, FILTER + "MAX_NUM_ALGO_ORDERS", Outcome.REJECTED_SLOTS),
    (400, -1013, FILTER + "EXCHANGE_MAX_NUM_ORDERS", Outcome.REJECTED_SLOTS),
    (400, -1111, "Precision is over the maximum defined for this asset.", Outcome.REJECTED_FILTER),
    (400, -1101, "Too many parameters sent for this endpoint.", Outcome.REJECTED_REQUEST),
    (400, -1104, "Not all sent parameters were read; read '8' parameters but was sent '9'.", Outcome.REJECTED_REQUEST),
    (400, -1121, "Invalid symbol.", Outcome.REJECTED_MARKET),
    (400, -2010, "Account has insufficient balance for requested action.", Outcome.REJECTED_FUNDS),
    (400, -2010, "Duplicate order sent.", Outcome.EXISTS),
    (400, -2010, "Market is closed.", Outcome.REJECTED_MARKET),
    (400, -2010, "Order would immediately match and take.", Outcome.REJECTED_PRICE),
    (400, -2010, "Stop price would trigger immediately.", Outcome.STOP_WOULD_TRIGGER),
    (400, -2010, "This symbol is not permitted for this account.", Outcome.REJECTED_ACCOUNT),
    (400, -2010, "This action is disabled on this account.", Outcome.REJECTED_ACCOUNT),
    (400, -2010, "This account may not place or cancel orders.", Outcome.REJECTED_ACCOUNT),
    (400, -2010, "Words nobody has seen yet.", Outcome.UNKNOWN),
    (400, -1021, "Timestamp for this request is outside of the recvWindow.", Outcome.REJECTED_TIME),
    (400, -1022, "Signature for this request is not valid.", Outcome.KEY_INVALID),
    (401, -2014, "API-key format invalid.", Outcome.KEY_INVALID),
    (401, -2015, "Invalid API-key, IP, or permissions for action.", Outcome.KEY_INVALID),
    (429, -1003, "Too much request weight used; current limit is 6000.", Outcome.BACKOFF_WEIGHT),
    (429, -1015, "Too many new orders; current limit is 100 orders per TEN_SECONDS.", Outcome.BACKOFF_ORDERS),
    (429, None, "<html>429 Too Many Requests</html>", Outcome.BACKOFF_WEIGHT),
    (418, -1003, "Way too much request weight used; IP banned until 1659146400000.", Outcome.BANNED),
    (500, -1000, "An unknown error occurred while processing the request.", Outcome.UNKNOWN),
    (500, -2010, "Duplicate order sent.", Outcome.UNKNOWN),
    (503, -1001, "Internal error; unable to process your request.", Outcome.UNKNOWN),
    (500, -1006, "An unexpected response was received from the message bus.", Outcome.UNKNOWN),
    (408, -1007, "Timeout waiting for response from backend server.", Outcome.UNKNOWN),
    (504, -1007, "Timeout waiting for response from backend server.", Outcome.UNKNOWN),
    (503, -1008, "Server is currently overloaded with other requests.", Outcome.UNKNOWN),
    (502, None, "<html>502 Bad Gateway</html>", Outcome.UNKNOWN),
    (503, None, "<html>503 Service Unavailable</html>", Outcome.UNKNOWN),
    (504, None, "<html>504 Gateway Time-out</html>", Outcome.UNKNOWN),
    (403, None, "<html>403 Forbidden</html>", Outcome.BLOCKED),
    (400, None, "<html>400 Bad Request</html>", Outcome.UNKNOWN),
    (409, -2021, "Order cancel-replace partially failed.", Outcome.READ_BOTH),
    (400, -2022, "Order cancel-replace failed.", Outcome.READ_BOTH),
    (200, None, "<html>maintenance</html>", Outcome.UNKNOWN),
    (200, None, '{"symbol":"BTCUS', Outcome.UNKNOWN),
    (400, -9999, "What a future Binance may say.", Outcome.UNKNOWN),
]


@pytest.mark.parametrize(("status", "code", "message", "meaning"), ON_NEW_ORDER)
def test_an_answer_to_a_new_order_means(status: int, code: int | None, message: str, meaning: Outcome) -> None:
    assert classify(status=status, code=code, message=message, method="POST") == meaning


@pytest.mark.parametrize(
    ("status", "code", "message", "method", "meaning"),
    [
        (400, -2011, "Unknown order sent.", "DELETE", Outcome.QUERY),
        (400, -2011, "Order was not canceled due to cancel restrictions.", "DELETE", Outcome.STILL_LIVE),
        (504, None, "<html></html>", "DELETE", Outcome.UNKNOWN),
        (400, -2013, "Order does not exist.", "GET", Outcome.NOT_VISIBLE),
        (400, -2026, "Order was canceled or expired with no executed qty over 90 days ago.", "GET", Outcome.TERMINAL_EMPTY),
        (503, -1008, "Server is currently overloaded with other requests.", "GET", Outcome.UNAVAILABLE),
        (502, None, "<html></html>", "GET", Outcome.UNAVAILABLE),
        (401, -2015, "Invalid API-key, IP, or permissions for action.", "GET", Outcome.KEY_INVALID),
        (400, -9999, "What a future Binance may say.", "GET", Outcome.UNAVAILABLE),
    ],
)
@pytest.mark.fault("E25", "E26", "E35")
def test_an_answer_to_a_read_or_a_cancel_means(
    status: int, code: int | None, message: str, method: str, meaning: Outcome
) -> None:
    assert classify(status=status, code=code, message=message, method=method) == meaning


@given(status=st.integers(500, 599), code=st.none() | st.integers(-9999, -1), message=st.text(max_size=80))
@pytest.mark.fault("E09", "E10", "E11")
def test_no_server_error_ever_proves_anything_about_an_order(status: int, code: int | None, message: str) -> None:
    assert classify(status=status, code=code, message=message, method="POST") == Outcome.UNKNOWN


@given(code=st.integers(-9999, -5000), message=st.text(max_size=80), status=st.integers(400, 417))
def test_a_code_that_nobody_knows_proves_nothing(code: int, message: str, status: int) -> None:
    assert classify(status=status, code=code, message=message, method="POST") not in PROVEN_REFUSALS


@pytest.mark.fault("E18", "O06")
def test_a_dead_key_is_never_taken_for_a_rate_limit() -> None:
    assert Outcome.KEY_INVALID in HALTING
    assert Outcome.BACKOFF_WEIGHT not in HALTING


@given(st.text(max_size=200))
def test_any_body_is_read_without_trouble(body: str) -> None:
    code, message = error_of(body)
    assert code is None or isinstance(code, int)
    assert isinstance(message, str)


def test_code_and_message_come_from_the_body() -> None:
    assert error_of(json.dumps({"code": -2010, "msg": "Duplicate order sent."})) == (-2010, "Duplicate order sent.")
    assert error_of('{"symbol":"BTCUS') == (None, '{"symbol":"BTCUS')
    assert error_of('[{"code":-2011}]')[0] is None


def test_a_refusal_in_words_that_nobody_knows_proves_nothing_of_an_order() -> None:
    """An exchange may find new words for -2010: of what was sent nothing is known then, and what was read is not there."""
    assert classify(status=400, code=-2010, message="Something new.", method="POST") == Outcome.UNKNOWN
    assert classify(status=400, code=-2010, message="Something new.", method="DELETE") == Outcome.UNKNOWN
    assert classify(status=400, code=-2010, message="Something new.", method="GET") == Outcome.UNAVAILABLE
