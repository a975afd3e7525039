"""Verify the books as they grow: what is new in every cycle, and everything again once a day, a slice at a time."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final

from django.db import connection, transaction

from portfolio.jobs.verify import Finding, check_holdings, check_live_reservations, journal, name_of
from portfolio.models import Account, Fill, LedgerAccount, LedgerCheckpoint
from portfolio.writers.ledger import hash_of
from trading.ledger import ZERO, NotZeroSum, checked_legs, exactly, plain

# Transactions in one call: a cycle stays short however much there is to catch up with.
SLICE: Final = 5_000
# A day of cycles: so many slices look at everything again.
_CYCLES_A_DAY: Final = 2_880
_AGAIN_MIN: Final = 500


@dataclass(slots=True)
class _Walk:
    """A walk along the journal: where it stands and what every ledger account holds there."""

    seq: int
    hash: str
    balances: defaultdict[int, Decimal]


@exactly
def verify_new(account_id: int, *, now: datetime) -> list[Finding]:
    """Verify what was written since the last call against what was verified then; takes no lock and reads no more than that."""
    with _snapshot():
        checkpoint, findings = _verify_on(Account.objects.get(id=account_id), now=now)
    if not findings:
        # After the snapshot, which refuses to be written to where the account has moved on meanwhile.
        checkpoint.save()
    return findings


def _verify_on(account: Account, *, now: datetime) -> tuple[LedgerCheckpoint, list[Finding]]:
    checkpoint = LedgerCheckpoint.objects.filter(account=account).first()
    checkpoint = checkpoint or LedgerCheckpoint(account=account, seq=0, checked_at=now)
    walk = _Walk(checkpoint.seq, checkpoint.hash, _amounts(checkpoint.balances))
    findings = _walk_on(account, walk, SLICE)
    if walk.seq >= account.ledger_seq:
        findings += _check_head(account, walk) + _check_balances(account, walk)
        findings += check_holdings(account) + check_live_reservations(account)
    fill_id, fill_count = _count_fills(account, checkpoint)
    if walk.seq >= account.ledger_seq and fill_count != account.trades_posted:
        findings.append(Finding("I-20", f"The account counts {account.trades_posted} trades, its fills are {fill_count}"))
    findings += _look_again(account, checkpoint, news=walk.seq - checkpoint.seq, now=now)
    checkpoint.seq, checkpoint.hash, checkpoint.balances = walk.seq, walk.hash, _texts(walk.balances)
    checkpoint.fill_id, checkpoint.fill_count, checkpoint.checked_at = fill_id, fill_count, now
    return checkpoint, findings


@exactly
def verify_from_the_first(account_id: int) -> list[Finding]:
    """Verify the whole journal in one go, a slice at a time and without the account's lock."""
    with _snapshot():
        account = Account.objects.get(id=account_id)
        walk, findings = _Walk(0, "", defaultdict(lambda: ZERO)), list[Finding]()
        while walk.seq < account.ledger_seq and not findings:
            findings += _walk_on(account, walk, SLICE)
        return findings or _check_head(account, walk) + _check_balances(account, walk)


def _walk_on(account: Account, walk: _Walk, count: int) -> list[Finding]:
    """Follow the chain for so many transactions: numbers, hashes, zero sums (I-01, I-05)."""
    findings = []
    for header, pockets, legs in journal(account, after=walk.seq, through=walk.seq + count):
        if header.seq != walk.seq + 1 or header.hash_previous != walk.hash:
            findings.append(Finding("I-05", f"Transaction {header.seq} does not follow {walk.seq}"))
        try:
            checked_legs(legs)
        except NotZeroSum as broken:
            findings.append(Finding("I-01", f"Transaction {header.seq}: {broken}"))
        if hash_of(header, legs) != header.hash:
            findings.append(Finding("I-05", f"Transaction {header.seq} does not match its hash"))
        for pocket, leg in zip(pockets, legs, strict=True):
            walk.balances[pocket] += leg.amount
        walk.seq, walk.hash = header.seq, header.hash
        if findings:
            break
    return findings


def _check_head(account: Account, walk: _Walk) -> list[Finding]:
    if (walk.seq, walk.hash) == (account.ledger_seq, account.ledger_hash):
        return []
    return [Finding("I-05", f"The account's head is {account.ledger_seq}, the journal was verified up to {walk.seq}")]


def _check_balances(account: Account, walk: _Walk) -> list[Finding]:
    """Check that every balance is the sum of its entries (I-04): a balance edited by hand is found here (D16)."""
    return [
        Finding("I-04", f"{name_of(row)} holds {plain(row.balance)}, its entries {plain(walk.balances[row.pk])}")
        for row in LedgerAccount.objects.filter(account=account)
        if row.balance != walk.balances[row.pk]
    ]


def _count_fills(account: Account, checkpoint: LedgerCheckpoint) -> tuple[int, int]:
    new = Fill.objects.filter(account=account, id__gt=checkpoint.fill_id).order_by("id").values_list("id", flat=True)
    ids = list(new)
    return (ids[-1] if ids else checkpoint.fill_id), checkpoint.fill_count + len(ids)


def _look_again(account: Account, checkpoint: LedgerCheckpoint, *, news: int, now: datetime) -> list[Finding]:
    """Walk another slice of what was verified before; at its end the day's look is whole."""
    is_done_today = checkpoint.full_at is not None and now - checkpoint.full_at < timedelta(days=1)
    if checkpoint.seq == 0 or (checkpoint.again_seq == 0 and is_done_today):
        return []
    walk = _Walk(checkpoint.again_seq, checkpoint.again_hash, _amounts(checkpoint.again_balances))
    # Faster than the journal grows, or the look would never end.
    count = min(max(_AGAIN_MIN, checkpoint.seq // _CYCLES_A_DAY + 1, 2 * news), checkpoint.seq - walk.seq)
    findings = _walk_on(account, walk, count)
    checkpoint.again_seq, checkpoint.again_hash, checkpoint.again_balances = walk.seq, walk.hash, _texts(walk.balances)
    if not findings and walk.seq >= checkpoint.seq:
        if (walk.hash, _texts(walk.balances)) != (checkpoint.hash, _texts(_amounts(checkpoint.balances))):
            findings.append(Finding("I-05", f"The journal up to {walk.seq} is not the one that was verified"))
        checkpoint.again_seq, checkpoint.again_hash, checkpoint.again_balances = 0, "", {}
        checkpoint.full_at = now
    return findings


@contextmanager
def _snapshot() -> Iterator[None]:
    """Read everything as of one moment; inside somebody's transaction, as of its own."""
    is_own = not connection.in_atomic_block
    with transaction.atomic():
        if is_own:
            with connection.cursor() as cursor:
                cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        yield


def _amounts(stored: Mapping[str, str]) -> defaultdict[int, Decimal]:
    return defaultdict(lambda: ZERO, {int(pocket): Decimal(amount) for pocket, amount in stored.items()})


def _texts(amounts: Mapping[int, Decimal]) -> dict[str, str]:
    return {str(pocket): plain(amount) for pocket, amount in sorted(amounts.items()) if amount}
