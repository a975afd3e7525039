"""What trading costs: rates of the house and of accounts, and fees in BNB at a discount."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NamedTuple

from venue.accounts import Account
from venue.amounts import UNIT
from venue.listings import Listing
from venue.matching.terms import PPM

BNB: Final = "BNB"
BNB_DISCOUNT_PPM: Final = 250_000
_BRIDGE: Final = "USDT"


class Rates(NamedTuple):
    """Shares of what is traded, in millionths."""

    maker_fee_ppm: int
    taker_fee_ppm: int


@dataclass(frozen=True, slots=True)
class Charge:
    """One fee."""

    asset: str
    amount: int


@dataclass(slots=True)
class Tariff:
    """The rates of now. `price_of` gives the price of a listed symbol, or nothing."""

    house: Rates
    price_of: Callable[[str], int]

    def rates(self, account: Account | None) -> Rates:
        """Return what an account pays: its own rates, or those of the house."""
        return Rates(*account.fee_rates) if account is not None and account.fee_rates else self.house

    def charge(self, account: Account, listing: Listing, *, bought: bool, quantity: int, quote: int, is_maker: bool) -> Charge:
        """Work out the fee of a fill that has been paid: in BNB if wanted and there is enough, else out of what is received."""
        rates = self.rates(account)
        rate = rates.maker_fee_ppm if is_maker else rates.taker_fee_ppm
        received = quantity if bought else quote
        plain = Charge(listing.base if bought else listing.quote, received * rate // PPM)
        if not account.pays_in_bnb:
            return plain
        worth = quantity if listing.base == BNB else self._in_bnb(quote, listing.quote)
        if worth is None:
            return plain
        amount = worth * rate * (PPM - BNB_DISCOUNT_PPM) // (PPM * PPM)
        arriving = received if plain.asset == BNB else 0
        return Charge(BNB, amount) if account.balance(BNB).free + arriving >= amount else plain

    def _in_bnb(self, quote: int, asset: str) -> int | None:
        """Convert an amount of a quote currency, over USDT where there is no direct market."""
        if asset == BNB:
            return quote
        direct = self.price_of(BNB + asset)
        if direct:
            return quote * UNIT // direct
        bridge, price = self.price_of(asset + _BRIDGE), self.price_of(BNB + _BRIDGE)
        return quote * bridge // price if bridge and price else None
