"""What Coinbase says and what we say to it, where the contract alone would not show it."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from exchange.coinbase import answers
from exchange.coinbase.classifier import classify, error_of, refused_cancel, refused_order
from exchange.coinbase.trading import CoinbaseTrading
from exchange.errors import HALTING, PROVEN_REFUSALS, AccountNotOurs, AnswerNotOurs, ExchangeTrouble, Outcome
from exchange.ports import OrderTicket, StreamGap
from exchange.profiles import COINBASE
from exchange.rights import trouble_with
from exchange.values import check_submitted
from trading.orders import ExchangeStatus

TICKET = OrderTicket(client_order_id="t1-1-1-aa", symbol="BTC-USD", side="sell", type="MARKET", quantity=Decimal("0.2"))
ORDER: dict[str, Any] = {
    "order_id": "52cfe5e2", "product_id": "BTC-USD", "side": "SELL", "client_order_id": "t1-1-1-aa", "status": "OPEN",
    "order_configuration": {"limit_limit_gtc": {"base_size": "0.2", "limit_price": "70000", "post_only": False}},
    "created_time": "2023-01-16T23:37:23.947030Z", "filled_size": "0.05", "filled_value": "3500", "total_fees": "21",
}  # fmt: skip
FILL: dict[str, Any] = {
    "entry_id": "e1", "trade_id": "t", "order_id": "52cfe5e2", "trade_time": "2023-01-16T23:37:24.123456789Z", "price": "70000",
    "size": "0.05", "commission": "21", "product_id": "BTC-USD", "liquidity_indicator": "MAKER", "side": "SELL",
}  # fmt: skip


@pytest.mark.parametrize(
    ("status", "body", "method", "outcome"),
    [
        (400, '{"error":"INVALID_ARGUMENT","message":"Invalid product_id"}', "POST", Outcome.REJECTED_REQUEST),
        (401, "Unauthorized", "POST", Outcome.KEY_INVALID),
        (401, '{"errors":[{"id":"authentication_error","message":"request timestamp expired"}]}', "GET", Outcome.REJECTED_TIME),
        (403, '{"error":"PERMISSION_DENIED","message":"Missing required scopes"}', "POST", Outcome.REJECTED_ACCOUNT),
        (403, "<html>Forbidden</html>", "GET", Outcome.BLOCKED),
        (404, '{"error":"NOT_FOUND","error_details":"order with this orderID was not found"}', "GET", Outcome.NOT_VISIBLE),
        (429, '{"error":"RESOURCE_EXHAUSTED"}', "POST", Outcome.BACKOFF_WEIGHT),
        (400, '{"error":"WORDS_NOBODY_KNOWS"}', "POST", Outcome.UNKNOWN),
        (400, '{"error":"WORDS_NOBODY_KNOWS"}', "GET", Outcome.UNAVAILABLE),
        (400, "<html>Bad Request</html>", "POST", Outcome.UNKNOWN),
        (500, '{"error":"INVALID_ARGUMENT"}', "POST", Outcome.UNKNOWN),
        (502, "<html>Bad Gateway</html>", "POST", Outcome.UNKNOWN),
        (503, "", "GET", Outcome.UNAVAILABLE),
        (200, "<html>maintenance</html>", "POST", Outcome.UNKNOWN),
        (200, '{"success": tr', "POST", Outcome.UNKNOWN),
        (200, "[" * 100_000, "POST", Outcome.UNKNOWN),
    ],
)
def test_an_answer_means_what_it_proves(status: int, body: str, method: str, outcome: Outcome) -> None:
    error, message = error_of(body)
    assert classify(status=status, error=error, message=message, method=method) == outcome


@pytest.mark.parametrize(
    ("reasons", "outcome"),
    [
        (["UNKNOWN_FAILURE_REASON", "PREVIEW_INSUFFICIENT_FUND"], Outcome.REJECTED_FUNDS),
        (["INVALID_LIMIT_PRICE_POST_ONLY"], Outcome.REJECTED_PRICE),
        (["UNKNOWN_FAILURE_REASON", "PREVIEW_STOP_PRICE_ABOVE_LAST_TRADE_PRICE"], Outcome.STOP_WOULD_TRIGGER),
        (["INVALID_SIZE_PRECISION"], Outcome.REJECTED_FILTER),
        (["UNTRADABLE_PRODUCT"], Outcome.REJECTED_MARKET),
        (["GEOFENCING_RESTRICTION"], Outcome.REJECTED_ACCOUNT),
        (["UNKNOWN_FAILURE_REASON"], Outcome.UNKNOWN),
        (["COMMANDER_REJECTED_NEW_ORDER"], Outcome.UNKNOWN),
        ([], Outcome.UNKNOWN),
    ],
)
def test_an_order_that_was_not_made_says_why_or_proves_nothing(reasons: list[str], outcome: Outcome) -> None:
    assert refused_order(reasons) == outcome
    said = dict(zip(("error", "preview_failure_reason"), reasons, strict=False))
    with pytest.raises(ExchangeTrouble) as trouble:
        answers.accepted({"success": False, "error_response": said}, TICKET)
    assert trouble.value.outcome == outcome
    assert trouble.value.is_proven_refusal == (outcome in PROVEN_REFUSALS)


def test_a_cancel_that_was_refused_says_what_to_do() -> None:
    assert refused_cancel("ORDER_IS_FULLY_FILLED") == Outcome.QUERY
    assert refused_cancel("NOT_ALLOWED_TO_CANCEL") == Outcome.STILL_LIVE
    assert refused_cancel("UNKNOWN_CANCEL_FAILURE_REASON") == Outcome.UNKNOWN
    unreadable: list[Any] = [{}, {"results": []}, {"results": [{"order_id": "another", "success": True}]}, None]
    for answer in unreadable:
        with pytest.raises(ExchangeTrouble) as trouble:
            answers.check_cancelled(answer, "52cfe5e2")
        assert trouble.value.outcome == Outcome.UNKNOWN


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, {"market_market_ioc": {"base_size": "0.2"}}),
        (
            {"type": "LIMIT", "time_in_force": "IOC", "price": Decimal("69000.50")},
            {"sor_limit_ioc": {"base_size": "0.2", "limit_price": "69000.5"}},
        ),
        (
            {"type": "LIMIT_MAKER", "price": Decimal(70000)},
            {"limit_limit_gtc": {"base_size": "0.2", "limit_price": "70000", "post_only": True}},
        ),
        (
            {"type": "STOP_LOSS", "stop_price": Decimal("60000.010000000000000000")},
            {
                "stop_limit_stop_limit_gtc": {
                    "base_size": "0.2",
                    "limit_price": "57000",
                    "stop_price": "60000.01",
                    "stop_direction": "STOP_DIRECTION_STOP_DOWN",
                }
            },
        ),
    ],
)
def test_orders_are_written_as_the_exchange_wants_them(fields: dict[str, Any], expected: dict[str, Any]) -> None:
    assert answers.order_parameters(replace(TICKET, **fields)) == {
        "client_order_id": "t1-1-1-aa",
        "product_id": "BTC-USD",
        "side": "SELL",
        "order_configuration": expected,
    }


def test_an_order_that_the_exchange_does_not_know_never_leaves() -> None:
    ticket = OrderTicket(client_order_id="n", symbol="BTC-USD", side="buy", type="TAKE_PROFIT", quantity=Decimal(1))
    with pytest.raises(ExchangeTrouble) as trouble:
        answers.order_parameters(ticket)
    assert trouble.value.outcome == Outcome.REJECTED_LOCAL


def test_orders_and_trades_are_read_to_the_last_digit() -> None:
    report = answers.order_report(ORDER)
    assert (report.status, report.quantity, report.executed_quantity) == (
        ExchangeStatus.PARTIALLY_FILLED,
        Decimal("0.2"),
        Decimal("0.05"),
    )
    check_submitted(report, TICKET)
    [trade] = answers.trade_reports([FILL], {"52cfe5e2": "t1-1-1-aa"})
    assert (trade.quantity, trade.quote_quantity, trade.fee, trade.fee_asset) == (
        Decimal("0.05"),
        Decimal(3500),
        Decimal(21),
        "USD",
    )
    assert (trade.is_maker, trade.client_order_id, trade.traded_at.microsecond) == (True, "t1-1-1-aa", 123456)
    wrongs: list[dict[str, Any]] = [{"status": "DREAMING"}, {"filled_size": 0.05}, {"filled_size": "0.3"}, {"side": None}]
    for wrong in [*wrongs, {"order_configuration": {}}]:
        with pytest.raises(ExchangeTrouble) as trouble:
            answers.order_report(ORDER | wrong)
        assert trouble.value.outcome == Outcome.UNKNOWN
    with pytest.raises(ExchangeTrouble):
        answers.trade_reports([FILL | {"price": "0"}], {})
    with pytest.raises(AnswerNotOurs):
        check_submitted(answers.order_report(ORDER | {"side": "BUY"}), TICKET)


def test_trades_have_numbers_in_the_order_of_their_moments(monkeypatch: pytest.MonkeyPatch) -> None:
    later = FILL | {"entry_id": "e0", "trade_time": "2023-01-16T23:37:24.124000Z"}
    fills = [later, FILL | {"entry_id": "e2"}, FILL]
    numbers = [trade.trade_id for trade in answers.trade_reports(fills, {})]
    assert numbers == sorted(set(numbers)) == [trade.trade_id for trade in answers.trade_reports(fills[::-1], {})]
    assert numbers[-1] < 2**63
    assert answers.begin_of(numbers[0]) == "2023-01-16T23:37:24.123Z"
    # Even where two names share all their bits, no trade is lost.
    monkeypatch.setattr(answers, "trade_number", lambda _traded, _name: 7)
    assert [trade.trade_id for trade in answers.trade_reports(fills, {})] == [7, 8, 9]


def test_a_key_that_may_transfer_or_says_nothing_is_refused() -> None:
    good = {"can_view": True, "can_trade": True, "can_transfer": False}
    assert trouble_with(answers.key_permissions(good), role="trade") == ""
    for raw in (good | {"can_transfer": True}, {"can_view": True, "can_trade": True}):
        assert "may withdraw" in trouble_with(answers.key_permissions(raw), role="trade")


async def test_a_message_that_is_missing_or_an_order_without_a_number_is_a_gap() -> None:
    port = CoinbaseTrading(profile=COINBASE, key="k", secret="s")
    wire = port._connection.wire
    for number in (0, 1, 3):
        wire.handle_message(None, {"channel": "heartbeats", "sequence_num": number})
    gap = await port._events.get()
    assert isinstance(gap, StreamGap)
    assert "2 to 2 are missing" in gap.reason
    wire.handle_message(None, {"channel": "user", "sequence_num": 4, "events": [{"type": "update", "orders": [{}]}]})
    assert isinstance(await port._events.get(), StreamGap)
    await port.close()


def test_balances_of_another_portfolio_are_not_ours() -> None:
    rows = [{"currency": "USD", "retail_portfolio_id": "ours"}]
    answers.check_portfolio(rows, uid="ours")
    answers.check_portfolio(rows, uid="")
    with pytest.raises(AccountNotOurs, match="portfolio ours, not to another"):
        answers.check_portfolio(rows, uid="another")
    with pytest.raises(AccountNotOurs, match="without a number"):
        answers.check_portfolio([], uid="ours")


def test_what_halts_is_what_only_a_person_can_mend() -> None:
    assert classify(status=401, error="", message="", method="GET") in HALTING
