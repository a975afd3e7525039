"""Accounts and their balances, in units."""

from dataclasses import dataclass, field
from typing import Any

from venue.orders import Order


@dataclass(slots=True)
class Balance:
    """What an account holds of one asset."""

    free: int = 0
    locked: int = 0


@dataclass(slots=True)
class Account:
    """A customer of the exchange."""

    uid: int
    name: str
    api_key: str
    api_secret: str
    created_at: int
    # Fills ever booked for this account: what pacing clients compare with.
    trade_count: int = 0
    update_time: int = 0
    # Whether fees are taken in BNB, as long as there is some.
    pays_in_bnb: bool = False
    # Maker and taker rate in millionths; empty means what everybody pays.
    fee_rates: tuple[int, int] | tuple[()] = ()
    # The uid of the master of a sub-account.
    parent: int = 0
    # What lies in the funding wallet, out of reach of orders.
    funding: dict[str, int] = field(default_factory=dict)
    balances: dict[str, Balance] = field(default_factory=dict)
    open_orders: dict[tuple[str, int], Order] = field(default_factory=dict)
    open_client_ids: dict[tuple[str, str], Order] = field(default_factory=dict)

    def settings(self) -> dict[str, Any]:
        """Return what was set for this account."""
        return {
            "pays_in_bnb": self.pays_in_bnb,
            "fee_rates": self.fee_rates,
            "parent": self.parent,
            "funding": self.funding,
        }

    def restore_settings(self, written: dict[str, Any]) -> None:
        """Set what was set before a restart."""
        self.pays_in_bnb = written["pays_in_bnb"]
        self.fee_rates = tuple(written["fee_rates"])
        self.parent, self.funding = written.get("parent", 0), written.get("funding", {})

    def balance(self, asset: str) -> Balance:
        """Return the balance of an asset, empty if it was never held."""
        return self.balances.setdefault(asset, Balance())

    def remember(self, order: Order) -> None:
        """List an order as open."""
        self.open_orders[order.symbol, order.order_id] = order
        self.open_client_ids[order.symbol, order.client_order_id] = order

    def forget(self, order: Order) -> None:
        """Take an order off the list of open ones."""
        self.open_orders.pop((order.symbol, order.order_id), None)
        self.open_client_ids.pop((order.symbol, order.client_order_id), None)
