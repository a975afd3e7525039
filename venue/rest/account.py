"""Endpoints that show an account: balances, orders, fills, fees, rights."""

from typing import Any, Final

from venue.errors import ApiError, either_parameter, no_such_order
from venue.keys import READ, TRADE, TRANSFER
from venue.market.bars import DAY_MS
from venue.parameters import Parameters
from venue.payloads import account_row, commission_row, order_row, trade_row
from venue.rest.call import Call, Endpoint, by_symbol, fixed
from venue.store import Page

_FAR: Final = 2**53


async def account(call: Call) -> dict[str, Any]:
    """Show balances."""
    omit_zero = _flag(call.parameters, "omitZeroBalances")
    call.parameters.refuse_unread()
    await call.exchange.durable()
    return account_row(call.account, call.exchange.engine.tariff.rates(call.account), omit_zero=omit_zero)


async def commission(call: Call) -> dict[str, Any]:
    """Show what trading a symbol costs."""
    symbol = call.parameters.symbol()
    call.parameters.refuse_unread()
    call.exchange.engine.book(symbol)
    rates = call.exchange.engine.tariff.rates(call.account)
    return commission_row(symbol, rates, pays_in_bnb=call.account.pays_in_bnb)


async def query_order(call: Call) -> dict[str, Any]:
    """Show one order, open or not."""
    symbol, order_id = call.parameters.symbol(), call.parameters.whole("orderId")
    client_order_id = call.parameters.client_id("origClientOrderId")
    call.parameters.refuse_unread()
    call.exchange.engine.book(symbol)
    if order_id is None and client_order_id is None:
        raise either_parameter("origClientOrderId", "orderId")
    await call.exchange.durable()
    order = call.exchange.engine.find_open(call.account, symbol, order_id, client_order_id)
    order = order or call.exchange.store.order(call.account.uid, symbol, order_id, client_order_id)
    if order is None:
        raise no_such_order()
    return order_row(order)


async def open_orders(call: Call) -> list[dict[str, Any]]:
    """Show open orders, of one symbol or of all."""
    symbol = call.parameters.optional_symbol()
    call.parameters.refuse_unread()
    if symbol is not None:
        call.exchange.engine.book(symbol)
    await call.exchange.durable()
    orders = [order for order in call.account.open_orders.values() if symbol in (None, order.symbol)]
    return [order_row(order) for order in sorted(orders, key=lambda order: (order.symbol, order.order_id))]


async def all_orders(call: Call) -> list[dict[str, Any]]:
    """Show all orders of a symbol, page by page."""
    parameters = call.parameters
    symbol, order_id = parameters.symbol(), parameters.whole("orderId")
    start, end = parameters.whole("startTime"), parameters.whole("endTime")
    limit = parameters.limit(default=500, largest=1000)
    parameters.refuse_unread()
    call.exchange.engine.book(symbol)
    _check_window(start, end)
    await call.exchange.durable()
    page = Page(
        uid=call.account.uid,
        symbol=symbol,
        first_id=order_id or 0,
        start=start or 0,
        end=_FAR if end is None else end,
        limit=limit,
        forward=order_id is not None or start is not None,
    )
    return [order_row(order) for order in call.exchange.store.orders(page)]


async def my_trades(call: Call) -> list[dict[str, Any]]:
    """Show fills of a symbol, page by page."""
    parameters = call.parameters
    symbol, order_id, from_id = parameters.symbol(), parameters.whole("orderId"), parameters.whole("fromId")
    start, end = parameters.whole("startTime"), parameters.whole("endTime")
    limit = parameters.limit(default=500, largest=1000)
    parameters.refuse_unread()
    call.exchange.engine.book(symbol)
    _check_window(start, end)
    if from_id is not None and (start is not None or end is not None):
        raise ApiError(-1128, "Combination of optional parameters invalid.")
    await call.exchange.durable()
    page = Page(
        uid=call.account.uid,
        symbol=symbol,
        first_id=from_id or 0,
        start=start or 0,
        end=_FAR if end is None else end,
        limit=limit,
        forward=from_id is not None or start is not None,
        order_id=order_id,
    )
    return [trade_row(trade) for trade in call.exchange.store.trades(page)]


async def order_counts(call: Call) -> list[dict[str, Any]]:
    """Show how many orders were placed in the windows that are limited."""
    call.parameters.refuse_unread()
    rules = [rule for rule in call.exchange.limits.rules() if rule["rateLimitType"] == "ORDERS"]
    used = call.exchange.limits.orders_used(call.account.uid)
    return [rule | {"count": count} for rule, count in zip(rules, used, strict=True)]


async def trade_fee(call: Call) -> list[dict[str, str]]:
    """Show the fees of one symbol or of all."""
    symbol = call.parameters.optional_symbol()
    call.parameters.refuse_unread()
    if symbol is not None:
        call.exchange.engine.book(symbol)
    rates = commission_row("", call.exchange.engine.tariff.rates(call.account), pays_in_bnb=False)["standardCommission"]
    symbols = call.exchange.engine.books if symbol is None else [symbol]
    return [{"symbol": name, "makerCommission": rates["maker"], "takerCommission": rates["taker"]} for name in symbols]


async def key_restrictions(call: Call) -> dict[str, Any]:
    """Show what the key may do, and whether it is bound to addresses."""
    call.parameters.refuse_unread()
    key = call.key
    return {
        # The key an account is opened with is as good as bound: the exchange itself is at home on this machine only.
        "ipRestrict": bool(key.addresses) or key.key == call.account.api_key,
        "createTime": key.created_at,
        "enableReading": READ in key.rights,
        "enableWithdrawals": False,
        "enableInternalTransfer": False,
        "enableMargin": False,
        "enableFutures": False,
        "permitsUniversalTransfer": TRANSFER in key.rights,
        "enableVanillaOptions": False,
        "enableFixApiTrade": False,
        "enableFixReadOnly": False,
        "enableSpotAndMarginTrading": TRADE in key.rights,
        "enablePortfolioMarginTrading": False,
    }


def _check_window(start: int | None, end: int | None) -> None:
    if start is not None and end is not None and end - start > DAY_MS:
        raise ApiError(-1127, "More than 24 hours between startTime and endTime.")


def _flag(parameters: Parameters, name: str) -> bool:
    value = parameters.choice(name, ("true", "false"), ApiError(-1130, f"Data sent for parameter '{name}' is not valid."))
    return value == "true"


def _trades_weight(sent: Any) -> int:
    return 5 if sent.get("orderId") else 20


ENDPOINTS: Final = {
    ("GET", "/api/v3/account"): Endpoint(account, fixed(20), is_signed=True),
    ("GET", "/api/v3/account/commission"): Endpoint(commission, fixed(20), is_signed=True),
    ("GET", "/api/v3/order"): Endpoint(query_order, fixed(4), is_signed=True),
    ("GET", "/api/v3/openOrders"): Endpoint(open_orders, by_symbol(6, 80), is_signed=True),
    ("GET", "/api/v3/allOrders"): Endpoint(all_orders, fixed(20), is_signed=True),
    ("GET", "/api/v3/myTrades"): Endpoint(my_trades, _trades_weight, is_signed=True),
    ("GET", "/api/v3/rateLimit/order"): Endpoint(order_counts, fixed(40), is_signed=True),
    ("GET", "/sapi/v1/asset/tradeFee"): Endpoint(trade_fee, fixed(1), is_signed=True),
    ("GET", "/sapi/v1/account/apiRestrictions"): Endpoint(key_restrictions, fixed(1), is_signed=True),
}
