"""Binance's answers become exact values, or no answer at all."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from exchange.binance import answers
from exchange.errors import AnswerNotOurs, ExchangeTrouble, Outcome
from exchange.ports import FlowReport, OrderTicket
from exchange.values import check_submitted
from trading.orders import BalanceReport, ExchangeStatus, OrderReport, Side, TradeReport

FULL = {
    "symbol": "BTCUSDT", "orderId": 28, "orderListId": -1, "clientOrderId": "t1-1-1-aa", "transactTime": 1507725176595,
    "price": "0.00000000", "origQty": "10.00000000", "executedQty": "10.00000000", "cummulativeQuoteQty": "39998.00000000",
    "status": "FILLED", "timeInForce": "GTC", "type": "MARKET", "side": "SELL",
    "fills": [
        {"price": "4000.00000000", "qty": "9.00000000", "commission": "36.00000000", "commissionAsset": "USDT", "tradeId": 56},
        {"price": "3998.00000000", "qty": "1.00000000", "commission": "3.99800000", "commissionAsset": "USDT", "tradeId": 57},
    ],
}  # fmt: skip
EXECUTION = {
    "e": "executionReport", "E": 1499405658658, "s": "ETHBTC", "c": "t1-1-1-aa", "S": "BUY", "o": "LIMIT", "f": "GTC",
    "q": "1.00000000", "p": "0.10264410", "C": "", "x": "TRADE", "X": "PARTIALLY_FILLED", "r": "NONE", "i": 4293153,
    "l": "0.40000000", "z": "0.40000000", "L": "0.10264410", "n": "0.00040000", "N": "ETH", "T": 1499405658657, "t": 17,
    "m": True, "Z": "0.04105764", "Y": "0.04105764", "Q": "0.00000000",
}  # fmt: skip
TICKET = OrderTicket(client_order_id="t1-1-1-aa", symbol="BTCUSDT", side="sell", type="MARKET", quantity=Decimal(10))


def changed(raw: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return raw | fields


def test_a_full_answer_is_read_to_the_last_digit() -> None:
    report = answers.order_report(FULL)
    assert (report.status, report.side, report.executed_quote) == (ExchangeStatus.FILLED, Side.SELL, Decimal("39998.00000000"))
    trades = answers.trades_of_answer(FULL, report)
    assert [trade.trade_id for trade in trades] == [56, 57]
    assert sum(trade.quote_quantity for trade in trades) == report.executed_quote
    check_submitted(report, TICKET)


@pytest.mark.parametrize(
    "field", [{"clientOrderId": "other"}, {"symbol": "ETHUSDT"}, {"side": "BUY"}, {"origQty": "11.00000000"}], ids=str
)
def test_an_answer_that_does_not_repeat_the_order_is_refused(field: dict[str, str]) -> None:
    with pytest.raises(AnswerNotOurs):
        check_submitted(answers.order_report(changed(FULL, **field)), TICKET)


@pytest.mark.parametrize(
    "field", [{"executedQty": 10.0}, {"executedQty": "NaN"}, {"status": "DREAMING"}, {"side": None}], ids=str
)
def test_what_cannot_be_read_exactly_is_no_answer(field: dict[str, Any]) -> None:
    with pytest.raises(ExchangeTrouble) as caught:
        answers.order_report(changed(FULL, **field))
    assert caught.value.outcome == Outcome.UNKNOWN
    assert not caught.value.is_proven_refusal


def test_the_answer_to_a_cancel_carries_our_name_as_the_original_one() -> None:
    raw = changed(FULL, status="CANCELED", origClientOrderId="t1-1-1-aa", clientOrderId="the-cancel-itself")
    assert answers.order_report(raw).client_order_id == "t1-1-1-aa"


def test_a_quote_below_zero_of_an_old_order_counts_as_not_told() -> None:
    assert answers.order_report(changed(FULL, cummulativeQuoteQty="-1.00000000")).executed_quote == 0


@pytest.mark.fault("U08")
@pytest.mark.parametrize(
    ("x", "status"),
    [("CANCELED", ExchangeStatus.CANCELED), ("EXPIRED", ExchangeStatus.EXPIRED), ("TRADE", ExchangeStatus.FILLED)],
)
def test_a_cancel_carries_our_name_as_the_original_one_and_nothing_else_does(x: str, status: ExchangeStatus) -> None:
    """`c` names the cancel itself then; in every other event it is the order, whatever `C` says."""
    names = {"c": "the-cancel-itself", "C": "t1-1-1-aa"} if x == "CANCELED" else {"c": "t1-1-1-aa", "C": ""}
    report = answers.user_events(changed(EXECUTION, x=x, X=status.name, **names))[-1]
    assert isinstance(report, OrderReport)
    assert (report.client_order_id, report.status) == ("t1-1-1-aa", status)


@pytest.mark.fault("U08")
def test_a_cancel_without_an_original_name_keeps_the_name_it_has() -> None:
    """The exchange cancels by itself and names nobody: then `c` is the order's."""
    (report,) = answers.user_events(changed(EXECUTION, x="CANCELED", X="CANCELED", C=""))
    assert isinstance(report, OrderReport)
    assert report.client_order_id == "t1-1-1-aa"


