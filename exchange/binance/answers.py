"""Read Binance's raw answers into exact values; never through a float."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from exchange.errors import AccountNotOurs
from exchange.ports import (
    ClosedCandle,
    FlowReport,
    KeyPermissions,
    Listing,
    OrderTicket,
    RecordedFlow,
    TransferReport,
    UserEvent,
)
from exchange.values import UNREADABLE, ZERO, balances, exact, moment, plain, positive, sound, unreadable
from trading.instruments import Instrument
from trading.orders import BalanceReport, ExchangeStatus, OrderReport, Side, TradeReport

Raw = Mapping[str, Any]
_STATUS: Final = {
    "NEW": ExchangeStatus.NEW,
    "PENDING_NEW": ExchangeStatus.NEW,
    "PENDING_CANCEL": ExchangeStatus.NEW,
    "PARTIALLY_FILLED": ExchangeStatus.PARTIALLY_FILLED,
    "FILLED": ExchangeStatus.FILLED,
    "CANCELED": ExchangeStatus.CANCELED,
    "REJECTED": ExchangeStatus.REJECTED,
    "EXPIRED": ExchangeStatus.EXPIRED,
    "EXPIRED_IN_MATCH": ExchangeStatus.EXPIRED,
}
# Statuses of deposits: 1 success, 6 credited but not to be withdrawn yet; pending, waiting or wrong ones may still become one.
_CREDITED: Final = frozenset((1, 6))
_DEPOSITS_ENDED: Final = frozenset((1, 2))
# Of withdrawals: 2 awaiting approval, 4 processing, 6 completed; 1 cancelled, 3 rejected, 5 failed.
_TAKEN: Final = frozenset((2, 4, 6))
_WITHDRAWALS_ENDED: Final = frozenset((1, 3, 5, 6))
# What the user stream is documented to send; of these only three say anything about money.
EVENTS_KNOWN: Final = frozenset(
    (
        "executionReport", "outboundAccountPosition", "balanceUpdate", "listStatus", "externalLockUpdate",
        "eventStreamTerminated", "serverShutdown",
    )
)  # fmt: skip


def order_parameters(ticket: OrderTicket) -> dict[str, str]:
    """Write an order as the exchange wants it."""
    parameters = {
        "symbol": ticket.symbol,
        "side": ticket.side.upper(),
        "type": ticket.type,
        "quantity": plain(ticket.quantity),
        "newClientOrderId": ticket.client_order_id,
        "newOrderRespType": "FULL",
    }
    if ticket.time_in_force:
        parameters["timeInForce"] = ticket.time_in_force
    if ticket.price is not None:
        parameters["price"] = plain(ticket.price)
    if ticket.stop_price is not None:
        parameters["stopPrice"] = plain(ticket.stop_price)
    if ticket.self_trade_prevention:
        parameters["selfTradePreventionMode"] = ticket.self_trade_prevention
    return parameters


def order_report(raw: Raw) -> OrderReport:
    """Read an order. In the answer to a cancel our own name is the original one."""
    try:
        at = raw.get("transactTime") or raw.get("updateTime") or raw["time"]
        return sound(
            OrderReport(
                client_order_id=str(raw.get("origClientOrderId") or raw["clientOrderId"]),
                exchange_order_id=str(raw["orderId"]),
                symbol=raw["symbol"],
                side=Side(raw["side"].lower()),
                status=_STATUS[raw["status"]],
                quantity=exact(raw["origQty"]),
                executed_quantity=exact(raw["executedQty"]),
                # Below zero means "not kept" for very old orders: then only the trades tell.
                executed_quote=max(ZERO, exact(raw["cummulativeQuoteQty"])),
                market_at=moment(at),
                update_id=int(at),
            )
        )
    except UNREADABLE as error:
        raise unreadable("an order", raw, error) from error


def trades_of_answer(raw: Raw, report: OrderReport) -> tuple[TradeReport, ...]:
    """Read the trades inside a FULL answer to a new order: it took them all."""
    try:
        return tuple(
            TradeReport(
                symbol=report.symbol,
                trade_id=int(fill["tradeId"]),
                exchange_order_id=report.exchange_order_id,
                client_order_id=report.client_order_id,
                side=report.side,
                price=positive(fill["price"]),
                quantity=positive(fill["qty"]),
                quote_quantity=exact(fill["price"]) * exact(fill["qty"]),
                fee=exact(fill["commission"]),
                fee_asset=fill["commissionAsset"],
                is_maker=False,
                traded_at=report.market_at,
            )
            for fill in raw.get("fills", ())
        )
    except UNREADABLE as error:
        raise unreadable("trades", raw, error) from error


def trade_report(raw: Raw) -> TradeReport:
    """Read a trade of the account's history; it names its order by the exchange's number alone."""
    try:
        return TradeReport(
            symbol=raw["symbol"],
            trade_id=int(raw["id"]),
            exchange_order_id=str(raw["orderId"]),
            client_order_id=None,
            side=Side.BUY if raw["isBuyer"] else Side.SELL,
            price=positive(raw["price"]),
            quantity=positive(raw["qty"]),
            quote_quantity=positive(raw["quoteQty"]),
            fee=exact(raw["commission"]),
            fee_asset=raw["commissionAsset"],
            is_maker=bool(raw["isMaker"]),
            traded_at=moment(raw["time"]),
        )
    except UNREADABLE as error:
        raise unreadable("a trade", raw, error) from error


def balance_report(raw: Raw) -> BalanceReport:
    """Read what the account holds."""
    try:
        rows = [(row["asset"], exact(row["free"]), exact(row["locked"])) for row in raw["balances"]]
    except UNREADABLE as error:
        raise unreadable("balances", raw, error) from error
    return balances(rows)


def check_account(raw: Raw, *, uid: str) -> None:
    """Refuse an answer about another account than the one we are bound to; an account of unknown number is not checked."""
    told = str(raw.get("uid", ""))
    if uid and told != uid:
        raise AccountNotOurs(f"This key belongs to the exchange's account {told or 'without a number'}, not to {uid}.")


def transfer_report(raw: Raw) -> TransferReport:
    """Read a transfer between accounts of one family."""
    try:
        return TransferReport(
            exchange_id=str(raw["tranId"]),
            client_id=str(raw.get("clientTranId") or ""),
            asset=raw["asset"],
            amount=exact(raw["amount"]),
            is_done=raw["status"] == "SUCCESS",
            is_failed=raw["status"] == "FAILURE",
        )
    except UNREADABLE as error:
        raise unreadable("a transfer", raw, error) from error


def deposit(raw: Raw) -> RecordedFlow:
    """Read a deposit of the account's history."""
    try:
        status = int(raw["status"])
        cleared_at = moment(raw["completeTime"]) if status in _CREDITED and raw.get("completeTime") else None
        return RecordedFlow(
            number=str(raw.get("id") or raw["txId"]),
            asset=raw["coin"],
            amount=positive(raw["amount"]),
            began_at=moment(raw["insertTime"]),
            cleared_at=cleared_at,
            has_moved=status in _CREDITED,
            is_final=status in _DEPOSITS_ENDED,
        )
    except UNREADABLE as error:
        raise unreadable("a deposit", raw, error) from error


