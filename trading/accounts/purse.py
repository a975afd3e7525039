"""What belongs to nobody on a simulated account, and how it moves into books and out of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from trading.accounts.guard import Guard
from trading.accounts.member import Member
from trading.instruments import amount
from trading.ledger import UNIT, ZERO


@dataclass(slots=True)
class Purse:
    """The cash that is dealt to nobody, in whole units."""

    units: int
    members: Sequence[Member]
    guard: Guard | None = None

    @property
    def unallocated(self) -> Decimal:
        """Return the cash that is dealt to nobody."""
        return amount(self.units)

    def move(self, member: Member, wanted: Decimal, at: int) -> Decimal:
        """Move cash into a book, or out of it where it is below zero; answer what moved: whole units."""
        units = int(abs(wanted) // UNIT) * (1 if wanted > ZERO else -1)
        if units:
            moved = amount(units)
            if self.guard is not None:
                self.guard.moved(member, moved, at)
            self.units -= units
            member.put_in(units)
        return amount(units)

    def total(self, at: int) -> Decimal:
        """Return what the account is worth at the marks."""
        return self.unallocated + sum((member.worth(at) for member in self.members), ZERO)
