"""Endpoints that place and cancel orders."""

import secrets
import string
from typing import Any, Final

from venue.accounts import Account
from venue.errors import ApiError, either_parameter, missing_parameter, not_required
from venue.keys import TRADE
from venue.listings import ORDER_TYPES, PREVENTION_MODES
from venue.orders import LIMIT_TYPES, SIDES, STOP_TYPES, OrderRequest
from venue.parameters import Parameters
from venue.payloads import cancelled, placed
from venue.rest.call import Call, Endpoint, fixed

TIMES_IN_FORCE: Final = ("GTC", "IOC", "FOK")
RESPONSES: Final = ("ACK", "RESULT", "FULL")
STRATEGY_TYPE_MIN: Final = 1_000_000
_ID_ALPHABET: Final = string.ascii_letters + string.digits
_ID_LENGTH: Final = 22
# Which types take a time in force: the others live or die by what they are.
_TIMED: Final = frozenset({"LIMIT", "STOP_LOSS_LIMIT", "TAKE_PROFIT_LIMIT"})
_RESPOND_FULL: Final = frozenset({"LIMIT", "MARKET"})


async def place(call: Call) -> dict[str, Any]:
    """Place an order; the answer leaves when the order is durable."""
    request = read_order(call.parameters)
    order, trades = call.exchange.engine.place(call.account, request)
    answer = placed(order, trades, request.response)
    await call.exchange.durable()
    return answer


async def test(call: Call) -> dict[str, Any]:
    """Check an order without placing it."""
    call.parameters.text("computeCommissionRates")
    request = read_order(call.parameters)
    call.exchange.engine.check(call.account, request)
    return {}


async def cancel(call: Call) -> dict[str, Any]:
    """Cancel an order."""
    parameters = call.parameters
    symbol, order_id = parameters.symbol(), parameters.whole("orderId")
    client_order_id = parameters.client_id("origClientOrderId")
    new_client_id = parameters.client_id("newClientOrderId") or new_id()
    restriction = parameters.choice(
        "cancelRestrictions", ("ONLY_NEW", "ONLY_PARTIALLY_FILLED"), ApiError(-1145, "Invalid cancelRestrictions")
    )
    parameters.refuse_unread()
    if order_id is None and client_order_id is None:
        raise either_parameter("origClientOrderId", "orderId")
    _check_restriction(call, symbol, order_id, client_order_id, restriction)
    order = call.exchange.engine.cancel(
        call.account, symbol, order_id=order_id, client_order_id=client_order_id, new_client_id=new_client_id
    )
    answer = cancelled(order)
    await call.exchange.durable()
    return answer


async def cancel_all(call: Call) -> list[dict[str, Any]]:
    """Cancel all orders of a symbol."""
    symbol = call.parameters.symbol()
    call.parameters.refuse_unread()
    orders = call.exchange.engine.cancel_all(call.account, symbol, new_client_id=new_id())
    answer = [cancelled(order) for order in orders]
    await call.exchange.durable()
    return answer


def read_order(parameters: Parameters) -> OrderRequest:
    """Read a new order and check its form: what is there, what is missing, what is too much."""
    symbol = parameters.symbol()
    parameters.required("side")
    side = parameters.choice("side", SIDES, ApiError(-1117, "Invalid side.")) or ""
    parameters.required("type")
    kind = parameters.choice("type", ORDER_TYPES, ApiError(-1116, "Invalid orderType.")) or ""
    in_force = parameters.choice("timeInForce", TIMES_IN_FORCE, ApiError(-1115, "Invalid timeInForce."))
    quantity, quote = parameters.amount("quantity"), parameters.amount("quoteOrderQty")
    price, stop = parameters.amount("price"), parameters.amount("stopPrice")
    client_id = parameters.client_id("newClientOrderId")
    strategy_id, strategy_type = parameters.whole("strategyId"), parameters.whole("strategyType")
    response = parameters.choice("newOrderRespType", RESPONSES, ApiError(-1130, "Invalid newOrderRespType."))
    prevention = parameters.choice(
        "selfTradePreventionMode", PREVENTION_MODES, ApiError(-1130, "Invalid selfTradePreventionMode.")
    )
    parameters.refuse_unread()
    if strategy_type is not None and strategy_type < STRATEGY_TYPE_MIN:
        raise ApiError(-1134, "`strategyType` was less than 1000000.")
    _check_form(parameters, kind, quantity, quote)
    return OrderRequest(
        symbol=symbol,
        side=side,
        type=kind,
        client_order_id=client_id or new_id(),
        time_in_force=in_force or "GTC",
        quantity=quantity or 0,
        quote_quantity=quote or 0,
        price=price or 0,
        stop_price=stop or 0,
        prevention=prevention or "NONE",
        strategy_id=strategy_id,
        strategy_type=strategy_type,
        response=response or ("FULL" if kind in _RESPOND_FULL else "ACK"),
    )


def new_id() -> str:
    """Make up a client order id, as the exchange does for those who send none."""
    return "".join(secrets.choice(_ID_ALPHABET) for _ in range(_ID_LENGTH))


def _check_form(parameters: Parameters, kind: str, quantity: int | None, quote: int | None) -> None:
    """Refuse a missing parameter first, then one that does not belong to this type of order."""
    needed = {"timeInForce": kind in _TIMED, "price": kind in LIMIT_TYPES, "stopPrice": kind in STOP_TYPES}
    for name, is_needed in needed.items():
        if is_needed and name not in parameters:
            raise missing_parameter(name)
    if kind == "MARKET":
        if quantity is None and quote is None:
            raise either_parameter("quantity", "quoteOrderQty")
        if quantity is not None and quote is not None:
            raise not_required("quoteOrderQty")
    elif quantity is None:
        raise missing_parameter("quantity")
    elif quote is not None:
        raise not_required("quoteOrderQty")
    for name, is_needed in needed.items():
        if not is_needed and name in parameters:
            raise not_required(name)


def _check_restriction(
    call: Call, symbol: str, order_id: int | None, client_order_id: str | None, restriction: str | None
) -> None:
    if restriction is None:
        return
    account: Account = call.account
    wanted = "NEW" if restriction == "ONLY_NEW" else "PARTIALLY_FILLED"
    order = call.exchange.engine.find_open(account, symbol, order_id, client_order_id)
    if order is not None and order.status != wanted:
        raise ApiError(-2011, "Order was not canceled due to cancel restrictions.")


ENDPOINTS: Final = {
    ("POST", "/api/v3/order"): Endpoint(place, fixed(1), is_signed=True, is_order=True, right=TRADE),
    ("POST", "/api/v3/order/test"): Endpoint(test, fixed(1), is_signed=True, right=TRADE),
    ("DELETE", "/api/v3/order"): Endpoint(cancel, fixed(1), is_signed=True, right=TRADE),
    ("DELETE", "/api/v3/openOrders"): Endpoint(cancel_all, fixed(1), is_signed=True, right=TRADE),
}
