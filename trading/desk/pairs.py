"""One intent with two legs on two accounts: whether one leg may go out with the other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from trading.desk.desk import Desk
from trading.desk.refusals import Refusal
from trading.desk.rows import ACTIVE, ORDERED, IntentRow
from trading.proposals import Outcome, Proposal
from trading.risk import UNPRICED

OTHER_REFUSED: Final = "PAIR_OTHER_LEG_REFUSED"
LEG_WAITS: Final = "PAIR_LEG_WAITS"
LEG_MISSING: Final = "PAIR_LEG_MISSING"
ACCOUNT_HALTED: Final = "PAIR_ACCOUNT_HALTED"
LEGS: Final = 2


def refusals(desks: Mapping[int, Desk], outcomes: Mapping[int, Sequence[Outcome]]) -> dict[int, Refusal]:
    """Say of the legs of a candle, by account, which of them cannot go out; nothing if all can."""
    legs = {key: [outcome for outcome in found if outcome.proposal.is_leg] for key, found in outcomes.items()}
    if sum(map(len, legs.values())) == 0:
        return {}
    if any(len(found) != 1 for found in legs.values()) or len(legs) != LEGS:
        counts = {str(key): len(found) for key, found in legs.items()}
        return {key: Refusal(LEG_MISSING, {"legs_by_account": counts}) for key in legs}
    found = {key: leg_refusal(desks[key], outcome) for key, (outcome,) in legs.items()}
    return {key: refusal for key, refusal in found.items() if refusal is not None}


def leg_refusal(desk: Desk, outcome: Outcome) -> Refusal | None:
    """Say why a leg cannot go out at once; a sale by itself may wait, and may be made while entries are halted, a leg not."""
    proposal, account = outcome.proposal, desk.account
    if not outcome.is_accepted:
        return Refusal(outcome.code, outcome.facts)
    if account.state != ACTIVE:
        return Refusal(ACCOUNT_HALTED, {"account_state": account.state, "reason": account.state_reason})
    assert proposal.instrument_id is not None
    if trouble := desk.price_trouble(proposal.instrument_id):
        return Refusal(UNPRICED, {"prices": trouble})
    intent = intent_of(desk, proposal)
    if intent.state != ORDERED:
        return Refusal(LEG_WAITS, {"intent_state": intent.state})
    return None


def refused(proposal: Proposal, refusal: Refusal | None) -> Proposal:
    """Turn a leg into one that is refused: for its own reason, or because the other one cannot go out."""
    if not proposal.is_leg:
        return proposal
    answer = refusal or Refusal(OTHER_REFUSED)
    facts = {**proposal.facts, "denial": dict(answer.facts)} if answer.facts else proposal.facts
    return replace(proposal, denial=answer.code, facts=facts)


def intent_of(desk: Desk, proposal: Proposal) -> IntentRow:
    """Return the new intent of a decision that was accepted on this desk."""
    decided = (proposal.book_id, proposal.leg)
    return next(
        intent
        for intent in desk.changes.intents
        if intent.decision is not None and (intent.decision.book_id, intent.decision.leg) == decided
    )
