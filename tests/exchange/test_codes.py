"""Every documented code times every method; and whatever else may come over the wire."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchange.binance import answers
from exchange.classifier import banned_until_ms, classify, error_of
from exchange.errors import PROVEN_REFUSALS, ExchangeTrouble, Outcome
from tests.exchange import codes
from tests.exchange.test_answers import EXECUTION, FULL

CLIENT_STATUSES = (400, 401, 409)


def on(method: str, code: int, message: str = "", status: int = 400) -> Outcome:
    return classify(status=status, code=code, message=message, method=method)


def documented(shared_data: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((shared_data / "fixtures/binance_spot_api_docs/error_codes.json").read_text())
    return content


def test_no_code_stands_in_two_groups() -> None:
    assert len(codes.EVERY) == len(set(codes.EVERY))


def test_every_code_of_the_documentation_has_a_row(shared_data: Path) -> None:
    said = {row["code"] for row in documented(shared_data)["codes"]}
    assert said <= set(codes.EVERY)
    assert len(said) > 100


def test_every_refusal_of_the_documentation_has_a_row(shared_data: Path) -> None:
    said = {row["message"] for row in documented(shared_data)["order_reject_messages"]} - {"Error message"}
    filters = {message for message in said if message.startswith("Filter failure: ")}
    assert said - filters <= codes.REFUSALS.keys()
    for message in filters:
        slots = "MAX_NUM" in message
        for code in (-1013, -2010):
            assert on("POST", code, message) == (Outcome.REJECTED_SLOTS if slots else Outcome.REJECTED_FILTER)


@pytest.mark.fault("E10", "E11")
@pytest.mark.parametrize("status", CLIENT_STATUSES)
@pytest.mark.parametrize("code", codes.UNPROVEN)
def test_what_proves_nothing_is_no_decision(code: int, status: int) -> None:
    assert on("POST", code, status=status) == on("DELETE", code, status=status) == Outcome.UNKNOWN
    assert on("GET", code, status=status) == Outcome.UNAVAILABLE


@pytest.mark.parametrize("method", ["POST", "DELETE", "GET"])
@pytest.mark.parametrize("code", codes.MALFORMED)
def test_a_malformed_request_was_never_carried_out(code: int, method: str) -> None:
    assert on(method, code) == Outcome.REJECTED_REQUEST


@pytest.mark.fault("E17", "E18")
@pytest.mark.parametrize("method", ["POST", "DELETE", "GET"])
@pytest.mark.parametrize(("code", "meaning"), codes.NAMED.items())
def test_a_code_with_a_meaning_of_its_own(code: int, meaning: Outcome, method: str) -> None:
    assert on(method, code) == meaning


@pytest.mark.parametrize(("message", "meaning"), codes.REFUSALS.items())
def test_a_refused_order_is_told_by_its_words(message: str, meaning: Outcome) -> None:
    assert on("POST", -2010, message) == meaning
    assert on("POST", -2010, message.upper() if "MAX_NUM" not in message else message) == meaning


@given(
    code=st.sampled_from(codes.UNPROVEN) | st.integers(-99_999, 99_999).filter(lambda code: code not in codes.KNOWN),
    status=st.sampled_from((*CLIENT_STATUSES, 402, 404, 405, 410)),
    message=st.text(max_size=60),
)
def test_an_unknown_code_never_becomes_a_refusal(code: int, status: int, message: str) -> None:
    assert classify(status=status, code=code, message=message, method="POST") == Outcome.UNKNOWN


@given(
    status=st.integers(100, 399) | st.integers(500, 599),
    code=st.none() | st.sampled_from(codes.EVERY),
    words=st.text(max_size=60),
)
def test_no_status_outside_of_refusals_proves_anything(status: int, code: int | None, words: str) -> None:
    assert classify(status=status, code=code, message=words, method="POST") not in PROVEN_REFUSALS


@pytest.mark.fault("E13")
def test_a_ban_names_its_end() -> None:
    words = "Way too much request weight used; IP banned until 1659146400000. Please use WebSocket Streams."
    assert banned_until_ms(words) == 1_659_146_400_000
    assert banned_until_ms("IP banned until tomorrow") is None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=12,
)


@st.composite
def spoiled(draw: st.DrawFn, whole: dict[str, Any]) -> Any:
    """Draw an answer with some of its fields lost or replaced by anything at all."""
    answer = json.loads(json.dumps(whole))
    for name in draw(st.lists(st.sampled_from(sorted(whole)), min_size=1, max_size=4, unique=True)):
        if draw(st.booleans()):
            del answer[name]
        else:
            answer[name] = draw(JSON)
    return answer


def trouble_of(read: Callable[[], object]) -> Outcome | None:
    """Answer what reading came to: nothing, or trouble of a kind; any other exception fails the test."""
    try:
        read()
    except ExchangeTrouble as trouble:
        return trouble.outcome
    return None


PARSERS: list[Callable[[Any], object]] = [
    answers.order_report,
    answers.trade_report,
    answers.balance_report,
    answers.key_permissions,
    answers.user_events,
]


@pytest.mark.fault("E07")
@given(raw=st.dictionaries(st.text(max_size=8), JSON, max_size=6) | spoiled(FULL) | spoiled(EXECUTION))
def test_an_answer_of_any_structure_is_read_or_is_no_answer(raw: dict[str, Any]) -> None:
    for parse in [*PARSERS, answers.listing, answers.listings, answers.weight_limit]:
        assert trouble_of(partial(parse, raw)) in (None, Outcome.UNKNOWN)


@pytest.mark.fault("E07")
@given(raw=spoiled(FULL))
def test_a_spoiled_answer_to_an_order_is_never_a_refusal(raw: dict[str, Any]) -> None:
    def read() -> None:
        report = answers.order_report(raw)
        assert 0 <= report.executed_quantity <= report.quantity
        for trade in answers.trades_of_answer(raw, report):
            assert min(trade.price, trade.quantity) > 0

    assert trouble_of(read) in (None, Outcome.UNKNOWN)


@pytest.mark.fault("E07")
@given(body=st.binary(max_size=300))
def test_any_bytes_are_an_error_without_a_code_or_with_an_honest_one(body: bytes) -> None:
    text = body.decode("utf-8", "replace")
    code, message = error_of(text)
    if code is not None:
        assert json.loads(text)["code"] == code
    assert classify(status=200, code=code, message=message, method="POST") == Outcome.UNKNOWN


@given(row=JSON)
def test_no_row_of_candles_ends_the_feed(row: Any) -> None:
    assert trouble_of(lambda: answers.candle("BTC/USDT", "5m", row)) in (None, Outcome.UNKNOWN)
