"""Recompute everything the tables of money claim, from the journal up."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from django.db import transaction
from django.db.models import F, Q, Sum

from portfolio import selectors
from portfolio.models import (
    Account,
    Book,
    Fill,
    LedgerAccount,
    LedgerEntry,
    LedgerTransaction,
    Order,
    Position,
    Reservation,
)
from portfolio.selectors.modes import transfer_values
from portfolio.selectors.passings import chronicle, passings
from portfolio.writers import accounts
from portfolio.writers.ledger import hash_of
from trading.desk.reservations import obligation
from trading.ledger import ZERO, Leg, NotZeroSum, Pocket, checked_legs, exactly, plain
from trading.order_status import LIVE
from trading.positions import fold, fold_first_in_first_out

Kind = LedgerAccount.Kind
_FAR: Final = 2**62
# Fees that the reservation of a buy allows for; a rebate is a gift.
_FORESEEN: Final = Q(order__fee_ppm__gt=0, fee__gt=0, fee_asset=F("instrument__quote"))


@dataclass(frozen=True, slots=True)
class Finding:
    """A broken invariant: its number and the figures."""

    invariant: str
    message: str


@exactly
def verify(account_id: int) -> list[Finding]:
    """Check an account's books against their own journal; an empty answer means that everything holds."""
    with transaction.atomic():
        account = accounts.lock(account_id)
        return [
            *check_balances(account),
            *check_chain(account),
            *check_reservations(account),
            *check_fills(account),
            *check_positions(account),
            *check_profit(account),
        ]


def check_balances(account: Account) -> list[Finding]:
    """Check that every balance is the sum of its entries (I-04) and no pocket of ours is negative (I-07)."""
    sums = dict(
        LedgerEntry.objects.filter(ledger_account__account=account).values_list("ledger_account").annotate(total=Sum("amount"))
    )
    findings = []
    for row in LedgerAccount.objects.filter(account=account):
        total = sums.get(row.pk, ZERO)
        if row.balance != total:
            findings.append(Finding("I-04", f"{name_of(row)} holds {plain(row.balance)}, its entries {plain(total)}"))
    return findings


def check_chain(account: Account) -> list[Finding]:
    """Check zero sums (I-01), sequence and hashes from the first transaction to the account's head (I-05)."""
    findings: list[Finding] = []
    seq, previous = 0, ""
    for header, _, legs in journal(account, after=0, through=_FAR):
        seq += 1
        if header.seq != seq or header.hash_previous != previous:
            findings.append(Finding("I-05", f"Transaction {header.seq} does not follow {seq - 1}"))
            seq = header.seq
        try:
            checked_legs(legs)
        except NotZeroSum as broken:
            findings.append(Finding("I-01", f"Transaction {header.seq}: {broken}"))
        if hash_of(header, legs) != header.hash:
            findings.append(Finding("I-05", f"Transaction {header.seq} does not match its hash"))
        previous = header.hash
    if (seq, previous) != (account.ledger_seq, account.ledger_hash):
        findings.append(Finding("I-05", f"The account's head is {account.ledger_seq}, the journal ends at {seq}"))
    return findings


def check_reservations(account: Account) -> list[Finding]:
    """Check that reservations are worst cases (I-08), one for each live order (I-10), and add up (I-11)."""
    findings = []
    sums: dict[tuple[int, str], Decimal] = defaultdict(lambda: ZERO)
    for row in Reservation.objects.filter(order__account=account).select_related("order"):
        wanted = obligation(row.order)
        sums[row.order.book_id, row.asset] += row.remaining
        if row.remaining != wanted:
            name = row.order.client_order_id
            findings.append(Finding("I-08", f"{name} reserves {plain(row.remaining)}, worst case {plain(wanted)}"))
        if row.initial != row.posted + row.voided + row.remaining:
            findings.append(Finding("I-11", f"The reservation of {row.order.client_order_id} does not add up"))
    bare = Order.objects.filter(account=account, reservation__isnull=True)
    findings += [Finding("I-10", f"{order.client_order_id} has no reservation") for order in bare]
    for pocket in LedgerAccount.objects.filter(account=account, kind=Kind.RESERVED):
        wanted = sums.pop((pocket.book_id or 0, pocket.asset), ZERO)
        if pocket.balance != wanted:
            findings.append(Finding("I-08", f"{name_of(pocket)} holds {plain(pocket.balance)}, reserved {plain(wanted)}"))
    findings += [
        Finding("I-08", f"Book {book} reserves {asset} without a pocket") for (book, asset), left in sums.items() if left
    ]
    return findings


