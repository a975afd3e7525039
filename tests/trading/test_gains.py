"""What a strategy is told it has gained: its worth less the capital it was given, the same number in every shell."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from tests.strategies.cases import ALLOCATION, simulation
from tests.strategies.panels import panel_simulation
from tests.trading.markets import ETH
from tests.trading.test_account_flows import MANY, with_flows
from tests.trading.test_accounts import BEGIN_AT, TIGHT, bot, changing, plan, rotation, shares
from tests.trading.test_accounts_of_several_markets import several
from trading import books
from trading.accounts.member import Member
from trading.accounts.plan import AccountPlan, Turns, Version
from trading.accounts.simulation import AccountSimulation, simulate
from trading.handover import Mode
from trading.instruments import instrument_numbers, units, whole_units
from trading.rotation_text import parse_rotation
from trading.strategy import View, new_book

CHAIN = "zone UTC\ndaily 00:00-08:00 grid transfer\ndaily 08:00-16:00 scalping transfer\ndaily 16:00-24:00 ema_ribbon carry"


def told(*, free: int = 0, locked: int = 0, capital: int = 0, quantity: int = 0, view: View = View.WHOLE) -> Any:
    """Fill a book that holds so many units of a coin at 3,000."""
    book, numbers = new_book(), instrument_numbers(ETH)
    books.clear_book(book)
    books.set_position(book, numbers, 0, quantity, quantity, 0, 0, 3000.07)
    books.set_money(book, capital, free, locked, free + locked - capital)
    books.veil(book, numbers, 1, view)
    return book[0]


def test_capital_that_comes_or_goes_changes_the_worth_and_not_the_gain() -> None:
    before = told(free=units(Decimal(700)), locked=units(Decimal(33)), capital=units(Decimal(1000)), quantity=7_654_321)
    after = told(free=units(Decimal("0.1")), capital=units(Decimal("267.1")), quantity=7_654_321)

    assert after.gain == before.gain != 0.0, "to the last bit"
    assert before.equity - after.equity == pytest.approx(732.9)


def test_a_gain_hides_where_holdings_may_be_sold_or_handed_on_and_nowhere_else() -> None:
    gains = {
        view: told(free=units(Decimal(700)), capital=units(Decimal(1000)), quantity=7_654_321, view=view).gain for view in View
    }

    assert math.isnan(gains[View.NOTHING])
    assert {gains[view] for view in View if view != View.NOTHING} == {gains[View.WHOLE]}


def test_units_are_rounded_down_on_both_sides_of_zero() -> None:
    third = Decimal("0.000000003")

    assert [whole_units(sign * (1 + third)) for sign in (1, -1)] == [100_000_000, -100_000_001]
    assert [whole_units(Decimal(amount)) for amount in (1, 0, -1)] == [100_000_000, 0, -100_000_000]


@pytest.mark.parametrize("case", ["grid", "mean_reversion", "triple_ema"])
def test_in_a_backtest_a_strategy_has_gained_all_but_its_allocation(case: str) -> None:
    prepared = simulation(case)
    gains = set()
    for until in range(0, 3000, 61):
        prepared.run(until)
        (book,) = prepared.tape.book
        assert book.gain == pytest.approx(book.equity - float(ALLOCATION), abs=1e-9) or book.equity == 0.0
        gains.add(book.gain)

    assert len(gains) >= 5


@pytest.mark.parametrize("case", ["scalping", "momentum donchian", "hedge"])
def test_in_a_backtest_of_several_markets_as_well(case: str) -> None:
    prepared = panel_simulation(case)
    for until in range(0, 2500, 61):
        prepared.run(until)
        (book,) = prepared.tape.book
        assert book.gain == pytest.approx(book.equity - float(ALLOCATION), abs=1e-9) or book.equity == 0.0

    assert book.gain != 0.0


def chained() -> AccountPlan:
    """Plan turns in which coins pass from bot to bot, one of them with two markets."""
    bots = (bot("grid"), several("scalping"), bot("ema_ribbon"))
    return plan(bots, Turns(mode=Mode.ROTATION, rotation=parse_rotation(CHAIN)))


PLANS: dict[str, Callable[[], AccountPlan]] = {
    "shares": changing,
    "shares under caps": lambda: replace(changing(), limits=TIGHT),
    "chained": chained,
    "shares with flows": lambda: with_flows(changing(), *MANY[:5]),
    "carry with flows": lambda: with_flows(rotation("carry"), *MANY[:5]),
    **{policy: lambda policy=policy: rotation(policy) for policy in ("flatten", "carry", "transfer", "wait 30m")},  # type: ignore[misc]
}


@pytest.mark.parametrize("name", PLANS)
def test_on_an_account_a_strategy_is_told_what_its_book_has_gained_to_the_last_bit(name: str) -> None:
    """As the live shell tells it: from the book's money and flows, whatever moved on that very candle."""
    simulation = AccountSimulation(PLANS[name]())
    step, told, hidden = timedelta(minutes=5), 0, 0
    moment = BEGIN_AT + step
    flows = set()
    while moment < BEGIN_AT + timedelta(days=4):
        simulation.run(moment)
        closed_at = int((moment - step).timestamp() * 1000)
        for member in simulation.members:
            flows.add(member.net_flows)
            book = member.simulation.tape.book[0]
            if math.isnan(book.gain):
                assert book.equity == 0.0
                hidden += 1
            elif member.filled_at < closed_at:
                assert book.gain == live_gain(member, book), (member.bot.key, moment)
                told += 1
        moment += step

    assert told > 2000
    assert len(flows) > 10 or name.startswith("shares")
    assert (hidden > 0) == (not name.startswith(("shares", "carry")))


