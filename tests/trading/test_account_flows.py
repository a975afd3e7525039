"""Deposits and withdrawals of a simulated account: booked as live, neither profit nor loss, and exact to the last unit."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.trading.test_accounts import (
    BEGIN_AT,
    CAPITAL,
    END_AT,
    PERCENTS,
    TIGHT,
    WIDE,
    bot,
    changing,
    check_books,
    five,
    plan,
    rotation,
    shares,
    story,
)
from trading.accounts.flows import FLOWS_MAX, INSUFFICIENT, Every, Flow, repeated
from trading.accounts.plan import AccountPlan, PlanImpossible, single
from trading.accounts.result import AccountResult
from trading.accounts.simulation import AccountSimulation, simulate
from trading.allocations import target_of
from trading.ledger import UNIT, ZERO
from trading.metrics import max_drawdown

D = Decimal
CANDLE = timedelta(minutes=5)


def flow(hours: float, amount: str | int | Decimal) -> Flow:
    """Make a flow so many hours after the beginning."""
    return Flow(at=BEGIN_AT + timedelta(hours=hours), amount=D(amount))


def with_flows(asked: AccountPlan, *flows: Flow, **changes: Any) -> AccountPlan:
    return replace(asked, flows=flows, **changes)


# In and out, on the grid and off it, twice at once, more than nobody has, and to the last unit.
MANY = (
    flow(7.01, 1000), flow(30, "-250.00000001"), flow(31, "-4000"), flow(31, 12), flow(55.5, "-1500"), flow(100, "0.00000001"),
    flow(120, "3333.33333333"), flow(121, "-99999"), flow(150, -3000), flow(160, -5300), flow(190, "-1"),
)  # fmt: skip


def check_flows(result: AccountResult) -> None:
    """Count the account anew from its fills and its flows alone, and have every flow say what came of it."""
    check_books(result)
    # Final equity = start + flows + what bots won and lost.
    assert result.net_flows == sum((one.done for one in result.flows), ZERO)
    assert result.final_equity == result.capital + result.net_flows + sum((one.profit for one in result.bots), ZERO)
    assert result.profit == sum((one.profit for one in result.bots), ZERO)
    for one in result.flows:
        assert one.waits >= ZERO
        assert abs(one.done) <= abs(one.amount)
        assert not (one.code and one.done)
    # As long as a withdrawal waits nothing is left that nobody has.
    assert not (result.unallocated and any(one.waits for one in result.flows))


PLANS: dict[str, Any] = {
    "percentage": changing,
    "after flows": lambda: replace(changing(), sharing=shares(PERCENTS, rebases_after_flows=True, reserve_percent=D(5))),
    "caps": lambda: replace(changing(), limits=TIGHT),
    "flatten": lambda: rotation("flatten"),
    "transfer": lambda: replace(rotation("transfer"), limits=TIGHT),
    "carry": lambda: rotation("carry"),
    "wait": lambda: rotation("wait 30m"),
    "single": lambda: plan(five(), single("grid")),
}


@pytest.mark.parametrize("name", PLANS)
def test_the_books_add_up_with_flows_at_every_moment(name: str) -> None:
    simulation = AccountSimulation(with_flows(PLANS[name](), *MANY))
    for hours in range(5, 24 * 9, 31):
        simulation.run(BEGIN_AT + timedelta(hours=hours))
        check_flows(simulation.result())
    simulation.run()

    result = simulation.result()
    check_flows(result)
    assert [one.code for one in result.flows if one.code] == [INSUFFICIENT]
    assert len(result.flows) == len(MANY)
    assert result.net_flows < ZERO


@pytest.mark.parametrize("name", ["after flows", "caps", "wait", "single"])
def test_stopping_and_going_on_changes_nothing_with_flows(name: str) -> None:
    whole = simulate(with_flows(PLANS[name](), *MANY))
    simulation = AccountSimulation(with_flows(PLANS[name](), *MANY))
    moment = BEGIN_AT
    while moment < END_AT:
        moment += timedelta(minutes=397)
        simulation.run(moment)

    assert story(simulation.result()) == story(whole)
    assert simulation.result().flows == whole.flows
    assert simulation.result().payments == whole.payments


@pytest.mark.parametrize("name", ["percentage", "after flows", "caps", "transfer"])
def test_what_is_settled_unasked_is_what_the_rules_would_say_with_flows(name: str) -> None:
    swift, strict = (AccountSimulation(with_flows(PLANS[name](), *MANY)) for _ in range(2))
    strict.court.is_trusting = False
    swift.run()
    strict.run()

    assert story(swift.result()) == story(strict.result())
    assert swift.court.decisions > 100


def test_a_flow_to_come_changes_nothing_before_it() -> None:
    cut = MANY[4].at
    told = []
    for flows in (MANY, MANY[:4]):
        simulation = AccountSimulation(with_flows(changing(), *flows))
        simulation.run(cut)
        told.append((story(simulation.result()), simulation.result().flows))

    assert told[0] == told[1]


def test_a_deposit_is_dealt_to_nobody_before_the_next_rebase() -> None:
    still, flowing = (simulate(plan(five(), shares(PERCENTS), flows=flows)) for flows in ((), (flow(31, 1000),)))

    assert [one.fills for one in flowing.bots] == [one.fills for one in still.bots]
    assert flowing.unallocated == still.unallocated + 1000
    assert flowing.profit == still.profit == still.final_equity - CAPITAL
    assert flowing.growth[-1] / float(CAPITAL) - 1 == pytest.approx(float(still.profit / CAPITAL), abs=0.01)


def test_a_deposit_grows_the_shares_at_the_next_rebase() -> None:
    at = flow(31, 1000)
    simulation = AccountSimulation(plan(five(), shares(PERCENTS, rebase_hours=24), flows=(at,)))
    simulation.run(BEGIN_AT + timedelta(hours=48))
    before = simulation.result()
    simulation.run(BEGIN_AT + timedelta(hours=48, minutes=5))

    total = before.final_equity
    assert {member.target for member in simulation.members} == {target_of(total, D(18))}
    assert simulation.purse.unallocated < before.unallocated


def test_a_deposit_is_dealt_out_at_once_where_the_policy_says_so() -> None:
    simulation = AccountSimulation(plan(five(), shares(PERCENTS, rebases_after_flows=True), flows=(flow(31, 1000),)))
    simulation.run(flow(31, 1).at)
    before = simulation.result()
    assert {member.target for member in simulation.members} == {target_of(CAPITAL, D(18))}
    simulation.run(flow(31, 1).at + CANDLE)

    assert {member.target for member in simulation.members} == {target_of(before.final_equity + 1000, D(18))}


def test_two_flows_of_one_candle_that_cancel_out_deal_nothing_out() -> None:
    """As live: the shares look at what all flows come to, once a candle."""
    policy = shares(PERCENTS, rebases_after_flows=True)
    still, flowing = (simulate(plan(five(), policy, flows=flows)) for flows in ((), (flow(31, 1000), flow(31, -1000))))

    assert story(flowing) == story(still)
    assert [one.done for one in flowing.flows] == [1000, -1000]


def test_a_withdrawal_takes_what_is_dealt_to_nobody_first() -> None:
    still, flowing = (simulate(plan(five(), shares(PERCENTS), flows=flows)) for flows in ((), (flow(31, -900),)))

    assert [one.fills for one in flowing.bots] == [one.fills for one in still.bots]
    assert flowing.unallocated == still.unallocated - 900
    assert flowing.profit == still.profit


def test_a_withdrawal_shrinks_every_book_alike_and_sells_nothing() -> None:
    """Free cash leaves at once; what is in use follows when it comes free, and is not spent again meanwhile."""
    at = BEGIN_AT + timedelta(hours=129)
    asked = plan(five(), shares(PERCENTS), flows=(Flow(at=at, amount=D(-9500)),))
    simulation = AccountSimulation(asked)
    simulation.run(at)
    worths = [member.worth(int(at.timestamp()) * 1000) for member in simulation.members]
    fills = [member.fill_count for member in simulation.members]
    there = simulation.result()
    simulation._do_what_is_due()
    (first,) = simulation.result().flows
    now = int(at.timestamp()) * 1000
    meant = [member.worth(now) + member.pending for member in simulation.members]

    assert [member.fill_count for member in simulation.members] == fills
    assert first.waits > 0
    assert -first.done == there.unallocated + sum(
        (before - member.worth(now) for before, member in zip(worths, simulation.members, strict=True)), ZERO
    )
    assert sum(meant, ZERO) == pytest.approx(there.final_equity - 9500, abs=5 * UNIT)
    parts = [float(after / before) for after, before in zip(meant, worths, strict=True)]
    assert parts == pytest.approx([parts[0]] * 5, abs=1e-9)
    for member, after in zip(simulation.members, meant, strict=True):
        assert member.allocation <= after + UNIT
        assert not member.pending or member.cash == ZERO
    simulation.run()
    check_flows(simulation.result())
    (last,) = simulation.result().flows
    assert last.waits < first.waits


def test_what_a_withdrawal_waits_for_leaves_when_it_comes_free() -> None:
    result = simulate(plan(five(), shares(PERCENTS), flows=(flow(129, -9500),)))

    moments = sorted({at for at, _ in result.payments})
    assert len(moments) > 1
    assert {at % 3_600_000 for at in moments} == {0}
    assert result.net_flows == result.flows[0].done
    later = [fill.reason for one in result.bots for fill in one.fills if fill.time >= moments[0]]
    assert later
    assert not {"MODE_HANDED_OVER", "RISK_HARD_STOP"} & set(later), "nothing is sold for it"
    check_flows(result)


def test_a_deposit_pays_what_a_withdrawal_waits_for() -> None:
    at = BEGIN_AT + timedelta(hours=129)
    simulation = AccountSimulation(
        plan(five(), shares(PERCENTS), flows=(Flow(at=at, amount=D(-9700)), Flow(at=at + CANDLE, amount=D(9000))))
    )
    simulation.run(at + CANDLE)
    (waiting,) = simulation.result().flows
    simulation.run(at + 2 * CANDLE)

    assert waiting.waits > 0
    assert [one.waits for one in simulation.result().flows] == [0, 0]
    check_flows(simulation.result())


def test_all_there_is_may_leave_and_come_back() -> None:
    simulation = AccountSimulation(plan(five(), single("grid", budget=D(1)), flows=(flow(50, -CAPITAL + 2), flow(60, 500))))
    simulation.run()
    result = simulation.result()

    check_flows(result)
    assert [one.code for one in result.flows] == ["", ""]
    empty = simulate(plan(five(), shares(dict.fromkeys(PERCENTS, ZERO)), flows=(flow(50, -CAPITAL), flow(60, 500))))
    assert empty.final_equity == 500
    assert empty.worths.min() == 0.0
    assert set(empty.growth.tolist()) == {float(CAPITAL)}


def test_more_than_there_is_is_refused_with_a_code_and_nothing_moves() -> None:
    still, flowing = (simulate(plan(five(), shares(PERCENTS), flows=flows)) for flows in ((), (flow(31, -20_000),)))

    assert story(flowing) == story(still)
    (refused,) = flowing.flows
    assert (refused.code, refused.done, refused.waits) == (INSUFFICIENT, ZERO, ZERO)


def test_what_waits_already_is_nobodys_to_withdraw_again() -> None:
    at = BEGIN_AT + timedelta(hours=129)
    flows = (Flow(at=at, amount=D(-8000)), Flow(at=at, amount=D(-8000)))
    result = simulate(plan(five(), shares(PERCENTS), flows=flows))

    assert [one.code for one in result.flows] == ["", INSUFFICIENT]


@pytest.mark.parametrize("policy", ["flatten", "carry"])
def test_in_turns_a_deposit_stays_with_nobody_up_to_the_budget(policy: str) -> None:
    asked = rotation(policy)
    still, flowing = simulate(asked), simulate(with_flows(asked, flow(31.2, 1000), flow(77, -500)))

    assert [one.fills for one in flowing.bots] == [one.fills for one in still.bots]
    assert flowing.switches == still.switches
    assert flowing.unallocated == still.unallocated + 500


def test_no_budget_is_dealt_what_a_withdrawal_takes() -> None:
    asked = rotation("flatten")
    result = simulate(with_flows(asked, flow(31, -6000)))

    check_flows(result)
    assert result.flows[0].waits == ZERO
    assert result.final_equity < 4500


def test_no_cap_takes_a_withdrawal_for_a_loss() -> None:
    """A fifth of the account leaves, from nobody and from the books; the caps are at a twentieth."""
    limits = replace(WIDE, soft_loss_percent=D(5), hard_loss_percent=D(5))
    asked = plan(five(), shares(PERCENTS), limits=limits)
    still, flowing = simulate(asked), simulate(with_flows(asked, flow(31, -2000), flow(55, 3000), flow(80, -3000)))

    assert not still.hard_stops
    assert not flowing.hard_stops
    assert not any("RISK_HARD_STOP" in one.refusals for one in flowing.bots)
    check_flows(flowing)


def test_a_withdrawal_is_no_fall_and_a_deposit_no_return() -> None:
    # Neither moves anything that a bot does: what is asked of it lies with nobody.
    asked = plan(five(), shares(dict.fromkeys(PERCENTS, D(1))))
    still, flowing = simulate(asked), simulate(with_flows(asked, flow(31, -4000), flow(80.5, 9000)))

    assert max_drawdown(flowing.worths) < -0.3
    assert max_drawdown(flowing.growth) > -0.02
    assert flowing.growth[0] == still.growth[0] == float(CAPITAL)
    assert abs(flowing.growth[-1] / still.growth[-1] - 1) < 0.01
    assert still.growth is still.worths, "without flows every figure is what it was"
    # Between flows the growth is that of the money, to the last bit that floats have.
    first = int(np.searchsorted(flowing.times, flowing.payments[0][0]))
    ratios = flowing.growth[first + 1 : first + 100] / flowing.worths[first + 1 : first + 100]
    assert ratios == pytest.approx(np.full(99, ratios[0]), rel=1e-14)


ANY_AMOUNT = st.integers(-6 * 10**11, 6 * 10**11).filter(bool).map(lambda units: UNIT * units)


@settings(max_examples=12, deadline=None, derandomize=True)
@given(
    flows=st.lists(st.builds(flow, st.floats(0, 47.9), ANY_AMOUNT), min_size=1, max_size=6),
    name=st.sampled_from(["percentage", "after flows", "caps", "wait", "single"]),
)
def test_whatever_comes_and_goes_nothing_is_lost(flows: list[Flow], name: str) -> None:
    result = simulate(with_flows(replace(PLANS[name](), end_at=BEGIN_AT + timedelta(days=2)), *flows))

    check_flows(result)
    assert len(result.flows) == len(flows)


@pytest.mark.parametrize(
    ("flows", "words"),
    [
        ((flow(1, "NaN"),), "a deposit is above zero"),
        ((flow(1, "-Infinity"),), "a deposit is above zero"),
        ((flow(1, 0),), "a deposit is above zero"),
        ((flow(1, "0.000000001"),), "a whole number of"),
        ((flow(1, "1e400"),), "at most 10,000,000,000"),
        ((flow(1, 10**10),), "capital and deposits come to more"),
        ((flow(-0.01, 5),), "must lie between the beginning"),
        ((Flow(at=END_AT, amount=D(5)),), "must lie between the beginning"),
        ((Flow(at=END_AT - CANDLE / 2, amount=D(5)),), "must lie between the beginning"),
        ((flow(1, 5),) * (FLOWS_MAX + 1), "at most 2,000"),
    ],
)
def test_flows_that_cannot_be_are_refused(flows: tuple[Flow, ...], words: str) -> None:
    with pytest.raises(PlanImpossible, match=words):
        plan([bot("grid")], shares({"grid": D(100)}), flows=flows)


def test_the_first_and_the_last_candle_take_flows() -> None:
    last = END_AT - CANDLE
    result = simulate(plan([bot("grid")], shares({"grid": D(50)}), flows=(Flow(at=last, amount=D(-5)), flow(0, 7))))

    assert [(one.at, one.done) for one in result.flows] == [(BEGIN_AT, D(7)), (last, D(-5))]
    # What comes at the very beginning is dealt out with the capital.
    assert result.bots[0].net_flows == target_of(CAPITAL + 7, D(50))
    check_flows(result)


def test_a_flow_comes_again_on_mondays_or_firsts_after_the_beginning() -> None:
    def days(every: Every, begin: str, last: str) -> list[str]:
        begin_at, last_at = (datetime.fromisoformat(f"{text}+00:00") for text in (begin, last))
        return [f"{one.at:%m-%d %H:%M}" for one in repeated(every, D(5), begin_at=begin_at, last_at=last_at)]

    # The first of January 2024 was a Monday.
    assert days(Every.WEEK, "2024-01-01T00:00", "2024-01-15T00:00") == ["01-08 00:00", "01-15 00:00"]
    assert days(Every.WEEK, "2024-01-03T10:00", "2024-01-14T23:59") == ["01-08 00:00"]
    assert days(Every.MONTH, "2024-01-01T00:00", "2024-03-01T00:00") == ["02-01 00:00", "03-01 00:00"]
    assert days(Every.MONTH, "2023-12-31T12:00", "2024-01-31T00:00") == ["01-01 00:00"]
    assert days(Every.MONTH, "2024-01-02T00:00", "2024-01-31T00:00") == []