def check_fills(account: Account) -> list[Finding]:
    """Check that orders count exactly their fills (I-15) and that every fill has its transaction."""
    findings = []
    sums = {
        order_id: (quantity, quote, fee or ZERO)
        for order_id, quantity, quote, fee in Fill.objects.filter(account=account, order__isnull=False)
        .values_list("order")
        .annotate(quantity_sum=Sum("quantity"), quote_sum=Sum("quote_quantity"), fee_sum=Sum("fee", filter=_FORESEEN))
    }
    for order in Order.objects.filter(account=account):
        counted = (order.filled_quantity, order.filled_quote, order.filled_fee)
        if counted != sums.get(order.pk, (ZERO, ZERO, ZERO)):
            findings.append(Finding("I-15", f"{order.client_order_id} does not count exactly its fills"))
        if order.status == Order.Status.FILLED and order.filled_quantity != order.quantity:
            findings.append(Finding("I-15", f"{order.client_order_id} is filled but lacks fills"))
    if Fill.objects.filter(account=account).count() != account.trades_posted:
        findings.append(Finding("I-20", f"The account counts {account.trades_posted} trades, other than its fills"))
    return findings


def check_positions(account: Account) -> list[Finding]:
    """Check positions against the fold of their fills (I-21, I-27..I-29) and against the ledger's holdings."""
    findings = []
    rows = Fill.objects.filter(account=account, book__isnull=False).select_related("instrument", "ledger_transaction")
    fills: dict[tuple[int, int], list[Fill]] = defaultdict(list)
    for fill in rows:
        assert fill.book_id is not None
        fills[fill.book_id, fill.instrument_id].append(fill)
    passed = passings(account.pk)
    held: dict[tuple[int, str], Decimal] = defaultdict(lambda: ZERO)
    for position in Position.objects.filter(book__account=account).select_related("instrument"):
        place = (position.book_id, position.instrument_id)
        facts = [chapter.fact for chapter in chronicle(fills.pop(place, ()), passed.get(place, ()))]
        folded, _ = fold(facts)
        oracle = fold_first_in_first_out(facts)
        stored = (position.quantity, position.cost, position.realised, position.fees)
        name = f"Position {position.instrument.symbol} of book {position.book_id}"
        if stored != (folded.quantity, folded.cost, folded.realised, folded.fees):
            findings.append(Finding("I-29", f"{name} is not the fold of its fills"))
        if folded.realised - folded.cost != oracle.realised - oracle.cost:
            findings.append(Finding("I-27", f"{name} differs between average cost and first in, first out"))
        if folded.quantity == ZERO and folded.cost != ZERO:
            findings.append(Finding("I-28", f"{name} is closed and still costs {plain(folded.cost)}"))
        held[position.book_id, position.instrument.base] += position.quantity
    findings += [Finding("I-29", f"Book {book} has fills and no position in {which}") for book, which in fills]
    return findings + check_holdings(account, held)