def live_gain(member: Member, book: Any) -> float:
    """Work a gain out as the live shell does, from decimals."""
    again, numbers = new_book(), instrument_numbers(*member.instruments)
    books.clear_book(again)
    for market in range(len(member.instruments)):
        books.set_position(again, numbers, market, units(member.quantity(market)), 0, 0, 0, float(book.close[market]))
    books.set_money(again, 0, 0, 0, whole_units(member.cash + member.cash_reserved - member.net_flows))
    return float(again[0].gain)


def test_a_grid_that_leaves_its_slot_carries_on() -> None:
    """It takes the capital that leaves for no loss, and minds its coins until its turn comes again."""
    result = simulate(rotation("carry"))

    (grid,) = (one for one in result.bots if one.key == "grid")
    assert "STOP_DRAWDOWN" not in grid.reasons
    assert {fill.kind for fill in grid.fills} == {"ENTRY", "LIMIT"}


def test_a_grid_with_a_smaller_share_sells_no_coin_for_it() -> None:
    """A share is of what is free: what the grid holds goes on being sold level by level."""
    at = BEGIN_AT + timedelta(days=2)
    smaller = Version(at=at, percents={"grid": Decimal(3)})

    (grid,) = simulate(plan([bot("grid")], shares({"grid": Decimal(90)}, smaller))).bots

    assert grid.net_flows < Decimal(1000)
    assert "STOP_DRAWDOWN" not in grid.reasons
    sold = [fill for fill in grid.fills if fill.side == "sell" and fill.time >= at.timestamp() * 1000]
    assert sold
    assert {fill.kind for fill in sold} == {"LIMIT"}


def test_cash_that_waits_to_leave_is_shown_to_no_strategy_and_is_not_lost() -> None:
    """Live a smaller share hides what it is still to take out as it comes free; so it does on a simulated account."""
    at = BEGIN_AT + timedelta(days=2)
    smaller = Version(at=at, percents={"grid": Decimal(0)})
    simulation = AccountSimulation(plan([bot("grid")], shares({"grid": Decimal(90)}, smaller)))
    simulation.run(at)
    (member,) = simulation.members
    gained = member.simulation.tape.book[0].gain
    seen = set()
    for bars in range(1, 200):
        simulation.run(at + bars * timedelta(minutes=5))
        (book,) = member.simulation.tape.book
        seen.add(bool(member.cash > 0))
        assert book.cash == 0.0
        assert book.gain == pytest.approx(gained, abs=100.0)

    assert member.pending < 0
    assert seen == {False, True}, "cash came free and waited for its hour"
