"""The ledger's only writer: movements of a transaction, collected by the rules, written in one statement."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, Final, cast

from psycopg.types.json import Jsonb

from marketdata import sql
from portfolio.models import Account, LedgerAccount, LedgerTransaction
from trading.desk import journal
from trading.desk.journal import EXTERNAL, InsufficientBalance
from trading.desk.rows import AccountRow
from trading.desk.store import Movement
from trading.ledger import Leg, Pocket, exactly, stored, transaction_hash

__all__ = ["EXTERNAL", "InsufficientBalance", "Journal", "Pockets", "hash_of", "post"]

_LOAD: Final = "SELECT id, kind, book_id, asset, balance FROM portfolio_ledgeraccount WHERE account_id = %s"
_OF_BOOKS: Final = " AND (book_id IS NULL OR book_id = ANY(%s))"
# Entries are numbered in the order of their legs, which is the order that the hash covers. Balances move by the difference,
# not to the result: a balance written behind our back would not be hidden.
_WRITE: Final = """
WITH header AS (
    INSERT INTO portfolio_ledgertransaction
        (account_id, seq, kind, reference, market_at, recorded_at, facts, hash_previous, hash)
    SELECT %s, draft.*
    FROM unnest(%s::bigint[], %s::text[], %s::text[], %s::timestamptz[], %s::timestamptz[], %s::jsonb[], %s::text[], %s::text[])
        AS draft
    RETURNING id, seq
), entry AS (
    INSERT INTO portfolio_ledgerentry (transaction_id, ledger_account_id, amount)
    SELECT header.id, leg.pocket, leg.amount
    FROM unnest(%s::bigint[], %s::bigint[], %s::numeric[]) WITH ORDINALITY AS leg (seq, pocket, amount, place)
    JOIN header ON header.seq = leg.seq
    ORDER BY leg.place
), balance AS (
    UPDATE portfolio_ledgeraccount SET balance = balance + moved.amount
    FROM unnest(%s::bigint[], %s::numeric[]) AS moved (id, amount) WHERE portfolio_ledgeraccount.id = moved.id
)
SELECT seq, id FROM header
"""


class Pockets:
    """The pockets of a locked account: their balances and the numbers of their rows."""

    def __init__(self, account: Account) -> None:
        self._account = account
        self._ids: dict[Pocket, int] = {}

    def load(self, book_ids: Collection[int] | None) -> dict[Pocket, Decimal]:
        """Return the balances of the pools and of these books, or of all."""
        of_books = [] if book_ids is None else [list(book_ids)]
        balances = {}
        for pk, kind, book_id, asset, balance in sql.rows(_LOAD + _OF_BOOKS * len(of_books), self._account.pk, *of_books):
            pocket = Pocket(kind, book_id, asset)
            self._ids[pocket] = pk
            balances[pocket] = balance
        return balances

    def write(self, movements: Sequence[Movement], moved: Mapping[Pocket, Decimal]) -> dict[int, int]:
        """Write headers, legs and balances; answer the numbers of the headers by sequence."""
        if not movements:
            return {}
        self._create_missing({leg.pocket for movement in movements for leg in movement.legs})
        legs = [(movement.seq, self._ids[leg.pocket], leg.amount) for movement in movements for leg in movement.legs]
        balances = [(self._ids[pocket], stored(amount)) for pocket, amount in moved.items()]
        values: list[Any] = [
            self._account.pk,
            *_columns((m.seq, m.kind, m.reference, m.market_at, m.recorded_at, Jsonb(m.facts), m.hash_previous, m.hash)
                      for m in movements),
            *_columns(legs),
            *(_columns(balances) or [[], []]),
        ]  # fmt: skip
        return dict(sql.rows(_WRITE, *values))

    def _create_missing(self, pockets: set[Pocket]) -> None:
        missing = sorted(pockets - self._ids.keys(), key=lambda pocket: (pocket.kind, pocket.book_id or 0, pocket.asset))
        rows = [LedgerAccount(account=self._account, kind=kind, book_id=book, asset=asset) for kind, book, asset in missing]
        for pocket, row in zip(missing, LedgerAccount.objects.bulk_create(rows), strict=True):
            self._ids[pocket] = row.pk


class Journal:
    """The movements of one database transaction on a locked account; nothing is written before `flush`."""

    def __init__(self, account: Account, *, now: datetime, book_ids: Collection[int] | None = None) -> None:
        """Open a journal that first loads the pools and these books, or all books."""
        self.account = account
        self._pockets = Pockets(account)
        self._journal = journal.Journal(cast("AccountRow", account), self._pockets.load, now=now)
        if book_ids is not None:
            self._journal.narrow(book_ids)
        self._headers: dict[int, LedgerTransaction] = {}

    def balance(self, pocket: Pocket) -> Decimal:
        """Return a pocket's balance with everything posted so far."""
        return self._journal.balance(pocket)

    def balances(self) -> dict[Pocket, Decimal]:
        """Return the balances of all pockets that exist."""
        return self._journal.balances()

    def post(
        self, *, kind: str, reference: str, legs: Iterable[Leg], market_at: datetime, facts: Mapping[str, Any] | None = None
    ) -> LedgerTransaction:
        """Post a transaction of legs that sum to zero for every asset; it has its number once it is written."""
        movement = self._journal.post(kind=kind, reference=reference, legs=legs, market_at=market_at, facts=facts)
        header = LedgerTransaction(
            account=self.account,
            seq=movement.seq,
            kind=kind,
            reference=reference,
            market_at=market_at,
            recorded_at=movement.recorded_at,
            facts=movement.facts,
            hash_previous=movement.hash_previous,
            hash=movement.hash,
        )
        self._headers[movement.seq] = header
        return header

    def flush(self) -> None:
        """Write what was posted: pockets, headers, legs, balances and the account's head."""
        movements, moved = self._journal.taken()
        for seq, pk in self._pockets.write(movements, moved).items():
            header = self._headers.pop(seq)
            header.pk, header._state.adding = pk, False
        if movements:
            self.account.save(update_fields=["ledger_seq", "ledger_hash"])


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
    book = Journal(account, now=now)
    header = book.post(kind=kind, reference=reference, legs=legs, market_at=market_at, facts=facts)
    book.flush()
    return header


def _columns(rows: Iterable[tuple[Any, ...]]) -> list[list[Any]]:
    return [list(column) for column in zip(*rows, strict=True)]
