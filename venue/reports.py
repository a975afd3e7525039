"""What the user stream says: execution reports and balance changes."""

from dataclasses import dataclass
from typing import Any

from venue.accounts import Account
from venue.amounts import product, text
from venue.orders import Order, Trade


@dataclass(frozen=True, slots=True)
class Prevented:
    """One trade that an order would have had with an order of the same account."""

    counter_order_id: int
    price: int
    quantity: int


def execution_report(
    order: Order, *, kind: str, at: int, trade: Trade | None = None, met: Prevented | None = None
) -> dict[str, Any]:
    """Report one thing that happened to an order: NEW, TRADE, CANCELED, EXPIRED or TRADE_PREVENTION."""
    cancelled = kind == "CANCELED"
    report: dict[str, Any] = {
        "e": "executionReport",
        "E": at,
        "s": order.symbol,
        "c": order.cancel_client_id if cancelled else order.client_order_id,
        "S": order.side,
        "o": order.type,
        "f": order.time_in_force,
        "q": text(order.quantity),
        "p": text(order.price),
        "P": text(order.stop_price),
        "F": text(0),
        "g": -1,
        "C": order.client_order_id if cancelled else "",
        "x": kind,
        "X": order.status,
        "r": "NONE",
        "i": order.order_id,
        "l": text(trade.quantity if trade else 0),
        "z": text(order.executed),
        "L": text(trade.price if trade else 0),
        "n": text(trade.fee) if trade else "0",
        "N": trade.fee_asset if trade else None,
        "T": at,
        "t": trade.trade_id if trade else -1,
        "I": order.order_id * 1000 + order.executed % 1000,
        "w": order.is_open and not order.waits_for_trigger and order.type != "MARKET",
        "m": trade.is_maker if trade else False,
        "M": False,
        "O": order.time,
        "Z": text(order.executed_quote),
        "Y": text(trade.quote if trade else 0),
        "Q": text(order.quote_quantity),
        "V": order.prevention,
    }
    if met is not None:
        report |= {"v": 0, "A": text(order.prevented), "B": text(met.quantity), "u": 0, "U": met.counter_order_id}
        report |= {
            "Cs": order.symbol,
            "pl": text(met.quantity),
            "pL": text(met.price),
            "pY": text(product(met.price, met.quantity)),
        }
    if order.working_time >= 0:
        report["W"] = order.working_time
    if order.strategy_id is not None:
        report["j"] = order.strategy_id
    if order.strategy_type is not None:
        report["J"] = order.strategy_type
    return report


def account_position(account: Account, assets: tuple[str, ...], at: int) -> dict[str, Any]:
    """Report the balances that a change touched."""
    return {
        "e": "outboundAccountPosition",
        "E": at,
        "u": account.update_time,
        "B": [{"a": asset, "f": text(account.balance(asset).free), "l": text(account.balance(asset).locked)} for asset in assets],
    }


def lock_update(asset: str, amount: int, at: int) -> dict[str, Any]:
    """Report what another product of the exchange has locked, or given back when below zero."""
    return {"e": "externalLockUpdate", "E": at, "a": asset, "d": text(amount), "T": at}


def balance_update(asset: str, amount: int, at: int) -> dict[str, Any]:
    """Report money that came from outside or went there."""
    return {"e": "balanceUpdate", "E": at, "a": asset, "d": text(amount), "T": at}
