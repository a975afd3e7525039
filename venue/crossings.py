"""Deposits and withdrawals as the exchange's own history has them: numbered, with the statuses of its documentation."""

from dataclasses import dataclass, field
from typing import Final

SPOT: Final = 0
FUNDING: Final = 1
# What each status of a deposit and of a withdrawal is called in the documentation.
DEPOSITS: Final = {
    0: "pending", 1: "success", 2: "rejected", 6: "credited but cannot withdraw", 7: "wrong deposit", 8: "waiting user confirm",
}  # fmt: skip
WITHDRAWALS: Final = {
    0: "email sent", 1: "cancelled", 2: "awaiting approval", 3: "rejected", 4: "processing", 5: "failure", 6: "completed",
}  # fmt: skip
# In these the money has reached the account, or has left it.
_CREDITED: Final = frozenset((1, 6))
_TAKEN: Final = frozenset((2, 4, 6))
# Nothing follows these.
_ENDS_OF_DEPOSITS: Final = frozenset((1, 2))
_ENDS_OF_WITHDRAWALS: Final = frozenset((1, 3, 5, 6))


@dataclass(frozen=True, slots=True, kw_only=True)
class Crossing:
    """Money that crosses the border of the exchange: a deposit above zero, a withdrawal with its fee below."""

    number: int
    uid: int
    asset: str
    amount: int
    fee: int
    status: int
    wallet: int
    time: int
    completed_at: int

    @property
    def has_moved(self) -> bool:
        """Say whether the balance shows it."""
        return self.status in (_CREDITED if self.amount > 0 else _TAKEN)

    @property
    def is_final(self) -> bool:
        """Say whether its status stays what it is."""
        return self.status in (_ENDS_OF_DEPOSITS if self.amount > 0 else _ENDS_OF_WITHDRAWALS)


@dataclass(slots=True)
class Crossings:
    """The newest number, and what is not at its end."""

    last: int = 0
    waiting: dict[int, Crossing] = field(default_factory=dict)

    def note(self, crossing: Crossing) -> None:
        """Remember what is not at its end."""
        self.last = max(self.last, crossing.number)
        self.waiting.pop(crossing.number, None)
        if not crossing.is_final:
            self.waiting[crossing.number] = crossing


def knows(amount: int, status: int) -> bool:
    """Say whether a deposit, or a withdrawal below zero, can have this status."""
    return status in (DEPOSITS if amount > 0 else WITHDRAWALS)
