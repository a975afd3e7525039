"""Arbitrate what a pair of bots asks of two accounts, in one transaction on both locked rows. The rules are `trading.desk`'s."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Final, cast

from django.db import transaction
from django.db.models import Q

from portfolio.models import Book, Intent, Pair
from portfolio.selectors.leases import traders_away
from portfolio.selectors.pairs import one_leg_losses
from portfolio.writers import accounts
from portfolio.writers.store import open_desk
from trading.desk import coordination, pairs
from trading.desk.desk import Desk
from trading.desk.refusals import Refusal
from trading.ledger import UNIT, ZERO, floor_to, plain
from trading.proposals import Outcome, Proposal
from trading.risk import HUNDREDTH

TRADER_AWAY: Final = "PAIR_TRADER_AWAY"
LOST_TOO_MUCH: Final = "PAIR_ONE_LEG_LOSSES"
# Of the capital of both books, for one day of market time (UTC).
ONE_LEG_LOSS_PERCENT: Final = Decimal(1)


class _ApartError(Exception):
    """Ends the trial of two legs of which one cannot go out."""

    def __init__(self, refusals: Mapping[int, Refusal]) -> None:
        super().__init__()
        self.refusals = refusals


@dataclass(frozen=True, slots=True)
class _Moment:
    market_at: datetime
    now: datetime


def coordinate_pair(
    account_ids: Collection[int], proposals: Mapping[int, Sequence[Proposal]], *, market_at: datetime, now: datetime
) -> dict[int, list[Outcome]]:
    """Record every decision of one candle, by account, and order what is acceptable: of two legs both, or neither.

    Runs inside the caller's transaction, which has locked both accounts. Legs go out only while both traders can send them.
    """
    at = _Moment(market_at, now)
    if stopped := _traders_away(account_ids, proposals, now) or _lost_too_much(account_ids, proposals, at):
        return _decide(account_ids, _refused(proposals, stopped), at)
    try:
        # What the trial of a leg did at once is undone with it: an order that was taken back makes room no more.
        with transaction.atomic():
            return _decide(account_ids, proposals, at)
    except _ApartError as apart:
        return _decide(account_ids, _refused(proposals, apart.refusals), at)


def _traders_away(account_ids: Collection[int], proposals: Mapping[int, Sequence[Proposal]], now: datetime) -> dict[int, Refusal]:
    if not any(proposal.is_leg for found in proposals.values() for proposal in found):
        return {}
    return {account_id: Refusal(TRADER_AWAY, {"account": account_id}) for account_id in traders_away(account_ids, now=now)}


def _lost_too_much(account_ids: Collection[int], proposals: Mapping[int, Sequence[Proposal]], at: _Moment) -> dict[int, Refusal]:
    """Begin no pair for the rest of the market's day once failed legs have lost too much; what they left over is undone still."""
    book_ids = {proposal.book_id for found in proposals.values() for proposal in found if proposal.is_leg}
    if not book_ids:
        return {}
    lost = one_leg_losses(book_ids, since=at.market_at.replace(hour=0, minute=0, second=0, microsecond=0))
    capital = sum(Book.objects.filter(pk__in=book_ids).values_list("base_equity", flat=True), ZERO)
    most = floor_to(max(capital, ZERO) * ONE_LEG_LOSS_PERCENT * HUNDREDTH, UNIT)
    if lost <= most:
        return {}
    return dict.fromkeys(account_ids, Refusal(LOST_TOO_MUCH, {"lost_today": plain(lost), "most": plain(most)}))


def _decide(account_ids: Collection[int], proposals: Mapping[int, Sequence[Proposal]], at: _Moment) -> dict[int, list[Outcome]]:
    # Read anew for each candle and each trial: a desk counts in the account's row, and what a trial counted never was.
    desks = {
        account_id: open_desk(accounts.lock(account_id), market_at=at.market_at, now=at.now)
        for account_id in sorted(account_ids)
        if account_id in proposals
    }
    outcomes = {pk: coordination.coordinate(desk, proposals[pk]) for pk, desk in desks.items()}
    is_refused = all(outcome.proposal.denial for found in outcomes.values() for outcome in found if outcome.proposal.is_leg)
    if not is_refused and (refusals := pairs.refusals(desks, outcomes)):
        raise _ApartError(refusals)
    _number(desks, outcomes, at)
    for desk in desks.values():
        desk.write()
    return outcomes


def _refused(proposals: Mapping[int, Sequence[Proposal]], refusals: Mapping[int, Refusal]) -> dict[int, list[Proposal]]:
    return {pk: [pairs.refused(proposal, refusals.get(pk)) for proposal in found] for pk, found in proposals.items()}


def _number(desks: Mapping[int, Desk], outcomes: Mapping[int, Sequence[Outcome]], at: _Moment) -> None:
    """Journal both legs under one number, and under the same what undoes the rest of one."""
    accepted = [
        (desks[pk], outcome.proposal)
        for pk, found in outcomes.items()
        for outcome in found
        if outcome.is_accepted and outcome.proposal.pair
    ]
    intents = [(cast("Intent", pairs.intent_of(desk, proposal)), proposal) for desk, proposal in accepted]
    legs = {intent.side: intent for intent, proposal in intents if proposal.is_leg}
    if legs:
        number = next(proposal.pair for _, proposal in accepted if proposal.is_leg)
        row = Pair.objects.create(
            number=number,
            bought_id=legs["buy"].book_id,
            sold_id=legs["sell"].book_id,
            market_at=at.market_at,
            created_at=at.now,
        )
        for leg in legs.values():
            leg.pair = row
    for intent, proposal in intents:
        if not proposal.is_leg:
            mine = Q(bought=intent.book_id) | Q(sold=intent.book_id)
            intent.pair = Pair.objects.filter(mine, number=proposal.pair).order_by("-id").first()
