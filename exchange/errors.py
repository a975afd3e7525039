"""What an exchange's refusal or silence means for us, and the exception that carries it."""

from __future__ import annotations

from enum import StrEnum
from typing import Final


class Outcome(StrEnum):
    """What we may conclude from an answer, or from the lack of one."""

    REJECTED_FILTER = "REJECTED_FILTER"
    REJECTED_SLOTS = "REJECTED_SLOTS"
    REJECTED_FUNDS = "REJECTED_FUNDS"
    REJECTED_MARKET = "REJECTED_MARKET"
    REJECTED_PRICE = "REJECTED_PRICE"
    # Of a stop: the price is through it already. The rules answer with a sale at the market.
    STOP_WOULD_TRIGGER = "STOP_WOULD_TRIGGER"
    REJECTED_ACCOUNT = "REJECTED_ACCOUNT"
    REJECTED_TIME = "REJECTED_TIME"
    REJECTED_REQUEST = "REJECTED_REQUEST"
    # Not one byte left this process.
    REJECTED_LOCAL = "REJECTED_LOCAL"
    KEY_INVALID = "KEY_INVALID"
    BACKOFF_WEIGHT = "BACKOFF_WEIGHT"
    BACKOFF_ORDERS = "BACKOFF_ORDERS"
    BANNED = "BANNED"
    # A firewall in front of the exchange: it proves nothing about the request.
    BLOCKED = "BLOCKED"
    EXISTS = "EXISTS"
    QUERY = "QUERY"
    STILL_LIVE = "STILL_LIVE"
    NOT_VISIBLE = "NOT_VISIBLE"
    TERMINAL_EMPTY = "TERMINAL_EMPTY"
    READ_BOTH = "READ_BOTH"
    # A read that may be tried again.
    UNAVAILABLE = "UNAVAILABLE"
    UNKNOWN = "UNKNOWN"


# The exchange has said, before its matching engine saw the order, that it will not have it.
PROVEN_REFUSALS: Final = frozenset(
    (
        Outcome.REJECTED_FILTER,
        Outcome.REJECTED_SLOTS,
        Outcome.REJECTED_FUNDS,
        Outcome.REJECTED_MARKET,
        Outcome.REJECTED_PRICE,
        Outcome.STOP_WOULD_TRIGGER,
        Outcome.REJECTED_ACCOUNT,
        Outcome.REJECTED_TIME,
        Outcome.REJECTED_REQUEST,
        Outcome.REJECTED_LOCAL,
        Outcome.KEY_INVALID,
        Outcome.BACKOFF_WEIGHT,
        Outcome.BACKOFF_ORDERS,
        Outcome.BANNED,
    )
)
# Nothing helps but a person: the account must not go on.
HALTING: Final = frozenset((Outcome.REJECTED_ACCOUNT, Outcome.KEY_INVALID))
# No request at all may go to the host until the pause is over.
PAUSING: Final = frozenset((Outcome.BACKOFF_WEIGHT, Outcome.BANNED, Outcome.BLOCKED))


class ExchangeTrouble(Exception):
    """Raised for every answer that is not the one asked for."""

    def __init__(
        self, outcome: Outcome, message: str, *, code: int | None = None, retry_after_seconds: float | None = None
    ) -> None:
        super().__init__(f"{outcome}: {message}")
        self.outcome = outcome
        self.message = message
        self.code = code
        self.retry_after_seconds = retry_after_seconds

    @property
    def is_proven_refusal(self) -> bool:
        """Say whether an order sent with this outcome is proven not to live."""
        return self.outcome in PROVEN_REFUSALS


class AnswerNotOurs(Exception):
    """Raised when an answer speaks of another order than the one asked about (E08)."""


class KeyRefused(Exception):
    """Raised for a key that may do more than trade, or may not trade at all."""


class AccountNotOurs(KeyRefused):
    """Raised when a key opens another account than the one it is kept for (I-36)."""


class SendRefused(Exception):
    """Raised when the client is set up in a way that could send an order twice."""
