"""Arbitrate what bots ask for: a fixed order, a reason for every refusal."""

from __future__ import annotations

from collections.abc import Sequence

from trading.desk.admission import expected_price
from trading.desk.desk import Desk
from trading.desk.placing import new_stop, place, replace_stop
from trading.desk.refusals import Refusal
from trading.desk.releases import call_off, note_lost_stop
from trading.desk.rows import ENTER, EXIT, PLACE, STOP_PROTECTIVE, DecisionRow, IntentRow
from trading.desk.standing_down import sell_out
from trading.desk.turns import turn_refusal
from trading.ledger import exactly
from trading.proposals import Outcome, Proposal, ProposalKind, arbitration_order

_KINDS = {ProposalKind.ENTER: ENTER, ProposalKind.EXIT: EXIT, ProposalKind.PLACE: PLACE}
_SIDES = {ProposalKind.ENTER: "buy", ProposalKind.EXIT: "sell"}


@exactly
def coordinate(desk: Desk, proposals: Sequence[Proposal]) -> list[Outcome]:
    """Record every decision and turn the acceptable ones into orders; answer in the order given.

    Exits come before entries, then the bots' ranks count, then each bot's own order.
    """
    desk.prefetch(proposal.instrument_id for proposal in proposals if _is_action(proposal) and proposal.instrument_id is not None)
    outcomes: dict[tuple[int, int], Outcome] = {}
    for proposal in arbitration_order(list(proposals)):
        outcomes[proposal.book_id, proposal.leg] = _decide(desk, proposal)
    return [outcomes[proposal.book_id, proposal.leg] for proposal in proposals]


@exactly
def flatten(desk: Desk, book_id: int, *, reason: str) -> int:
    """Cancel everything of a book and sell all it holds once the cancels are proven; answer how many sells.

    An order of unknown fate holds nothing up: what it brings or gives back later is sold then.
    """
    desk.note_flatten(book_id)
    lost = call_off(
        desk,
        [order for order in desk.live if order.book_id == book_id],
        [waiting for waiting in desk.waiting if waiting.book_id == book_id],
        reason=reason,
    )
    count = sum(sell_out(desk, position, reason=reason) for position in desk.positions_of(book_id))
    for place_lost in sorted(lost):
        note_lost_stop(desk, *place_lost)
    desk.touch_book(book_id)
    return count


def _is_action(proposal: Proposal) -> bool:
    return proposal.kind != ProposalKind.HOLD and not proposal.denial


def _decide(desk: Desk, proposal: Proposal) -> Outcome:
    if not _is_action(proposal):
        outcome, intent = _unacted(desk, proposal), None
    else:
        refusal, intent = _act(desk, proposal)
        outcome = Outcome(proposal, is_accepted=refusal is None)
        if refusal is not None:
            outcome = Outcome(proposal, is_accepted=False, code=refusal.code, facts=refusal.facts)
    decision = _decision(desk, outcome)
    desk.record(decision)
    if intent is not None:
        intent.decision = decision
    return outcome


def _act(desk: Desk, proposal: Proposal) -> tuple[Refusal | None, IntentRow | None]:
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


def _intent(desk: Desk, proposal: Proposal) -> IntentRow:
    assert proposal.instrument_id is not None
    kind, side = _KINDS[proposal.kind], _SIDES.get(proposal.kind, proposal.side)
    limit = None if proposal.kind == ProposalKind.EXIT else proposal.limit_price
    return desk.store.make_intent(
        book_id=proposal.book_id,
        kind=kind,
        instrument=desk.instrument(proposal.instrument_id),
        side=side,
        slot=proposal.slot,
        lots=proposal.lots,
        limit_price=limit,
        stop_price=proposal.stop_price or None,
        # Kept, for the limit may be moved inside a rival's; the cap counts what the entry was sized for.
        expected_price=None if limit is None else expected_price(kind, limit),
        reason=proposal.reason,
        market_at=desk.market_at,
    )


def _cancel(desk: Desk, proposal: Proposal) -> Refusal | None:
    assert proposal.instrument_id is not None
    found = [
        order
        for order in desk.live_of(proposal.book_id, proposal.instrument_id)
        if order.slot == proposal.slot and order.intent.kind == PLACE
    ]
    waiting = [
        intent
        for intent in desk.waiting_of(proposal.book_id, proposal.instrument_id)
        if intent.slot == proposal.slot and intent.kind == PLACE
    ]
    for order in found:
        desk.cancel(order)
    for intent in waiting:
        desk.drop(intent, "CANCEL_REQUESTED")
    return None if found or waiting else Refusal("ORDER_NOT_FOUND", {"slot": proposal.slot})


def _move_stop(desk: Desk, proposal: Proposal) -> tuple[Refusal | None, IntentRow | None]:
    assert proposal.instrument_id is not None
    instrument = desk.instrument(proposal.instrument_id)
    position = desk.position(proposal.book_id, proposal.instrument_id)
    if position is None or position.quantity < instrument.lot_size:
        return Refusal("POSITION_EMPTY"), None
    stop = new_stop(
        proposal.book_id,
        desk,
        instrument_id=proposal.instrument_id,
        stop_price=proposal.stop_price,
        reason=proposal.reason or STOP_PROTECTIVE,
    )
    refusal = replace_stop(desk, stop)
    return refusal, stop


def _unacted(desk: Desk, proposal: Proposal) -> Outcome:
    # A book whose turn it is not has no money to size an entry by: the turn is the reason, not the size.
    turn = turn_refusal(desk, proposal.book_id) if proposal.denial and proposal.is_entry else None
    if turn is not None:
        return Outcome(proposal, is_accepted=False, code=turn.code, facts=turn.facts)
    return Outcome(proposal, is_accepted=False, code=proposal.denial)


def _decision(desk: Desk, outcome: Outcome) -> DecisionRow:
    proposal = outcome.proposal
    is_hold = proposal.kind == ProposalKind.HOLD
    word = "none" if is_hold and not outcome.code else "accepted" if outcome.is_accepted else "denied"
    facts = dict(proposal.facts)
    if outcome.facts:
        facts["denial"] = dict(outcome.facts)
    return desk.store.make_decision(
        book_id=proposal.book_id,
        bar_closed_at=desk.market_at,
        leg=proposal.leg,
        instrument_id=proposal.instrument_id,
        action=proposal.kind.value,
        reason=proposal.reason,
        outcome=word,
        denial=outcome.code,
        facts=facts,
        strategy_hash=proposal.strategy_hash,
        config_hash=proposal.config_hash,
        recorded_at=desk.now,
    )