def check_profit(account: Account) -> list[Finding]:
    """Check that every book's gains explain its worth (I-26) and that all together explain the account's (I-25)."""
    findings = []
    overview = selectors.account_overview(account.pk)
    for book in overview.books:
        gained = book.realised + book.unrealised
        if gained != book.pnl and not book.unpriced:
            findings.append(
                Finding("I-26", f"{book.name} realised and unrealised {plain(gained)}, worth less flows {plain(book.pnl)}")
            )
    together = sum((book.pnl for book in overview.books), ZERO) + overview.pools_pnl
    if together != overview.pnl:
        findings.append(Finding("I-25", f"Books and pools made {plain(together)}, the account {plain(overview.pnl)}"))
    flows = dict(
        LedgerEntry.objects.filter(
            ledger_account__account=account, ledger_account__book__isnull=False, transaction__kind="allocation"
        )
        .values_list("ledger_account__book")
        .annotate(total=Sum("amount"))
    )
    for book_id, worth in transfer_values(account.pk).items():
        flows[book_id] = flows.get(book_id, ZERO) + worth
    return findings + [
        Finding("I-25", f"{row.name} counts flows of {plain(row.net_flows)}, the journal {flows.get(row.pk)}")
        for row in Book.objects.filter(account=account)
        if row.net_flows != flows.get(row.pk, ZERO)
    ]


def journal(account: Account, *, after: int, through: int) -> Iterator[tuple[LedgerTransaction, list[int], list[Leg]]]:
    """Yield transactions of a range in order, each with its legs and the ledger accounts they moved."""
    headers = {
        row.pk: row for row in LedgerTransaction.objects.filter(account=account, seq__gt=after, seq__lte=through).order_by("seq")
    }
    entries = LedgerEntry.objects.filter(transaction__account=account, transaction__seq__gt=after, transaction__seq__lte=through)
    moved: dict[int, list[LedgerEntry]] = {pk: [] for pk in headers}
    for entry in entries.select_related("ledger_account").order_by("transaction__seq", "id"):
        moved[entry.transaction_id].append(entry)
    for pk, header in headers.items():
        rows = [entry.ledger_account for entry in moved[pk]]
        legs = [Leg(Pocket(row.kind, row.book_id, row.asset), entry.amount) for row, entry in zip(rows, moved[pk], strict=True)]
        yield header, [row.pk for row in rows], legs


def check_live_reservations(account: Account) -> list[Finding]:
    """Check the reservations that hold something, and those of orders that must hold something (I-08)."""
    rows = Reservation.objects.filter(order__account=account).select_related("order")
    return [
        Finding(
            "I-08",
            f"{row.order.client_order_id} reserves {plain(row.remaining)}, worst case {plain(obligation(row.order))}",
        )
        for row in rows.filter(Q(remaining__gt=0) | Q(order__status__in=LIVE))
        if row.remaining != obligation(row.order)
    ]


def check_holdings(account: Account, held: Mapping[tuple[int, str], Decimal] | None = None) -> list[Finding]:
    """Check that every book owns what its positions say (I-26)."""
    if held is None:
        sums: dict[tuple[int, str], Decimal] = defaultdict(lambda: ZERO)
        for position in Position.objects.filter(book__account=account).select_related("instrument"):
            sums[position.book_id, position.instrument.base] += position.quantity
        held = sums
    ours: dict[tuple[int, str], Decimal] = defaultdict(lambda: ZERO)
    rows = LedgerAccount.objects.filter(account=account, kind__in=(Kind.AVAILABLE, Kind.RESERVED, Kind.DEFICIT))
    for row in rows.exclude(asset=account.quote_asset):
        if row.book_id is not None:
            ours[row.book_id, row.asset] += row.balance
    return [
        Finding(
            "I-26",
            f"Book {book} owns {plain(ours.get((book, asset), ZERO))} {asset}, "
            f"its positions say {plain(held.get((book, asset), ZERO))}",
        )
        for book, asset in sorted(ours.keys() | held.keys())
        if ours.get((book, asset), ZERO) != held.get((book, asset), ZERO)
    ]


def name_of(row: LedgerAccount) -> str:
    """Name a ledger account in a finding."""
    return f"{row.kind} {row.asset} of book {row.book_id}" if row.book_id else f"{row.kind} {row.asset}"
