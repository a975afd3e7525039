"""What compiled code samples of an account, and what is kept of the rules' answers, is what slower ways say."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.strategies.cases import COSTS
from tests.trading.test_accounts import BEGIN_AT, PERCENTS, TIGHT, WIDE, bot, five, plan, rotation, shares
from tests.trading.test_accounts_of_several_markets import several
from trading.accounts.guard import Guard
from trading.accounts.member import FLOAT_UNIT, Member
from trading.accounts.plan import AccountPlan
from trading.accounts.samples import closes_at, first_below
from trading.accounts.simulation import AccountSimulation
from trading.bars import Floats, Times
from trading.frictions import FeeIn, Frictions
from trading.ledger import ZERO
from trading.risk import Standing
from trading.strategy import BUY


def held_and_worth(member: Member, times: Times, cash_first: int) -> tuple[Floats, Floats]:
    """Add up a book from its fills, all at once: its coins by market, and all of it, where nothing else moves money."""
    journal = member.simulation.tape.journal[: member.fill_count]
    market, is_buy, fees = journal["symbol"], journal["side"] == BUY, journal["fee"]
    amounts = journal["lots"] * journal["ticks"] * member.worlds["quote_units_per_tick_lot"][market]
    coins = journal["lots"] * member.worlds["units_per_lot"][market]
    cash = np.where(is_buy, -amounts, amounts) - np.where(is_buy & (not member.in_quote), 0, fees)
    base = np.where(is_buy, coins, -coins) - np.where(is_buy & (not member.in_quote), fees, 0)
    done = np.searchsorted(journal["time"], times)
    held = [
        np.concatenate(([0], np.cumsum(np.where(market == k, base, 0))))[done] * FLOAT_UNIT * close
        for k, close in enumerate(closes_at(member, times))
    ]
    worth = (cash_first + np.concatenate(([0], np.cumsum(cash))))[done] * FLOAT_UNIT
    for one in held:
        worth = worth + one
    return np.array(held), worth


def quote_fees() -> AccountPlan:
    frictions = Frictions(fee_in=FeeIn.QUOTE)
    return replace(plan(five(), shares(PERCENTS), limits=TIGHT), costs=replace(COSTS, frictions=frictions))


def of_several_markets() -> AccountPlan:
    bots = (several("hedge"), replace(several("momentum squeeze"), key="squeeze"), *five()[:2])
    return plan(bots, shares({one.key: Decimal(20) for one in bots}))


@pytest.mark.parametrize("make", [lambda: plan(five(), shares(PERCENTS), limits=TIGHT), quote_fees, of_several_markets])
def test_samples_are_what_the_fills_add_up_to(make: Callable[[], AccountPlan]) -> None:
    asked = make()
    simulation = AccountSimulation(asked)
    simulation.run(asked.begin_at + timedelta(minutes=5))
    dealt = [int(member.walked.now["cash"][0]) for member in simulation.members]
    assert not any(member.fill_count or member.orders(0).size for member in simulation.members)
    simulation.run()

    result = simulation.result()
    told = [held_and_worth(member, result.times, cash) for member, cash in zip(simulation.members, dealt, strict=True)]

    assert all(one.fills for one in result.bots)
    for one, (_, worths) in zip(result.bots, told, strict=True):
        assert one.worths[1:].tolist() == worths[1:].tolist()
    rows = [
        row
        for member, (coins, _) in zip(simulation.members, told, strict=True)
        for row in zip(coins, member.instruments, strict=True)
    ]
    invested = np.zeros(len(result.times))
    for held, _ in rows:
        invested += held
    assert result.invested[1:].tolist() == invested[1:].tolist()
    is_in_market = np.any([held >= float(one.min_notional) for held, one in rows], axis=0)
    assert result.is_in_market[1:].tolist() == is_in_market[1:].tolist()


WORTH = st.sampled_from([0.0, 1.0, 2.0, 3.0, 5.0])
FLOOR = st.sampled_from([float("-inf"), 0.0, 1.0, 2.5, 4.0])


@given(st.lists(st.tuples(WORTH, WORTH, WORTH), min_size=1, max_size=6), st.tuples(FLOOR, FLOOR, FLOOR), st.data())
def test_the_first_worth_below_a_floor_is_found(
    worths: list[tuple[float, float, float]], floors: tuple[float, float, float], data: st.DataObject
) -> None:
    table = np.array(worths).T.copy()
    first = data.draw(st.integers(0, len(worths)))

    found = first_below(table, np.array(floors), first, len(worths))

    # The last row is what nobody has: it counts for the account alone.
    below = (table[:-1] <= np.array(floors[:-1])[:, None]).any(axis=0) | (table.sum(axis=0) <= floors[-1])
    assert found == next((at for at in range(first, len(worths)) if below[at]), len(worths))


def floors_anew(guard: Guard, key: int | None) -> tuple[float, float]:
    flows = guard.net_flows if key is None else guard.members[key - 1].net_flows
    standing = Standing(limits=guard.limits, start=guard.starts[key], equity=ZERO, net_flows=flows, worst_open=ZERO)
    return float(standing.loss - standing.soft_cap), float(standing.loss - standing.hard_cap)


def test_what_is_kept_of_the_caps_is_what_the_rules_would_say_anew() -> None:
    """Turns move capital and midnights begin days: both change the caps of books."""
    simulation = AccountSimulation(replace(rotation("carry"), limits=WIDE))
    guard = simulation.guard
    assert guard is not None
    seen = set()
    for hours in range(1, 80):
        simulation.run(BEGIN_AT + timedelta(hours=hours))
        soft, hard = guard.soft_floors(), guard.floors(simulation._now, is_sure=False)
        told = {key: floors_anew(guard, key) for key in guard.starts}
        assert soft == {key: floors[0] for key, floors in told.items()}
        assert hard == {key: floors[1] for key, floors in told.items() if key in hard}
        assert None in hard
        seen.add(tuple(told.values()))
    assert len(seen) > 9


def test_who_goes_back_goes_the_same_way_again() -> None:
    """The book that a strategy was shown last is not among what is saved: it is told anew."""
    simulation = AccountSimulation(plan([bot("grid")], shares({"grid": Decimal(100)})))
    (member,) = simulation.members
    tape, gone = member.simulation.tape, 0
    for hours in range(7, 150, 11):
        simulation.run(BEGIN_AT + timedelta(hours=hours))
        now, saved, kept = simulation._now, member.save(), simulation.court.keep()
        ways = []
        for _ in range(2):
            simulation.court.go_back(kept)
            member.restore(saved)
            simulation._now = now
            simulation.run(BEGIN_AT + timedelta(hours=hours + 5))
            ways.append((member.fills(), tape.equity.tolist(), tape.position.tolist(), tape.book[0].cash, tape.book[0].equity))
        assert repr(ways[0]) == repr(ways[1])
        gone += member.fill_count - saved.fill_count
    assert gone > 10
