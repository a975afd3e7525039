"""Arbitrate what bots ask for: one transaction, a fixed order, a reason for every refusal."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from portfolio.models import Account, DecisionRecord, Intent
from portfolio.writers import accounts, books
from portfolio.writers.admission import Refusal
from portfolio.writers.desk import Desk
from portfolio.writers.placing import new_stop, place, replace_stop
from trading.ledger import exactly
from trading.proposals import Outcome, Proposal, ProposalKind, arbitration_order

_KINDS = {
    ProposalKind.ENTER: Intent.Kind.ENTER,
    ProposalKind.EXIT: Intent.Kind.EXIT,
    ProposalKind.PLACE: Intent.Kind.PLACE,
}


@exactly
def coordinate(account: Account, proposals: Sequence[Proposal], *, market_at: datetime, now: datetime) -> list[Outcome]:
    """Record every decision and turn the acceptable ones into orders; answer in the order given.

    Runs inside the caller's transaction on a locked account. Exits come before entries, then the bots' ranks
    count, then each bot's own order.
    """
    if not any(_is_action(proposal) for proposal in proposals):
        return _record_only(account, proposals, market_at=market_at, now=now)
    instrument_ids = {proposal.instrument_id for proposal in proposals if proposal.instrument_id is not None}
    desk = Desk(account, market_at=market_at, now=now, instrument_ids=instrument_ids)
    outcomes: dict[tuple[int, int], Outcome] = {}
    for proposal in arbitration_order(list(proposals)):
        outcomes[proposal.book_id, proposal.leg] = _decide(desk, proposal)
    desk.write()
    return [outcomes[proposal.book_id, proposal.leg] for proposal in proposals]


@exactly
def flatten(account: Account, book_id: int, *, market_at: datetime, now: datetime, reason: str) -> int:
    """Cancel everything of a book and sell all it holds once the cancels are proven; answer how many sells."""
    desk = Desk(account, market_at=market_at, now=now)
    for order in list(desk.live):
        if order.book_id == book_id:
            desk.cancel(order)
    for waiting in list(desk.waiting):
        if waiting.book_id == book_id:
            desk.drop(waiting, reason)
    count = 0
    for position in desk.positions_of(book_id):
        intent = Intent(
            book_id=book_id,
            kind=Intent.Kind.FLATTEN,
            instrument=desk.instrument(position.instrument_id),
            side="sell",
            lots=0,
            reason=reason,
            market_at=market_at,
        )
        desk.admit(intent)
        if place(desk, intent):
            desk.forget(intent)
        else:
            count += 1
    desk.write()
    accounts.changed(account)
    return count


def _is_action(proposal: Proposal) -> bool:
    return proposal.kind != ProposalKind.HOLD and not proposal.denial


def _record_only(account: Account, proposals: Sequence[Proposal], *, market_at: datetime, now: datetime) -> list[Outcome]:
    outcomes = [_unacted(proposal) for proposal in proposals]
    DecisionRecord.objects.bulk_create([_decision(outcome, market_at=market_at, now=now) for outcome in outcomes])
    if proposals:
        books.raise_versions(proposal.book_id for proposal in proposals)
        accounts.changed(account)
    return outcomes


def _decide(desk: Desk, proposal: Proposal) -> Outcome:
    if not _is_action(proposal):
        outcome, intent = _unacted(proposal), None
    else:
        refusal, intent = _act(desk, proposal)
        outcome = Outcome(proposal, is_accepted=refusal is None)
        if refusal is not None:
            outcome = Outcome(proposal, is_accepted=False, code=refusal.code, facts=refusal.facts)
    decision = _decision(outcome, market_at=desk.market_at, now=desk.now)
    desk.record(decision)
    if intent is not None:
        intent.decision = decision
    return outcome


def _act(desk: Desk, proposal: Proposal) -> tuple[Refusal | None, Intent | None]:
    if proposal.kind == ProposalKind.CANCEL:
        return _cancel(desk, proposal), None
    if proposal.kind == ProposalKind.MOVE_STOP:
        return _move_stop(desk, proposal)
    intent = _intent(desk, proposal)
    desk.admit(intent)
    refusal = place(desk, intent)
    if refusal is not None:
        desk.forget(intent)
        return refusal, None
    return None, intent


def _intent(desk: Desk, proposal: Proposal) -> Intent:
    assert proposal.instrument_id is not None
    sides = {ProposalKind.ENTER: "buy", ProposalKind.EXIT: "sell"}
    return Intent(
        book_id=proposal.book_id,
        kind=_KINDS[proposal.kind],
        instrument=desk.instrument(proposal.instrument_id),
        side=sides.get(proposal.kind, proposal.side),
        slot=proposal.slot,
        lots=proposal.lots,
        limit_price=None if proposal.kind == ProposalKind.EXIT else proposal.limit_price,
        stop_price=proposal.stop_price or None,
        reason=proposal.reason,
        market_at=desk.market_at,
    )


def _cancel(desk: Desk, proposal: Proposal) -> Refusal | None:
    assert proposal.instrument_id is not None
    found = [
        order
        for order in desk.live_of(proposal.book_id, proposal.instrument_id)
        if order.slot == proposal.slot and order.intent.kind == Intent.Kind.PLACE
    ]
    waiting = [
        intent
        for intent in desk.waiting_of(proposal.book_id, proposal.instrument_id)
        if intent.slot == proposal.slot and intent.kind == Intent.Kind.PLACE
    ]
    for order in found:
        desk.cancel(order)
    for intent in waiting:
        desk.drop(intent, "CANCEL_REQUESTED")
    return None if found or waiting else Refusal("ORDER_NOT_FOUND", {"slot": proposal.slot})


def _move_stop(desk: Desk, proposal: Proposal) -> tuple[Refusal | None, Intent | None]:
    assert proposal.instrument_id is not None
    instrument = desk.instrument(proposal.instrument_id)
    position = desk.position(proposal.book_id, proposal.instrument_id)
    if position is None or position.quantity < instrument.lot_size:
        return Refusal("POSITION_EMPTY", {}), None
    stop = new_stop(
        proposal.book_id,
        desk,
        instrument_id=proposal.instrument_id,
        stop_price=proposal.stop_price,
        reason=proposal.reason,
    )
    refusal = replace_stop(desk, stop)
    return refusal, stop


def _unacted(proposal: Proposal) -> Outcome:
    return Outcome(proposal, is_accepted=False, code=proposal.denial)


def _decision(outcome: Outcome, *, market_at: datetime, now: datetime) -> DecisionRecord:
    proposal = outcome.proposal
    is_hold = proposal.kind == ProposalKind.HOLD
    word = "none" if is_hold and not outcome.code else "accepted" if outcome.is_accepted else "denied"
    facts = dict(proposal.facts)
    if outcome.facts:
        facts["denial"] = dict(outcome.facts)
    return DecisionRecord(
        book_id=proposal.book_id,
        bar_closed_at=market_at,
        leg=proposal.leg,
        instrument_id=proposal.instrument_id,
        action=proposal.kind.value,
        reason=proposal.reason,
        outcome=word,
        denial=outcome.code,
        facts=facts,
        strategy_hash=proposal.strategy_hash,
        config_hash=proposal.config_hash,
        recorded_at=now,
    )
