"""What belongs to nobody on a simulated account, and how it moves into books, out of them, and from and to the outside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from trading.accounts.guard import Guard
from trading.accounts.member import Member
from trading.allocations import Holder
from trading.instruments import amount
from trading.ledger import UNIT, ZERO, ceil_to, floor_to


@dataclass(slots=True)
class Purse:
    """The cash that is dealt to nobody, in whole units; as long as withdrawals wait it is empty."""

    units: int
    members: Sequence[Member]
    guard: Guard | None = None
    # What withdrawals still take.
    owed: int = 0
    # What came from outside (above zero) and left, with its moments, and what was asked for so far, be it still owed.
    payments: list[tuple[int, int]] = field(default_factory=list)
    asked_flows: int = 0

    @property
    def unallocated(self) -> Decimal:
        """Return the cash that is dealt to nobody."""
        return amount(self.units)

    @property
    def to_share(self) -> Decimal:
        """Return the cash that may be dealt out; below zero is what withdrawals still take."""
        return amount(self.units - self.owed)

    @property
    def paid_out(self) -> Decimal:
        """Return what has left the account so far."""
        return amount(-sum(min(moved, 0) for _, moved in self.payments))

    def move(self, member: Member, wanted: Decimal, at: int) -> Decimal:
        """Move cash into a book, or out of it where it is below zero; answer what moved: whole units."""
        units = int(abs(wanted) // UNIT) * (1 if wanted > ZERO else -1)
        self.move_units(member, units, at)
        return amount(units)

    def move_units(self, member: Member, units: int, at: int) -> None:
        """Move whole units of quote into a book, or out of it where they are below zero."""
        if units:
            if self.guard is not None:
                self.guard.moved(member, amount(units), at)
            self.units -= units
            member.put_in(units)
            self._pay(at)

    def complete(self, moves: Mapping[int, Decimal], at: int) -> None:
        """Move what older plans and withdrawals still had to move and can be moved now, by the books' numbers."""
        for member in self.members:
            moved = self.move(member, moves.get(member.number, ZERO), at)
            if moved:
                left = member.pending - moved
                member.wait_for(left if abs(left) >= UNIT else ZERO)
                # What leaves was not counted on any more since the plan was set; what comes is.
                member.size_by(member.allocation + max(moved, ZERO))

    def receive(self, units: int, at: int) -> None:
        """Take a deposit in: it is dealt to nobody, and withdrawals that wait come first."""
        self.asked_flows += units
        self._cross(units, at)
        self._pay(at)

    def owe(self, units: int, at: int) -> None:
        """Let a withdrawal leave as far as there is cash; for the rest books give back in proportion to what they have."""
        self.asked_flows -= units
        self.owed += units
        self._pay(at)
        self.shrink(at)

    def shrink(self, at: int) -> None:
        """Have what books are to be worth fit beside what withdrawals still take, each in the same proportion.

        As a person does who lowers every share: free cash is given back, what is in use follows when it is free, and nothing
        is sold for it. The next orders are sized by no more than will be left.
        """
        if not self.owed:
            return
        meant = {member: max(ZERO, member.worth(at) + member.pending) for member in self.members}
        total, room = sum(meant.values(), ZERO), max(ZERO, self.total(at) - amount(self.owed))
        if total <= room:
            return
        for member, before in meant.items():
            after = before * room // (total * UNIT) * UNIT
            missing = after - member.worth(at)
            # Whole units, and rather one too many: the last one would be waited for in vain.
            member.wait_for(floor_to(missing, UNIT) if missing > ZERO else -ceil_to(-missing, UNIT))
            member.size_by(min(member.allocation, after))

    def holders(self, at: int) -> list[Holder]:
        """Return what the books have, as plans look at it."""
        return [
            Holder(
                book_id=member.number,
                name=member.bot.key,
                percent=member.percent,
                equity=member.worth(at),
                cash_free=member.cash,
                target=member.target,
                pending=member.pending,
            )
            for member in self.members
        ]

    def total(self, at: int) -> Decimal:
        """Return what the account is worth at the marks."""
        return self.unallocated + sum((member.worth(at) for member in self.members), ZERO)

    def _pay(self, at: int) -> None:
        """Let leave what is owed and there."""
        if self.owed and self.units > 0:
            units = min(self.owed, self.units)
            self.owed -= units
            self._cross(-units, at)

    def _cross(self, units: int, at: int) -> None:
        self.units += units
        self.payments.append((at, units))
        if self.guard is not None:
            self.guard.net_flows += amount(units)
