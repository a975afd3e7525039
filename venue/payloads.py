"""How orders, trades and accounts look in answers."""

from typing import Any

from venue.accounts import Account
from venue.amounts import rate_text, text
from venue.matching.fees import BNB, BNB_DISCOUNT_PPM, Rates
from venue.matching.terms import PPM
from venue.orders import Order, Trade

BASIS_POINTS_PPM = 100


def placed(order: Order, trades: list[Trade], response: str) -> dict[str, Any]:
    """Answer a new order as ACK, RESULT or FULL."""
    answer: dict[str, Any] = {
        "symbol": order.symbol,
        "orderId": order.order_id,
        "orderListId": -1,
        "clientOrderId": order.client_order_id,
        "transactTime": order.time,
    }
    if response == "ACK":
        return answer
    answer |= _body(order)
    if order.stop_price:
        answer["stopPrice"] = text(order.stop_price)
    if order.working_time >= 0:
        answer["workingTime"] = order.working_time
    answer["selfTradePreventionMode"] = order.prevention
    if order.prevented:
        answer |= _prevented(order)
    if response == "FULL":
        answer["fills"] = [_fill(trade) for trade in trades]
    return answer


def cancelled(order: Order) -> dict[str, Any]:
    """Answer a cancellation."""
    answer = {
        "symbol": order.symbol,
        "origClientOrderId": order.client_order_id,
        "orderId": order.order_id,
        "orderListId": -1,
        "clientOrderId": order.cancel_client_id,
        "transactTime": order.update_time,
        **_body(order),
    }
    if order.stop_price:
        answer["stopPrice"] = text(order.stop_price)
    return answer | {"selfTradePreventionMode": order.prevention}


def order_row(order: Order) -> dict[str, Any]:
    """Show an order as queries do."""
    row = {
        "symbol": order.symbol,
        "orderId": order.order_id,
        "orderListId": -1,
        "clientOrderId": order.client_order_id,
        "price": text(order.price),
        "origQty": text(order.quantity),
        "executedQty": text(order.executed),
        "cummulativeQuoteQty": text(order.executed_quote),
        "status": order.status,
        "timeInForce": order.time_in_force,
        "type": order.type,
        "side": order.side,
        "stopPrice": text(order.stop_price),
        "icebergQty": text(0),
        "time": order.time,
        "updateTime": order.update_time,
        "isWorking": not order.waits_for_trigger,
        "workingTime": order.working_time,
        "origQuoteOrderQty": text(order.quote_quantity),
        "selfTradePreventionMode": order.prevention,
    }
    if order.prevented:
        row |= _prevented(order)
    if order.strategy_id is not None:
        row["strategyId"] = order.strategy_id
    if order.strategy_type is not None:
        row["strategyType"] = order.strategy_type
    return row


def trade_row(trade: Trade) -> dict[str, Any]:
    """Show a fill as myTrades does."""
    return {
        "symbol": trade.symbol,
        "id": trade.trade_id,
        "orderId": trade.order_id,
        "orderListId": -1,
        "price": text(trade.price),
        "qty": text(trade.quantity),
        "quoteQty": text(trade.quote),
        "commission": text(trade.fee),
        "commissionAsset": trade.fee_asset,
        "time": trade.time,
        "isBuyer": trade.side == "BUY",
        "isMaker": trade.is_maker,
        "isBestMatch": True,
    }


def account_row(account: Account, rates: Rates, *, omit_zero: bool) -> dict[str, Any]:
    """Show an account with its balances."""
    balances = [
        {"asset": asset, "free": text(balance.free), "locked": text(balance.locked)}
        for asset, balance in sorted(account.balances.items())
        if balance.free or balance.locked or not omit_zero
    ]
    return {
        "makerCommission": rates.maker_fee_ppm // BASIS_POINTS_PPM,
        "takerCommission": rates.taker_fee_ppm // BASIS_POINTS_PPM,
        "buyerCommission": 0,
        "sellerCommission": 0,
        "commissionRates": {
            "maker": rate_text(rates.maker_fee_ppm),
            "taker": rate_text(rates.taker_fee_ppm),
            "buyer": text(0),
            "seller": text(0),
        },
        "canTrade": True,
        "canWithdraw": False,
        "canDeposit": False,
        "brokered": False,
        "requireSelfTradePrevention": False,
        "preventSor": False,
        "updateTime": account.update_time,
        "accountType": "SPOT",
        "balances": balances,
        "permissions": ["SPOT"],
        "uid": account.uid,
    }


def commission_row(symbol: str, rates: Rates, *, pays_in_bnb: bool) -> dict[str, Any]:
    """Show what trading a symbol costs."""
    nothing = {"maker": text(0), "taker": text(0), "buyer": text(0), "seller": text(0)}
    own = {"maker": rate_text(rates.maker_fee_ppm), "taker": rate_text(rates.taker_fee_ppm)}
    return {
        "symbol": symbol,
        "standardCommission": {**nothing, **own},
        "specialCommission": dict(nothing),
        "taxCommission": dict(nothing),
        "discount": {
            "enabledForAccount": pays_in_bnb,
            "enabledForSymbol": True,
            "discountAsset": BNB,
            "discount": rate_text(PPM - BNB_DISCOUNT_PPM),
        },
    }


def _prevented(order: Order) -> dict[str, Any]:
    return {"preventedMatchId": 0, "preventedQuantity": text(order.prevented)}


def _body(order: Order) -> dict[str, Any]:
    return {
        "price": text(order.price),
        "origQty": text(order.quantity),
        "executedQty": text(order.executed),
        "origQuoteOrderQty": text(order.quote_quantity),
        "cummulativeQuoteQty": text(order.executed_quote),
        "status": order.status,
        "timeInForce": order.time_in_force,
        "type": order.type,
        "side": order.side,
    }


def _fill(trade: Trade) -> dict[str, Any]:
    return {
        "price": text(trade.price),
        "qty": text(trade.quantity),
        "commission": text(trade.fee),
        "commissionAsset": trade.fee_asset,
        "tradeId": trade.trade_id,
    }
