"""The ledger's only writer: collect the movements of a database transaction, write them in a few statements."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db import connection
from django.db.models import Q

from portfolio.models import Account, LedgerAccount, LedgerEntry, LedgerTransaction
from trading.ledger import ZERO, Leg, Pocket, checked_legs, exactly, stored, transaction_hash

EXTERNAL = frozenset((LedgerAccount.Kind.EXTERNAL_FLOW, LedgerAccount.Kind.EXTERNAL_TRADE, LedgerAccount.Kind.EXTERNAL_FEE))
_MAY_BE_NEGATIVE = EXTERNAL | {LedgerAccount.Kind.SUSPENSE}


class InsufficientBalance(Exception):
    """Raised when a movement would take a pocket of ours below zero (I-07)."""

    def __init__(self, pocket: Pocket, balance: Decimal) -> None:
        super().__init__(f"{pocket.kind} of book {pocket.book_id} would hold {balance} {pocket.asset}")
        self.pocket = pocket


@dataclass(slots=True)
class _Row:
    row: LedgerAccount
    balance: Decimal
    written: Decimal


class Journal:
    """The movements of one database transaction on a locked account; nothing is written before `flush`."""

    def __init__(self, account: Account, *, now: datetime, book_ids: Collection[int] | None = None) -> None:
        """Open a journal on the pools and on these books, or on all books."""
        self.account = account
        self.now = now
        self._book_ids = book_ids
        self._rows: dict[Pocket, _Row] | None = None
        self._drafts: list[tuple[LedgerTransaction, list[Leg]]] = []

    def balance(self, pocket: Pocket) -> Decimal:
        """Return a pocket's balance with everything posted so far."""
        self._check_scope(pocket)
        row = self._pockets().get(pocket)
        return row.balance if row else ZERO

    def balances(self) -> dict[Pocket, Decimal]:
        """Return the balances of all pockets that exist."""
        return {pocket: row.balance for pocket, row in self._pockets().items()}

    def post(
        self, *, kind: str, reference: str, legs: Iterable[Leg], market_at: datetime, facts: Mapping[str, Any] | None = None
    ) -> LedgerTransaction:
        """Post a transaction of legs that sum to zero for every asset, chained to the one before it."""
        checked = checked_legs(legs)
        account = self.account
        header = LedgerTransaction(
            account=account,
            seq=account.ledger_seq + 1,
            kind=kind,
            reference=reference,
            market_at=market_at,
            recorded_at=self.now,
            facts=dict(facts or {}),
            hash_previous=account.ledger_hash,
        )
        header.hash = hash_of(header, checked)
        for leg in checked:
            self._move(leg)
        self._refuse_overdraft(checked)
        account.ledger_seq, account.ledger_hash = header.seq, header.hash
        self._drafts.append((header, checked))
        return header

    def flush(self) -> None:
        """Write what was posted: pockets, headers, legs, balances and the account's head."""
        if not self._drafts:
            return
        self._create_pockets()
        LedgerTransaction.objects.bulk_create([header for header, _ in self._drafts])
        pockets = self._pockets()
        LedgerEntry.objects.bulk_create(
            [
                LedgerEntry(transaction=header, ledger_account=pockets[leg.pocket].row, amount=leg.amount)
                for header, legs in self._drafts
                for leg in legs
            ]
        )
        self._write_balances()
        self.account.save(update_fields=["ledger_seq", "ledger_hash"])
        self._drafts.clear()

    def _pockets(self) -> dict[Pocket, _Row]:
        if self._rows is None:
            # The account's row is locked, so nobody moves these balances meanwhile.
            rows = LedgerAccount.objects.filter(account=self.account)
            if self._book_ids is not None:
                rows = rows.filter(Q(book__isnull=True) | Q(book__in=self._book_ids))
            self._rows = {Pocket(row.kind, row.book_id, row.asset): _Row(row, row.balance, row.balance) for row in rows}
        return self._rows

    def _check_scope(self, pocket: Pocket) -> None:
        if self._book_ids is not None and pocket.book_id is not None and pocket.book_id not in self._book_ids:
            raise LookupError(f"This journal was not opened on book {pocket.book_id}")

    def _move(self, leg: Leg) -> None:
        self._check_scope(leg.pocket)
        pockets = self._pockets()
        if leg.pocket not in pockets:
            kind, book_id, asset = leg.pocket
            row = LedgerAccount(account=self.account, book_id=book_id, kind=kind, asset=asset)
            pockets[leg.pocket] = _Row(row, ZERO, ZERO)
        pockets[leg.pocket].balance += leg.amount

    def _refuse_overdraft(self, legs: list[Leg]) -> None:
        for leg in legs:
            balance = self._pockets()[leg.pocket].balance
            if balance < ZERO and leg.pocket.kind not in _MAY_BE_NEGATIVE:
                raise InsufficientBalance(leg.pocket, balance)

    def _create_pockets(self) -> None:
        new = [row.row for row in self._pockets().values() if row.row._state.adding]
        LedgerAccount.objects.bulk_create(new)

    def _write_balances(self) -> None:
        moved = [row for row in self._pockets().values() if row.balance != row.written]
        # By the difference, not by the result: a balance written behind our back would not be hidden.
        with connection.cursor() as cursor:
            cursor.execute(
                "UPDATE portfolio_ledgeraccount SET balance = balance + moved.amount"
                " FROM unnest(%s::bigint[], %s::numeric[]) AS moved (id, amount) WHERE portfolio_ledgeraccount.id = moved.id",
                [[row.row.pk for row in moved], [stored(row.balance - row.written) for row in moved]],
            )
        for row in moved:
            row.written = row.balance


def hash_of(header: LedgerTransaction, legs: list[Leg]) -> str:
    """Hash a transaction as the chain does."""
    return transaction_hash(
        previous=header.hash_previous,
        account_id=header.account_id,
        seq=header.seq,
        kind=header.kind,
        reference=header.reference,
        market_at=header.market_at,
        recorded_at=header.recorded_at,
        facts=header.facts,
        legs=legs,
    )


@exactly
def post(
    account: Account,
    *,
    kind: str,
    reference: str,
    legs: Iterable[Leg],
    market_at: datetime,
    now: datetime,
    facts: Mapping[str, Any] | None = None,
) -> LedgerTransaction:
    """Post one transaction on a locked account."""
    journal = Journal(account, now=now)
    header = journal.post(kind=kind, reference=reference, legs=legs, market_at=market_at, facts=facts)
    journal.flush()
    return header
