"""Exact values of exchanges' answers, whoever sent them; and whether an answer speaks of what was asked."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from exchange.errors import AnswerNotOurs, ExchangeTrouble, Outcome
from exchange.ports import OrderTicket
from trading.orders import BalanceReport, OrderReport

ZERO: Final = Decimal(0)
# What reading an answer of another shape raises.
UNREADABLE: Final = (KeyError, IndexError, ValueError, TypeError, AttributeError, OverflowError, OSError, ArithmeticError)


def exact(value: Any) -> Decimal:
    """Turn a number of an answer into a Decimal; a float has lost its digits already and is refused."""
    if not isinstance(value, (str, int)) or isinstance(value, bool):
        raise ExchangeTrouble(Outcome.UNKNOWN, f"An amount came as {type(value).__name__}: {value!r}")
    try:
        number = Decimal(value)
    except (InvalidOperation, ValueError) as error:
        raise ExchangeTrouble(Outcome.UNKNOWN, f"An amount is no number: {value!r}") from error
    if not number.is_finite():
        raise ExchangeTrouble(Outcome.UNKNOWN, f"An amount is not finite: {value!r}")
    return number


def positive(value: Any) -> Decimal:
    """Read an amount that can only be above zero."""
    number = exact(value)
    if number <= ZERO:
        raise ValueError(f"{value!r} is not above zero")
    return number


def sound(report: OrderReport) -> OrderReport:
    """Refuse a report that says more was traded than was asked for."""
    if not ZERO <= report.executed_quantity <= report.quantity:
        raise ValueError(f"{report.executed_quantity} of {report.quantity} is executed")
    return report


def plain(number: Decimal) -> str:
    """Write a Decimal as an exchange wants it: no exponent, no trailing zeros."""
    text = format(number, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def moment(milliseconds: Any) -> datetime:
    """Turn the exchange's milliseconds into a moment."""
    seconds, rest = divmod(int(milliseconds), 1000)
    return datetime.fromtimestamp(seconds, UTC).replace(microsecond=rest * 1000)


def check_echo(report: OrderReport, *, symbol: str, client_order_id: str) -> None:
    """Refuse an answer about another order."""
    if (report.symbol, report.client_order_id) != (symbol, client_order_id):
        asked, told = f"{symbol} {client_order_id}", f"{report.symbol} {report.client_order_id}"
        raise AnswerNotOurs(f"Asked about {asked}, told about {told}.")


def check_submitted(report: OrderReport, ticket: OrderTicket) -> None:
    """Refuse an answer that does not repeat the order that was sent."""
    check_echo(report, symbol=ticket.symbol, client_order_id=ticket.client_order_id)
    if report.side != ticket.side or report.quantity != ticket.quantity:
        raise AnswerNotOurs(
            f"{ticket.client_order_id} was sent as {ticket.side} {ticket.quantity}, told as {report.side} {report.quantity}."
        )


def unreadable(what: str, raw: Any, error: Exception) -> ExchangeTrouble:
    """Call an answer that cannot be understood what it is: no answer."""
    return ExchangeTrouble(Outcome.UNKNOWN, f"This cannot be read as {what}: {str(raw)[:120]} ({error!r})")


def balances(rows: Iterable[tuple[str, Decimal, Decimal]]) -> BalanceReport:
    """Make a report of (asset, free, locked); what is empty is left out."""
    held = [(asset, free, locked) for asset, free, locked in rows if free or locked]
    return BalanceReport({asset: free for asset, free, _ in held}, {asset: locked for asset, _, locked in held})
