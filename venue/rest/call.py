"""A request on its way to its endpoint."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from venue.accounts import Account
from venue.exchange import Exchange
from venue.keys import READ, ApiKey
from venue.parameters import Parameters


@dataclass(frozen=True, slots=True)
class Call:
    """What an endpoint is given."""

    exchange: Exchange
    parameters: Parameters
    caller: ApiKey | None

    @property
    def account(self) -> Account:
        """Return who asks; only signed endpoints may ask for it."""
        return self.key.account

    @property
    def key(self) -> ApiKey:
        """Return the key that signed; only signed endpoints may ask for it."""
        if self.caller is None:
            raise RuntimeError("An endpoint without a signature asked who calls")
        return self.caller


Weight = Callable[[Mapping[str, str]], int]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """What answers a request, and what it takes to be answered."""

    answer: Callable[[Call], Awaitable[Any]]
    weight: Weight
    is_signed: bool = False
    is_order: bool = False
    # What the key must be allowed to do.
    right: str = READ


def fixed(weight: int) -> Weight:
    """Weigh every request the same."""
    return lambda _sent: weight


def by_symbol(one: int, all_of_them: int) -> Weight:
    """Weigh a request for one symbol less than one for all."""
    return lambda sent: one if sent.get("symbol") else all_of_them
