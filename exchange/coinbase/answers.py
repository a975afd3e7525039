"""Write orders as Coinbase wants them and read its raw answers into exact values; never through a float."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from exchange.coinbase.classifier import refused_cancel, refused_order
from exchange.errors import AccountNotOurs, ExchangeTrouble, Outcome
from exchange.ports import KeyPermissions, Listing, OrderTicket
from exchange.values import UNREADABLE, ZERO, balances, exact, plain, positive, sound, unreadable
from trading.instruments import Instrument
from trading.orders import BalanceReport, ExchangeStatus, OrderReport, Side, TradeReport

Raw = Mapping[str, Any]
_STATUS: Final = {
    "PENDING": ExchangeStatus.NEW,
    "QUEUED": ExchangeStatus.NEW,
    "OPEN": ExchangeStatus.NEW,
    "CANCEL_QUEUED": ExchangeStatus.NEW,
    "EDIT_QUEUED": ExchangeStatus.NEW,
    "FILLED": ExchangeStatus.FILLED,
    "CANCELLED": ExchangeStatus.CANCELED,
    "EXPIRED": ExchangeStatus.EXPIRED,
    "FAILED": ExchangeStatus.REJECTED,
}
# It has no stop that sells at any price: ours are limits so far beyond the stop that they meet what is there.
_STOP_REACH: Final = Decimal("0.05")
# A trade's number is its millisecond and so many bits of its name: trades have names there, our books want numbers in order.
_NAME_BITS: Final = 22
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_ORDERS_MAX: Final = 500
_SMALLEST: Final = Decimal("0.00000001")


def order_parameters(ticket: OrderTicket) -> dict[str, Any]:
    """Write an order as the exchange wants it."""
    return {
        "client_order_id": ticket.client_order_id,
        "product_id": ticket.symbol,
        "side": ticket.side.upper(),
        "order_configuration": _configuration(ticket),
    }


def accepted(raw: Any, ticket: OrderTicket) -> str:
    """Return the number of an order that was made; raise for one that was not, and for an answer about another one."""
    try:
        if raw["success"] is not True:
            said = raw["error_response"]
            names = ("error", "new_order_failure_reason", "preview_failure_reason")
            reasons = [str(said[name]) for name in names if said.get(name)]
            raise ExchangeTrouble(refused_order(reasons), f"{', '.join(reasons)}: {said.get('message', '')}"[:300])
        made = raw["success_response"]
        told = (made["client_order_id"], made["product_id"], made["side"])
        number = str(made["order_id"])
    except UNREADABLE as error:
        raise unreadable("an answer to an order", raw, error) from error
    if told != (ticket.client_order_id, ticket.symbol, ticket.side.upper()) or not number:
        raise ExchangeTrouble(Outcome.UNKNOWN, f"{ticket.client_order_id} was sent, told about {told}.")
    return number


def check_cancelled(raw: Any, number: str) -> None:
    """Raise unless the exchange has taken the cancel of this order."""
    try:
        [said] = [row for row in raw["results"] if row["order_id"] == number]
        is_taken, reason = said["success"], str(said.get("failure_reason", ""))
    except UNREADABLE as error:
        raise unreadable("an answer to a cancel", raw, error) from error
    if is_taken is not True:
        raise ExchangeTrouble(refused_cancel(reason), f"{number} is not cancelled: {reason}")


def order_report(raw: Any) -> OrderReport:
    """Read an order."""
    try:
        executed = exact(raw["filled_size"])
        status = _STATUS[raw["status"]]
        if status == ExchangeStatus.NEW and executed > ZERO:
            status = ExchangeStatus.PARTIALLY_FILLED
        at = moment(raw.get("last_update_time") or raw.get("last_fill_time") or raw["created_time"])
        return sound(
            OrderReport(
                client_order_id=str(raw["client_order_id"]),
                exchange_order_id=str(raw["order_id"]),
                symbol=raw["product_id"],
                side=Side(raw["side"].lower()),
                status=status,
                quantity=_size(raw, executed, status),
                executed_quantity=executed,
                executed_quote=exact(raw["filled_value"]),
                market_at=at,
                update_id=_milliseconds(at),
            )
        )
    except UNREADABLE as error:
        raise unreadable("an order", raw, error) from error


def trade_reports(fills: Iterable[Raw], names: Mapping[str, str]) -> list[TradeReport]:
    """Read trades, oldest first; `names` are ours for the exchange's order numbers, where they are known."""
    found: dict[int, TradeReport] = {}
    try:
        for raw in sorted(fills, key=lambda row: (row["trade_time"], row["entry_id"])):
            number = trade_number(raw["trade_time"], raw["entry_id"])
            while number in found:
                # Two names of one millisecond that share their bits; sorted, both are always told apart alike.
                number += 1
            found[number] = _trade(raw, number, names)
    except UNREADABLE as error:
        raise unreadable("trades", list(fills)[:1], error) from error
    return [found[number] for number in sorted(found)]


