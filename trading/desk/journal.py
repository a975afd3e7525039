"""The journal of one transaction: movements collected in memory, each zero-sum, none overdrawn, chained by hashes."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from trading.desk.rows import AccountRow
from trading.desk.store import Movement
from trading.ledger import ZERO, Leg, Pocket, checked_legs, transaction_hash
from trading.settlement import DEFICIT, EXTERNAL_FEE, EXTERNAL_FLOW, EXTERNAL_TRADE, SUSPENSE

EXTERNAL: Final = frozenset((EXTERNAL_FLOW, EXTERNAL_TRADE, EXTERNAL_FEE))
MAY_BE_NEGATIVE: Final = EXTERNAL | {SUSPENSE, DEFICIT}

LoadPockets = Callable[[Collection[int] | None], Mapping[Pocket, Decimal]]


class InsufficientBalance(Exception):
    """Raised when a movement would take a pocket of ours below zero (I-07)."""

    def __init__(self, pocket: Pocket, balance: Decimal) -> None:
        super().__init__(f"{pocket.kind} of book {pocket.book_id} would hold {balance} {pocket.asset}")
        self.pocket = pocket


class Journal:
    """The movements of one transaction on a locked account; nothing is written before the transaction's end."""

    def __init__(self, account: AccountRow, load: LoadPockets, *, now: datetime) -> None:
        """Open a journal on all pockets."""
        self.account = account
        self.now = now
        self.movements: list[Movement] = []
        self._load = load
        self._scope: Collection[int] | None = None
        self._balances: dict[Pocket, Decimal] | None = None
        self._moved: dict[Pocket, Decimal] = {}

    def narrow(self, book_ids: Collection[int]) -> None:
        """Have no more loaded than the pools and these books, unless more is loaded already; others load when asked for."""
        if self._balances is None:
            self._scope = book_ids

    def balance(self, pocket: Pocket) -> Decimal:
        """Return a pocket's balance with everything posted so far."""
        return self._pockets(pocket.book_id).get(pocket, ZERO)

    def balances(self) -> dict[Pocket, Decimal]:
        """Return the balances of all pockets that exist."""
        self._widen()
        return dict(self._pockets(None))

    def post(
        self, *, kind: str, reference: str, legs: Iterable[Leg], market_at: datetime, facts: Mapping[str, Any] | None = None
    ) -> Movement:
        """Post a transaction of legs that sum to zero for every asset, chained to the one before it."""
        checked = checked_legs(legs)
        account = self.account
        seq, facts = account.ledger_seq + 1, dict(facts or {})
        movement = Movement(
            seq=seq,
            kind=kind,
            reference=reference,
            market_at=market_at,
            recorded_at=self.now,
            facts=facts,
            hash_previous=account.ledger_hash,
            hash=transaction_hash(
                previous=account.ledger_hash,
                account_id=account.pk,
                seq=seq,
                kind=kind,
                reference=reference,
                market_at=market_at,
                recorded_at=self.now,
                facts=facts,
                legs=checked,
            ),
            legs=checked,
        )
        self._move(checked)
        account.ledger_seq, account.ledger_hash = movement.seq, movement.hash
        self.movements.append(movement)
        return movement

    def taken(self) -> tuple[list[Movement], dict[Pocket, Decimal]]:
        """Hand over what was posted since the last call: the movements and what they moved, by pocket."""
        handed = self.movements, {pocket: amount for pocket, amount in self._moved.items() if amount != ZERO}
        self.movements, self._moved = [], {}
        return handed

    def _move(self, legs: list[Leg]) -> None:
        for pocket, amount in legs:
            pockets = self._pockets(pocket.book_id)
            pockets[pocket] = pockets.get(pocket, ZERO) + amount
            self._moved[pocket] = self._moved.get(pocket, ZERO) + amount
        for pocket, _ in legs:
            balance = self._pockets(pocket.book_id)[pocket]
            if balance < ZERO and pocket.kind not in MAY_BE_NEGATIVE:
                raise InsufficientBalance(pocket, balance)

    def _pockets(self, book_id: int | None) -> dict[Pocket, Decimal]:
        if self._balances is None:
            # The account's row is locked, so nobody moves these balances meanwhile.
            self._balances = dict(self._load(self._scope))
        if book_id is not None and self._scope is not None and book_id not in self._scope:
            self._widen()
        return self._balances

    def _widen(self) -> None:
        """Load the books that were out of scope, and keep what has been posted on those that were in it."""
        if self._scope is not None:
            self._scope = None
            known = self._balances or {}
            self._balances = {**self._load(None), **known}