@pytest.mark.fault("U10")
def test_an_asset_may_have_any_name() -> None:
    """Listed since 2025: names in Chinese. They are balances, and fees may be paid in them."""
    event = {"e": "outboundAccountPosition", "E": 1, "u": 1, "B": [{"a": "币安人生", "f": "12.50000000", "l": "0.50000000"}]}
    (balances,) = answers.user_events(event)
    assert isinstance(balances, BalanceReport)
    assert balances.totals() == {"币安人生": Decimal(13)}
    trade = answers.user_events(changed(EXECUTION, s="币安人生USDT", N="币安人生"))[0]
    assert isinstance(trade, TradeReport)
    assert (trade.symbol, trade.fee_asset) == ("币安人生USDT", "币安人生")


def test_a_trade_event_gives_the_trade_before_the_state() -> None:
    trade, report = answers.user_events(EXECUTION)
    assert isinstance(trade, TradeReport)
    assert (trade.trade_id, trade.fee, trade.fee_asset, trade.is_maker) == (17, Decimal("0.00040000"), "ETH", True)
    assert isinstance(report, OrderReport)
    assert report.status == ExchangeStatus.PARTIALLY_FILLED


def test_a_cancel_event_is_about_the_original_order() -> None:
    raw = changed(EXECUTION, x="CANCELED", X="CANCELED", c="the-cancel-itself", C="t1-1-1-aa")
    (report,) = answers.user_events(raw)
    assert isinstance(report, OrderReport)
    assert report.client_order_id == "t1-1-1-aa"


def test_balances_and_flows_are_exact() -> None:
    position = {"e": "outboundAccountPosition", "E": 1, "u": 1, "B": [{"a": "ETH", "f": "10000.00000001", "l": "0.00000000"}]}
    (balances,) = answers.user_events(position)
    assert isinstance(balances, BalanceReport)
    assert balances.totals() == {"ETH": Decimal("10000.00000001")}
    update = {"e": "balanceUpdate", "E": 1573200697110, "a": "BTC", "d": "-100.00000000", "T": 1573200697068}
    (flow,) = answers.user_events(update)
    assert isinstance(flow, FlowReport)
    assert flow.amount == Decimal(-100)


def test_an_order_is_written_without_exponent_or_needless_zeros() -> None:
    ticket = OrderTicket(
        client_order_id="t1-1-2-aa", symbol="BTCUSDT", side="buy", type="LIMIT", quantity=Decimal("0.000010000000000000"),
        price=Decimal("50000.000000000000000000"), time_in_force="IOC",
    )  # fmt: skip
    written = answers.order_parameters(ticket)
    assert (written["quantity"], written["price"], written["newOrderRespType"]) == ("0.00001", "50000", "FULL")
    assert "stopPrice" not in written


def test_a_key_that_says_nothing_of_withdrawals_is_taken_for_one_that_can() -> None:
    assert answers.key_permissions({"enableReading": True, "enableSpotAndMarginTrading": True}).can_withdraw