def trade_number(traded: str, name: str) -> int:
    """Make a trade's number of when it was and what it is called."""
    bits = int.from_bytes(hashlib.sha256(name.encode()).digest()[:4]) % 2**_NAME_BITS
    return (_milliseconds(moment(traded)) << _NAME_BITS) + bits


def begin_of(trade: int) -> str:
    """Write the moment of a trade's number, as the exchange wants moments."""
    at = _EPOCH + timedelta(milliseconds=trade >> _NAME_BITS)
    return at.strftime("%Y-%m-%dT%H:%M:%S.") + f"{at.microsecond // 1000:03}Z"


def balance_report(accounts: Iterable[Raw]) -> BalanceReport:
    """Read what the accounts of a portfolio hold; what lies in a vault cannot be traded with."""
    free: dict[str, Decimal] = {}
    held: dict[str, Decimal] = {}
    try:
        for row in accounts:
            if row.get("type") != "ACCOUNT_TYPE_VAULT":
                asset = str(row["currency"])
                free[asset] = free.get(asset, ZERO) + exact(row["available_balance"]["value"])
                held[asset] = held.get(asset, ZERO) + exact(row["hold"]["value"])
    except UNREADABLE as error:
        raise unreadable("balances", row, error) from error
    return balances((asset, free[asset], held[asset]) for asset in sorted(free))


def check_portfolio(accounts: Iterable[Raw], *, uid: str) -> None:
    """Refuse balances of another portfolio than the one we are bound to; an account of unknown number is not checked."""
    told = {str(row.get("retail_portfolio_id", "")) for row in accounts}
    if uid and told != {uid}:
        raise AccountNotOurs(f"This key belongs to the portfolio {', '.join(sorted(told)) or 'without a number'}, not to {uid}.")


def key_permissions(raw: Any) -> KeyPermissions:
    """Read what a key may do; who may transfer may send coins away, and what is not said counts as allowed."""
    if not isinstance(raw, Mapping):
        raise unreadable("permissions", raw, TypeError("no object"))
    may_send = bool(raw.get("can_transfer", True))
    can_read, can_trade = bool(raw.get("can_view", False)), bool(raw.get("can_trade", False))
    return KeyPermissions(can_read, can_trade, can_withdraw=may_send, can_transfer=may_send, is_ip_restricted=False)


def listings(products: Iterable[Raw]) -> list[Listing]:
    """Read every instrument of the spot market."""
    return [_listing(raw) for raw in products if raw.get("product_type", "SPOT") == "SPOT"]


def moment(text: Any) -> datetime:
    """Read a moment; what is finer than a microsecond is cut off."""
    at = datetime.fromisoformat(str(text))
    if at.tzinfo is None:
        raise ValueError(f"{text!r} has no zone")
    return at.astimezone(UTC)


def _milliseconds(at: datetime) -> int:
    return (at - _EPOCH) // timedelta(milliseconds=1)


