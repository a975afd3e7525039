"""What the exchange says about orders, trades and balances, and how our orders are named."""

from __future__ import annotations

import re
import zlib
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Final, NamedTuple

_ALPHABET: Final = "0123456789abcdefghjkmnpqrstvwxyz"
_CLIENT_ORDER_ID: Final = re.compile(rf"([A-Za-z0-9]{{1,8}})-([0-9]+)-([{_ALPHABET}]+)-([{_ALPHABET}]{{2}})")
CLIENT_ORDER_ID_LENGTH_MAX: Final = 36
# A deploy begins with its family, drawn once for each account; what follows counts how often the books were restored.
_FAMILY_LENGTH: Final = 6
_DEPLOY_LENGTH_MAX: Final = 8


class Side(StrEnum):
    """Which way an order or a trade goes."""

    BUY = "buy"
    SELL = "sell"


class ExchangeStatus(StrEnum):
    """What an exchange says about an order."""

    NEW = "new"
    PARTIALLY_FILLED = "partially_filled"
    FILLED = "filled"
    CANCELED = "canceled"
    REJECTED = "rejected"
    EXPIRED = "expired"


FINAL_STATUSES: Final = frozenset(
    (ExchangeStatus.FILLED, ExchangeStatus.CANCELED, ExchangeStatus.REJECTED, ExchangeStatus.EXPIRED)
)


@dataclass(frozen=True, slots=True)
class OrderReport:
    """The state of one of the account's orders as the exchange tells it."""

    client_order_id: str
    exchange_order_id: str
    symbol: str
    side: Side
    status: ExchangeStatus
    quantity: Decimal
    executed_quantity: Decimal
    executed_quote: Decimal
    market_at: datetime
    update_id: int = 0


@dataclass(frozen=True, slots=True)
class TradeReport:
    """One trade of the account as the exchange tells it."""

    symbol: str
    trade_id: int
    exchange_order_id: str
    client_order_id: str | None
    side: Side
    price: Decimal
    quantity: Decimal
    quote_quantity: Decimal
    fee: Decimal
    fee_asset: str
    is_maker: bool
    traded_at: datetime


@dataclass(frozen=True, slots=True)
class BalanceReport:
    """What the exchange holds for the account, by asset."""

    free: dict[str, Decimal]
    locked: dict[str, Decimal]

    def totals(self) -> dict[str, Decimal]:
        """Add free and locked of each asset."""
        assets = self.free.keys() | self.locked.keys()
        zero = Decimal(0)
        return {asset: self.free.get(asset, zero) + self.locked.get(asset, zero) for asset in sorted(assets)}


class ClientOrderId(NamedTuple):
    """The parts of a client order id of ours."""

    deploy: str
    book_number: int
    intent_seq: int


def client_order_id(deploy: str, book_number: int, intent_seq: int) -> str:
    """Name an order after its intent, so that the name is never invented twice."""
    body = f"{deploy}-{book_number}-{_base32(intent_seq)}"
    name = f"{body}-{_check(body)}"
    if not _CLIENT_ORDER_ID.fullmatch(name) or len(name) > CLIENT_ORDER_ID_LENGTH_MAX:
        raise ValueError(f"No client order id can be made of deploy {deploy!r}, book {book_number}, intent {intent_seq}")
    return name


def parse_client_order_id(name: str) -> ClientOrderId | None:
    """Take one of our names apart; answer None for a name that is not ours."""
    match = _CLIENT_ORDER_ID.fullmatch(name)
    if not match or _check(name.rpartition("-")[0]) != match[4]:
        return None
    return ClientOrderId(deploy=match[1], book_number=int(match[2]), intent_seq=_number(match[3]))


def same_family(deploy: str, other: str) -> bool:
    """Say whether two deploys name the same account, before or after its books were restored from a backup."""
    return _family(deploy) == _family(other)


def generation(deploy: str) -> int:
    """Return how often the books behind a deploy were restored."""
    return _number(deploy[_FAMILY_LENGTH:])


def raise_deploy(deploy: str, *, beyond: int = 0) -> str:
    """Name the next life of the same account, later than this one and than any generation that was seen elsewhere."""
    raised = _family(deploy) + _base32(max(generation(deploy), beyond) + 1)
    if len(raised) > _DEPLOY_LENGTH_MAX:
        raise ValueError(f"Deploy {deploy!r} was restored too often: open a new account")
    return raised


def _family(deploy: str) -> str:
    return deploy[:_FAMILY_LENGTH].ljust(_FAMILY_LENGTH, "0")


def _number(letters: str) -> int:
    number = 0
    for letter in letters:
        number = number * 32 + max(_ALPHABET.find(letter), 0)
    return number


def _base32(number: int) -> str:
    letters = ""
    while True:
        number, digit = divmod(number, 32)
        letters = _ALPHABET[digit] + letters
        if number == 0:
            return letters


def _check(body: str) -> str:
    checksum = zlib.crc32(body.encode()) % 1024
    return _ALPHABET[checksum // 32] + _ALPHABET[checksum % 32]
