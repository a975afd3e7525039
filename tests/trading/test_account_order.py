"""Compiled code puts the decisions of several bots into the order that the coordinator's rule gives them."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from trading.accounts.court import stretches
from trading.proposals import Proposal, ProposalKind, arbitration_order
from trading.sizing import SIZED_DTYPE
from trading.strategy import BUY, MAX_DECISIONS, SELL, DecisionKind

KINDS = {
    DecisionKind.HOLD: ProposalKind.HOLD,
    DecisionKind.ENTER: ProposalKind.ENTER,
    DecisionKind.EXIT: ProposalKind.EXIT,
    DecisionKind.PLACE: ProposalKind.PLACE,
    DecisionKind.CANCEL: ProposalKind.CANCEL,
    DecisionKind.MOVE_STOP: ProposalKind.MOVE_STOP,
}
DECISION = st.tuples(st.sampled_from(sorted(KINDS)), st.sampled_from((BUY, SELL)))


@given(st.lists(st.lists(DECISION, min_size=1, max_size=5), min_size=1, max_size=4))
def test_several_bots_decide_in_the_order_of_the_rule(bots: list[list[tuple[DecisionKind, int]]]) -> None:
    asked, proposals = [], []
    for rank, decided in enumerate(bots):
        sized = np.zeros(MAX_DECISIONS, dtype=SIZED_DTYPE)
        for leg, (kind, side) in enumerate(decided):
            sized[leg]["kind"], sized[leg]["side"] = kind, side
            word = "buy" if side == BUY else "sell"
            proposals.append(
                Proposal(book_id=rank, rank=rank, leg=leg, instrument_id=1, kind=KINDS[kind], reason="TEST", side=word)
            )
        asked.append((sized, len(decided)))

    found = [(bot, leg) for bot, first, last in stretches(asked) for leg in range(first, last)]

    assert found == [(proposal.book_id, proposal.leg) for proposal in arbitration_order(proposals)]