def _configuration(ticket: OrderTicket) -> dict[str, Any]:
    size = {"base_size": plain(ticket.quantity)}
    if ticket.type == "MARKET":
        return {"market_market_ioc": size}
    if ticket.type == "STOP_LOSS" and ticket.stop_price is not None:
        return {"stop_limit_stop_limit_gtc": size | _stop(ticket.side, ticket.stop_price)}
    if ticket.price is None or ticket.type not in ("LIMIT", "LIMIT_MAKER"):
        raise ExchangeTrouble(Outcome.REJECTED_LOCAL, f"Coinbase has no order like {ticket.type}.")
    size["limit_price"] = plain(ticket.price)
    if ticket.type == "LIMIT_MAKER":
        return {"limit_limit_gtc": size | {"post_only": True}}
    if ticket.time_in_force == "IOC":
        return {"sor_limit_ioc": size}
    if ticket.time_in_force == "FOK":
        return {"limit_limit_fok": size}
    return {"limit_limit_gtc": size | {"post_only": False}}


def _stop(side: str, stop: Decimal) -> dict[str, str]:
    is_sell = side == "sell"
    # In the stop's own last digit, which is a whole number of price steps.
    step = Decimal(1).scaleb(min(0, int(stop.normalize().as_tuple().exponent)))
    limit = stop * (1 - _STOP_REACH if is_sell else 1 + _STOP_REACH) // step * step
    way = "STOP_DIRECTION_STOP_DOWN" if is_sell else "STOP_DIRECTION_STOP_UP"
    return {"limit_price": plain(limit), "stop_price": plain(stop), "stop_direction": way}


def _size(raw: Raw, executed: Decimal, status: ExchangeStatus) -> Decimal:
    [terms] = raw["order_configuration"].values()
    if terms.get("base_size"):
        return exact(terms["base_size"])
    # Somebody's order for so much money: what it bought is all there is to know of its size.
    return executed if status == ExchangeStatus.FILLED else executed + exact(raw.get("leaves_quantity") or 0)


def _trade(raw: Raw, number: int, names: Mapping[str, str]) -> TradeReport:
    price, size = positive(raw["price"]), positive(raw["size"])
    # Of an order for so much money, which is never ours, the size is money; what rounding takes shows as a difference.
    quantity = (size / price).quantize(_SMALLEST) if raw.get("size_in_quote") else size
    return TradeReport(
        symbol=raw["product_id"],
        trade_id=number,
        exchange_order_id=str(raw["order_id"]),
        client_order_id=names.get(str(raw["order_id"])),
        side=Side(raw["side"].lower()),
        price=price,
        quantity=quantity,
        quote_quantity=size if raw.get("size_in_quote") else price * size,
        fee=exact(raw["commission"]),
        fee_asset=str(raw["product_id"]).rpartition("-")[2],
        is_maker=raw.get("liquidity_indicator") == "MAKER",
        traded_at=moment(raw["trade_time"]),
    )


def _listing(raw: Raw) -> Listing:
    try:
        instrument = Instrument(
            symbol=f"{raw['base_currency_id']}/{raw['quote_currency_id']}",
            base=raw["base_currency_id"],
            quote=raw["quote_currency_id"],
            tick_size=exact(raw.get("price_increment") or raw["quote_increment"]),
            lot_size=exact(raw["base_increment"]),
            min_quantity=exact(raw["base_min_size"]),
            max_quantity=exact(raw["base_max_size"]),
            min_notional=exact(raw["quote_min_size"]),
        )
        closed = ("is_disabled", "trading_disabled", "cancel_only", "view_only", "auction_mode")
        is_trading = not any(raw.get(name) for name in closed)
    except UNREADABLE as error:
        raise unreadable("an instrument", raw, error) from error
    return Listing(instrument, str(raw["product_id"]), {}, _ORDERS_MAX, is_trading)
