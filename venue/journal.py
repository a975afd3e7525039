"""What has changed since the last commit, and what the world will be told once it is durable."""

import json
from dataclasses import dataclass, field
from typing import Any

from venue.accounts import Account
from venue.crossings import Crossing
from venue.orders import Order, Trade


@dataclass(frozen=True, slots=True)
class Flow:
    """Money that came from outside or went there."""

    uid: int
    asset: str
    amount: int
    time: int
    booked_at_wall_ms: int


@dataclass(frozen=True, slots=True)
class UserEvent:
    """A message for whoever listens to one account."""

    uid: int
    payload: dict[str, Any]


@dataclass(frozen=True, slots=True)
class MarketEvent:
    """A message for whoever listens to a stream."""

    stream: str
    payload: dict[str, Any]


@dataclass(slots=True)
class Journal:
    """Changes of one batch. Everything in a batch becomes durable together or not at all."""

    orders: dict[tuple[str, int], Order] = field(default_factory=dict)
    balances: set[tuple[int, str]] = field(default_factory=set)
    accounts: dict[int, Account] = field(default_factory=dict)
    trades: list[Trade] = field(default_factory=list)
    flows: list[Flow] = field(default_factory=list)
    crossings: list[Crossing] = field(default_factory=list)
    counters: dict[str, tuple[int, int]] = field(default_factory=dict)
    clients: dict[str, int | None] = field(default_factory=dict)
    days: dict[int, str] = field(default_factory=dict)
    facts: dict[str, str] = field(default_factory=dict)
    events: list[UserEvent | MarketEvent] = field(default_factory=list)
    # Everything that was written before of orders, fills and balances goes first.
    is_reset: bool = False

    def settings(self, account: Account) -> None:
        """Have what was set for an account written."""
        self.facts[f"account:{account.uid}"] = json.dumps(account.settings())

    def touch(self, order: Order) -> None:
        """Have an order written."""
        self.orders[order.symbol, order.order_id] = order

    def touch_balance(self, account: Account, asset: str) -> None:
        """Have a balance written."""
        self.accounts[account.uid] = account
        self.balances.add((account.uid, asset))

    @property
    def is_empty(self) -> bool:
        """Tell whether there is nothing to write and nothing to tell."""
        return not (
            self.orders
            or self.accounts
            or self.trades
            or self.flows
            or self.crossings
            or self.counters
            or self.clients
            or self.days
            or self.facts
            or self.events
            or self.is_reset
        )
