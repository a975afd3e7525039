"""What passed from or to positions by the ledger alone, covers and hand-overs, and how it divides the stories of positions."""

from __future__ import annotations

from bisect import bisect
from collections import defaultdict
from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import NamedTuple

from django.db.models import Max, Q

from portfolio.models import BookTransfer, DeficitCover, Fill
from trading.desk.fills import fact_of
from trading.ledger import ZERO
from trading.positions import FillFact


class Passing(NamedTuple):
    """Coins that came to a position, or left it, at their mark: the number of their movement, and what they did."""

    ledger_seq: int
    fact: FillFact


class Chapter(NamedTuple):
    """One step in the story of a position; what passed has no fill."""

    fact: FillFact
    fill: Fill | None


def passings(account_id: int, *, book_id: int | None = None) -> dict[tuple[int, int], list[Passing]]:
    """Return what passed from and to each position of an account, or of one book of it, oldest first."""
    found: defaultdict[tuple[int, int], list[Passing]] = defaultdict(list)
    transfers = BookTransfer.objects.filter(hand_over__account=account_id).values_list(
        "book_before", "book_after", "instrument", "quantity", "value", "ledger_seq"
    )
    covers = DeficitCover.objects.filter(book__account=account_id).values_list(
        "source", "book", "instrument", "quantity", "value", "ledger_seq"
    )
    # The operator's pool, which gives without a position of its own, is no book.
    rows: list[tuple[int | None, int, int, Decimal, Decimal, int]] = [*transfers, *covers]
    for giver, taker, instrument_id, quantity, value, ledger_seq in rows:
        for holder, side in ((giver, "sell"), (taker, "buy")):
            if holder is not None and book_id in (None, holder):
                found[holder, instrument_id].append(Passing(ledger_seq, FillFact(side, quantity, value, ZERO)))
    return {place: sorted(passed) for place, passed in found.items()}


def last_passing(book_id: int, instrument_id: int) -> int:
    """Return the number of the movement that last passed something from or to a position; 0 where nothing ever did."""
    newest = Max("ledger_seq")
    transfers = BookTransfer.objects.filter(Q(book_before=book_id) | Q(book_after=book_id), instrument=instrument_id)
    covers = DeficitCover.objects.filter(Q(book=book_id) | Q(source=book_id), instrument=instrument_id)
    return max(rows.aggregate(newest=newest)["newest"] or 0 for rows in (transfers, covers))


def chronicle(fills: Iterable[Fill], passed: Sequence[Passing]) -> list[Chapter]:
    """Put the fills of a position, and what passed, into the order in which they are folded.

    What passed is a barrier: fills count in the order of their time, but one that was posted after a cover or a hand-over
    comes after it, whenever it was traded. The fills have their movements with them.
    """
    moments = [row.ledger_seq for row in passed]
    dated = sorted((bisect(moments, fill.ledger_transaction.seq), fill.traded_at, fill.trade_id, fill) for fill in fills)
    story: list[Chapter] = []
    told = 0
    for epoch, _, _, fill in dated:
        story += [Chapter(row.fact, None) for row in passed[told:epoch]]
        told = epoch
        story.append(Chapter(fact_of(fill), fill))
    return story + [Chapter(row.fact, None) for row in passed[told:]]