def withdrawal(raw: Raw) -> RecordedFlow:
    """Read a withdrawal of the account's history: what was taken is what arrives elsewhere and the fee."""
    try:
        status = int(raw["status"])
        return RecordedFlow(
            number=str(raw["id"]),
            asset=raw["coin"],
            amount=-positive(raw["amount"]) - exact(raw.get("transactionFee") or 0),
            began_at=datetime.strptime(raw["applyTime"], "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC),
            # When it arrives elsewhere is told; when it was taken is not.
            cleared_at=None,
            has_moved=status in _TAKEN,
            is_final=status in _WITHDRAWALS_ENDED,
        )
    except UNREADABLE as error:
        raise unreadable("a withdrawal", raw, error) from error


def key_permissions(raw: Raw) -> KeyPermissions:
    """Read what a key may do; what is not said counts as allowed, so that silence is refused."""
    if not isinstance(raw, Mapping):
        raise unreadable("permissions", raw, TypeError("no object"))
    return KeyPermissions(
        can_read=bool(raw.get("enableReading", False)),
        can_trade=bool(raw.get("enableSpotAndMarginTrading", False)),
        can_withdraw=bool(raw.get("enableWithdrawals", True)),
        can_transfer=bool(raw.get("enableInternalTransfer", True)) or bool(raw.get("permitsUniversalTransfer", True)),
        is_ip_restricted=bool(raw.get("ipRestrict", False)),
    )


def user_events(raw: Raw) -> list[UserEvent]:
    """Read an event of the user stream; kinds that say nothing about money come back empty."""
    kind = raw.get("e")
    try:
        if kind == "executionReport":
            return _execution(raw)
        if kind == "outboundAccountPosition":
            return [balances((row["a"], exact(row["f"]), exact(row["l"])) for row in raw["B"])]
        if kind == "balanceUpdate":
            reference = f"{raw['a']}:{raw['T']}:{raw['E']}:{raw['d']}"
            return [FlowReport(raw["a"], exact(raw["d"]), moment(raw["T"]), reference)]
    except UNREADABLE as error:
        raise unreadable("an event", raw, error) from error
    return []


def listings(raw: Any) -> list[Listing]:
    """Read every instrument that can be traded on the spot market."""
    try:
        rows = [row for row in raw["symbols"] if row.get("isSpotTradingAllowed", True)]
        of_all = {row["filterType"]: row for row in raw.get("exchangeFilters", ())}
    except UNREADABLE as error:
        raise unreadable("listings", raw, error) from error
    return [listing(row, of_all) for row in rows]


def listing(raw: Raw, of_all: Mapping[str, Any] | None = None) -> Listing:
    """Read an instrument with its filters and with those that hold for all symbols together."""
    try:
        filters = {**(of_all or {}), **{row["filterType"]: row for row in raw["filters"]}}
        filters["SELF_TRADE_PREVENTION"] = {"modes": list(raw.get("allowedSelfTradePreventionModes", ()))}
        lot = filters["LOT_SIZE"]
        notional = filters.get("NOTIONAL") or filters.get("MIN_NOTIONAL") or {}
        instrument = Instrument(
            symbol=f"{raw['baseAsset']}/{raw['quoteAsset']}",
            base=raw["baseAsset"],
            quote=raw["quoteAsset"],
            tick_size=exact(filters["PRICE_FILTER"]["tickSize"]),
            lot_size=exact(lot["stepSize"]),
            min_quantity=exact(lot["minQty"]),
            max_quantity=exact(lot["maxQty"]),
            min_notional=exact(notional.get("minNotional", "0")),
        )
        order_count_max = int(filters.get("MAX_NUM_ORDERS", {}).get("maxNumOrders", 200))
        return Listing(instrument, raw["symbol"], filters, order_count_max, raw["status"] == "TRADING")
    except UNREADABLE as error:
        raise unreadable("an instrument", raw, error) from error


def weight_limit(raw: Any) -> int | None:
    """Read how much request weight a minute allows."""
    try:
        for row in raw.get("rateLimits", ()):
            if (row["rateLimitType"], row["interval"], row["intervalNum"]) == ("REQUEST_WEIGHT", "MINUTE", 1):
                return int(row["limit"])
    except UNREADABLE as error:
        raise unreadable("limits", raw, error) from error
    return None


def candle(symbol: str, interval: str, row: Any) -> ClosedCandle:
    """Read a row of klines; candles are floats, because they decide and never account."""
    try:
        return ClosedCandle(symbol, interval, int(row[0]), *(float(field) for field in row[1:6]))
    except UNREADABLE as error:
        raise unreadable("a candle", row, error) from error


def _execution(raw: Raw) -> list[UserEvent]:
    # A cancel carries the name of the cancel itself in `c` and our order's in `C`.
    name = raw["C"] if raw["x"] == "CANCELED" and raw.get("C") else raw["c"]
    report = sound(
        OrderReport(
            client_order_id=str(name),
            exchange_order_id=str(raw["i"]),
            symbol=raw["s"],
            side=Side(raw["S"].lower()),
            status=_STATUS[raw["X"]],
            quantity=exact(raw["q"]),
            executed_quantity=exact(raw["z"]),
            executed_quote=max(ZERO, exact(raw["Z"])),
            market_at=moment(raw["T"]),
            update_id=int(raw["T"]),
        )
    )
    if raw["x"] != "TRADE":
        return [report]
    trade = TradeReport(
        symbol=report.symbol,
        trade_id=int(raw["t"]),
        exchange_order_id=report.exchange_order_id,
        client_order_id=report.client_order_id,
        side=report.side,
        price=positive(raw["L"]),
        quantity=positive(raw["l"]),
        quote_quantity=positive(raw["Y"]),
        fee=exact(raw["n"] or 0),
        fee_asset=raw["N"] or "",
        is_maker=bool(raw["m"]),
        traded_at=report.market_at,
    )
    return [trade, report]
