"""The hand-over as a machine of states: nobody trades before the others are drained, and no crash changes that."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trading.handover import Act, Action, BookFacts, HandOver, Phase, begin, step, view_at
from trading.rotation import Policy
from trading.strategy import View

NOON = datetime(2024, 3, 31, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
LEAVING, COMING = 1, 2
HOLDING = BookFacts(exits=1, sellable=1, can_be_handed_on=1)


def handing(policy: Policy, *, wait_minutes: int = 0) -> HandOver:
    return begin(
        None,
        active=frozenset({LEAVING}),
        incoming=frozenset({COMING}),
        policy=policy,
        at=NOON,
        wait_minutes=wait_minutes,
    )


def acts(hand_over: HandOver, facts: BookFacts, at: datetime = NOON) -> tuple[Phase, list[Act]]:
    done = step(hand_over, {LEAVING: facts}, at)
    return done.hand_over.phase, [action.act for action in done.actions]


@pytest.mark.parametrize("policy", list(Policy))
def test_entries_go_first_whatever_the_policy(policy: Policy) -> None:
    facts = BookFacts(entries=2, exits=1, sellable=1)

    assert acts(handing(policy, wait_minutes=30), facts) == (Phase.CLOSING, [Act.CANCEL_ENTRIES])


@pytest.mark.parametrize("policy", list(Policy))
def test_nothing_is_decided_while_an_order_is_unknown(policy: Policy) -> None:
    assert acts(handing(policy, wait_minutes=30), HOLDING._replace(unknown=1)) == (Phase.CLOSING, [])


@pytest.mark.parametrize(
    ("policy", "facts", "phase", "expected"),
    [
        (Policy.FLATTEN, HOLDING, Phase.RELEASING, [Act.SELL]),
        (Policy.FLATTEN, HOLDING._replace(being_sold=1), Phase.RELEASING, []),
        (Policy.FLATTEN, BookFacts(), Phase.SETTLED, [Act.SETTLE]),
        (Policy.CARRY, HOLDING, Phase.SETTLED, [Act.SETTLE]),
        (Policy.TRANSFER, HOLDING, Phase.RELEASING, [Act.CANCEL_ALL]),
        (Policy.TRANSFER, HOLDING._replace(exits=0), Phase.RELEASING, [Act.HAND_ON]),
        # What the next bot does not trade is sold.
        (Policy.TRANSFER, HOLDING._replace(can_be_handed_on=0), Phase.RELEASING, [Act.SELL]),
        (Policy.WAIT, HOLDING, Phase.RELEASING, []),
        (Policy.WAIT, BookFacts(), Phase.SETTLED, [Act.SETTLE]),
    ],
)
def test_each_policy_deals_with_holdings_in_its_way(policy: Policy, facts: BookFacts, phase: Phase, expected: list[Act]) -> None:
    assert acts(handing(policy, wait_minutes=30), facts) == (phase, expected)


def test_a_wait_ends_with_a_sale() -> None:
    waiting = handing(Policy.WAIT, wait_minutes=30)

    assert acts(waiting, HOLDING, NOON + 29 * MINUTE) == (Phase.RELEASING, [])
    assert acts(waiting, HOLDING, NOON + 30 * MINUTE) == (Phase.RELEASING, [Act.SELL])


def test_an_order_that_lives_after_all_is_cancelled_before_anything_else() -> None:
    releasing = step(handing(Policy.FLATTEN), {LEAVING: HOLDING}, NOON).hand_over

    assert acts(releasing, HOLDING._replace(entries=1)) == (Phase.CLOSING, [Act.CANCEL_ENTRIES])


def test_a_hand_over_that_is_overtaken_drains_everybody_who_was_leaving() -> None:
    first = step(handing(Policy.WAIT, wait_minutes=30), {LEAVING: HOLDING}, NOON).hand_over
    second = begin(first, active=frozenset(), incoming=frozenset({3}), policy=Policy.FLATTEN, at=NOON + 10 * MINUTE)

    assert (second.epoch, second.outgoing, second.incoming) == (first.epoch + 1, frozenset({LEAVING}), frozenset({3}))


def test_a_bot_whose_turn_comes_back_keeps_what_it_holds() -> None:
    first = step(handing(Policy.WAIT, wait_minutes=30), {LEAVING: HOLDING}, NOON).hand_over
    back = begin(first, active=frozenset(), incoming=frozenset({LEAVING}), policy=Policy.FLATTEN, at=NOON + MINUTE)

    assert (back.outgoing, acts(back, HOLDING)) == (frozenset(), (Phase.SETTLED, [Act.SETTLE]))


SEEN = {
    Policy.FLATTEN: (View.NOTHING, View.NO_MONEY),
    Policy.CARRY: (View.NO_MONEY, View.NO_MONEY),
    Policy.TRANSFER: (View.NOTHING, View.NOTHING),
    Policy.WAIT: (View.MONEY_WHILE_HOLDING, View.NO_MONEY),
}


@pytest.mark.parametrize("policy", list(Policy))
def test_on_the_candle_of_a_switch_it_does_not_matter_who_is_first(policy: Policy) -> None:
    begun = handing(policy, wait_minutes=30 if policy == Policy.WAIT else 0)
    phases = [
        begun,
        begun._replace(phase=Phase.RELEASING),
        begun._replace(phase=Phase.SETTLED, settled_at=NOON),
    ]

    for hand_over in phases:
        assert (view_at(hand_over, LEAVING, NOON), view_at(hand_over, COMING, NOON)) == SEEN[policy]
        # Somebody who carries on since an earlier turn.
        assert view_at(hand_over, 3, NOON) == View.NO_MONEY
    assert {view_at(phases[-1], book, NOON + 5 * MINUTE) for book in (LEAVING, COMING, 3)} == {View.WHOLE}
    assert view_at(phases[1], COMING, NOON + 5 * MINUTE) == SEEN[policy][1], "it still passes on"


def test_who_was_waited_for_in_vain_is_shown_nothing_while_it_is_sold() -> None:
    waiting = handing(Policy.WAIT, wait_minutes=30)
    sold = waiting._replace(phase=Phase.SETTLED, settled_at=NOON + 30 * MINUTE)

    assert view_at(waiting, LEAVING, NOON + 25 * MINUTE) == View.MONEY_WHILE_HOLDING
    assert {view_at(one, LEAVING, NOON + 30 * MINUTE) for one in (waiting, sold)} == {View.NOTHING}


def test_what_is_settled_asks_for_nothing() -> None:
    settled = step(handing(Policy.FLATTEN), {}, NOON).hand_over

    assert step(settled, {LEAVING: HOLDING}, NOON + MINUTE).actions == ()


@dataclass
class World:
    """A book of orders and holdings that does what is asked of it, now or later."""

    entries: int
    exits: int
    unknown: int
    holdings: int
    movable: int
    selling: int = 0

    def facts(self) -> BookFacts:
        return BookFacts(
            entries=self.entries,
            exits=self.exits + self.selling,
            unknown=self.unknown,
            sellable=self.holdings,
            being_sold=self.selling,
            can_be_handed_on=min(self.movable, self.holdings),
        )

    def do(self, action: Action) -> None:
        if action.act == Act.CANCEL_ENTRIES:
            self.entries -= 1
        elif action.act == Act.CANCEL_ALL:
            self.exits = 0
        elif action.act == Act.SELL:
            self.exits, self.selling = 0, self.holdings
        elif action.act == Act.HAND_ON:
            assert self.facts().is_quiet, "what an order reserves cannot be handed on"
            self.holdings -= min(self.movable, self.holdings)
            self.movable = 0

    def pass_time(self) -> None:
        self.holdings -= min(self.selling, 1)
        self.selling -= min(self.selling, 1)
        self.unknown -= min(self.unknown, 1)


WORLDS = st.builds(
    World,
    entries=st.integers(0, 3),
    exits=st.integers(0, 2),
    unknown=st.integers(0, 1),
    holdings=st.integers(0, 3),
    movable=st.integers(0, 3),
)


@given(world=WORLDS, policy=st.sampled_from(Policy), losses=st.lists(st.booleans(), max_size=12))
@settings(max_examples=300, deadline=None)
def test_it_settles_only_when_drained_and_always_in_the_end(world: World, policy: Policy, losses: list[bool]) -> None:
    """Each step may be lost before its actions happen, or happen without being remembered: a crash on either side."""
    hand_over, at = handing(policy, wait_minutes=5), NOON
    for moment in range(60):
        at = NOON + moment * MINUTE
        facts = world.facts()
        done = step(hand_over, {LEAVING: facts}, at)
        if done.hand_over.is_settled:
            assert not facts.entries
            assert not facts.unknown
            assert policy == Policy.CARRY or (facts.is_flat and facts.is_quiet)
            assert done.hand_over.settled_at == at
            return
        assert Act.SETTLE not in [action.act for action in done.actions]
        is_lost = moment < len(losses) and losses[moment]
        if not is_lost:
            for action in done.actions:
                world.do(action)
            hand_over = done.hand_over
        world.pass_time()
    pytest.fail(f"still {hand_over.phase} at {at}: {world}")
