"""Arbitrate what a pair of bots asks of two accounts, in one transaction on both locked rows. The rules are `trading.desk`'s."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, cast

from django.db import transaction
from django.db.models import Q

from portfolio.models import Intent, Pair
from portfolio.selectors.leases import traders_away
from portfolio.writers import accounts
from portfolio.writers.store import open_desk
from trading.desk import coordination, pairs
from trading.desk.desk import Desk
from trading.desk.refusals import Refusal
from trading.proposals import Outcome, Proposal

TRADER_AWAY: Final = "PAIR_TRADER_AWAY"


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
    if away := _traders_away(account_ids, proposals, now):
        return _decide(account_ids, _refused(proposals, away), at)
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
