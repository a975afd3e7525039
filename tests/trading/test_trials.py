"""Figures of trials and the rule that chooses, by hand and against what luck does."""

from __future__ import annotations

import math
from dataclasses import replace
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trading.fill_ratios import OrderTally
from trading.metrics import sharpe_interval
from trading.round_trips import RoundTrip
from trading.trial_choice import CAP_PERCENT, Candidate, Choice, choose, lucky_sharpe
from trading.trials import HOUR_MS, Leg, chained, leg_returns, measure_legs, regime_of

DAY = 24 * HOUR_MS
D = Decimal


def leg(levels: list[float], *, begin: int = 0, profits: tuple[str, ...] = (), regime: str = "", step: int = HOUR_MS) -> Leg:
    """Return a leg that began with 1000 and stood at these levels, one after each step."""
    times = begin + step * np.arange(1, len(levels) + 1)
    return Leg(
        begin=begin,
        end=int(times[-1]),
        starting_equity=1000.0,
        times=times,
        equity=np.array(levels),
        deepest=0.0,
        trips=[RoundTrip(begin, begin + 1, D(100), D(profit), "") for profit in profits],
        pnl=D(str(levels[-1])) - 1000,
        fees=D(1),
        exposure=0.5,
        regime=regime,
    )


def walk(seed: int, *, drift: float, legs: int = 40, trades: int = 2, regime: str = "") -> list[Leg]:
    """Return days of hourly moves with a drift."""
    generator = np.random.default_rng(seed)
    made = []
    for number in range(legs):
        levels = 1000.0 * np.cumprod(1 + drift + 0.002 * generator.standard_normal(24))
        profits = tuple("3" if draw < 0.6 else "-2" for draw in generator.random(trades))
        made.append(leg(levels.tolist(), begin=number * DAY, profits=profits, regime=regime))
    return made


def candidate(book_id: int, legs: list[Leg], locked: str | None = None) -> Candidate:
    figures = measure_legs(legs)
    return Candidate(
        book_id=book_id, name=f"bot {book_id}", figures=figures, locked_percent=None if locked is None else D(locked)
    )


def pick(*candidates: Candidate, room: str = "100") -> Choice:
    return choose(candidates, room=D(room), is_same_market=True)


def test_legs_follow_each_other_as_if_each_went_on_where_the_last_ended() -> None:
    two = [leg([1100.0, 1050.0]), leg([900.0, 1000.0], begin=DAY)]
    assert chained(two) == pytest.approx([1.0, 1.1, 1.05, 0.945, 1.05])
    figures = measure_legs(two)
    assert figures.total_return == pytest.approx(0.05)
    assert figures.max_drawdown == pytest.approx(0.945 / 1.1 - 1)
    assert figures.pnl == D(50)
    assert figures.consistency == 0.5


def test_returns_stand_on_the_clock_of_utc() -> None:
    half = leg([1010.0, 1020.0, 1030.0, 1040.0], begin=HOUR_MS // 2, step=HOUR_MS // 2)
    # From half past to half past: two whole hours have a begin and an end on the hour.
    assert leg_returns(half, HOUR_MS) == pytest.approx([1030 / 1010 - 1])


def test_days_are_compared_where_there_are_enough_of_them_and_hours_otherwise() -> None:
    assert measure_legs(walk(1, drift=0.0, legs=30)).sharpe_step == "1d"
    few = measure_legs(walk(1, drift=0.0, legs=2))
    assert (few.sharpe_step, few.observations) == ("1h", 48)
    one = measure_legs([leg([1001.0, 1002.0])])
    assert (one.sharpe, one.sharpe_low, one.observations) == (None, None, 2)
    assert measure_legs([]).total_return == 0.0


def test_the_interval_of_a_sharpe_ratio_is_that_of_the_formula() -> None:
    returns = np.tile([0.01, -0.005], 50)
    one = float(np.mean(returns) / np.std(returns, ddof=1))
    # Two values alike: no skew, a kurtosis of one.
    reach = 1.959963984540054 * math.sqrt(1 / 99)
    low, high = sharpe_interval(returns, 365)
    assert (low, high) == pytest.approx(((one - reach) * math.sqrt(365), (one + reach) * math.sqrt(365)))
    assert sharpe_interval(np.zeros(100)) == (None, None)


def test_a_market_is_named_by_how_far_it_went_against_its_noise() -> None:
    noise = np.random.default_rng(3).standard_normal(500) * 0.001
    assert regime_of(100 * np.exp(np.cumsum(noise - noise.mean()))) == "sideways"
    assert regime_of(100 * np.exp(np.cumsum(noise + 0.001))) == "up"
    assert regime_of(100 * np.exp(np.cumsum(noise - 0.001))) == "down"
    assert regime_of(np.array([1.0, 2.0])) == ""


def test_the_fit_is_of_the_regime_of_now_and_careful_while_it_knows_little() -> None:
    legs = [leg([1100.0], regime="up"), leg([900.0], regime="down"), leg([900.0], regime="down")]
    overall = -0.1 / 3
    assert measure_legs(legs, regime="up").fit == pytest.approx((0.1 + 3 * overall) / 4)
    assert measure_legs(legs, regime="").fit == pytest.approx(overall)


def test_luck_alone_looks_better_the_more_bots_there_are() -> None:
    """The formula against drawing: the best of ten bots without skill, a thousand times."""
    generator = np.random.default_rng(7)
    returns = generator.standard_normal((1000, 10, 100))
    ratios = returns.mean(axis=2) / returns.std(axis=2, ddof=1)
    drawn = float(ratios.max(axis=1).mean()) * math.sqrt(365)
    assert lucky_sharpe(10, 100, 365) == pytest.approx(drawn, rel=0.05)
    assert lucky_sharpe(1, 100, 365) == 0.0


def test_a_bot_that_stands_out_gets_the_most_and_one_that_loses_gets_nothing() -> None:
    good, fair, bad = (walk(seed, drift=drift, legs=200) for seed, drift in ((1, 0.0012), (2, 0.0003), (3, -0.0005)))
    choice = pick(candidate(1, good), candidate(2, fair), candidate(3, bad))
    shares = {book_id: verdict.percent for book_id, verdict in choice.verdicts.items()}
    assert shares[1] == CAP_PERCENT
    assert shares[3] == 0
    assert choice.verdicts[3].why == "did not earn its costs"
    assert choice.verdicts[1].score > choice.verdicts[2].score > choice.verdicts[3].score
    assert choice.is_supported
    assert [doubt.code for doubt in choice.doubts] == []


def test_a_thin_sample_supports_no_choice_and_says_why() -> None:
    choice = pick(candidate(1, walk(1, drift=0.0002, legs=1)), candidate(2, walk(2, drift=0.0002, legs=1)))
    assert not choice.is_supported
    codes = {doubt.code for doubt in choice.doubts}
    assert {"TRIAL_OBSERVATIONS_FEW", "TRIAL_TRADES_FEW", "TRIAL_TURNS_FEW"} <= codes


def test_bots_alike_cannot_be_told_apart() -> None:
    alike = [candidate(number, walk(number, drift=0.0004, legs=60)) for number in range(1, 6)]
    choice = pick(*alike)
    assert "TRIAL_NOT_SEPARATED" in {doubt.code for doubt in choice.doubts}
    assert not choice.is_supported


def test_noise_is_seldom_called_a_choice() -> None:
    """A control: bots without any skill. One in twenty may look like something, not more."""
    supported = 0
    for round_number in range(40):
        bots = [candidate(number, walk(100 * round_number + number, drift=0.0, legs=40)) for number in range(5)]
        supported += pick(*bots).is_supported
    assert supported <= 2


def test_a_locked_share_stays_and_nobody_gets_what_is_not_there() -> None:
    choice = pick(candidate(1, walk(1, drift=0.001), locked="25"), candidate(2, walk(2, drift=0.001)), room="50")
    assert (choice.verdicts[1].percent, choice.verdicts[2].percent) == (D(25), D(25))


@given(
    drifts=st.lists(st.floats(-0.002, 0.002), min_size=2, max_size=8),
    room=st.integers(0, 10_000).map(lambda hundredths: D(hundredths) / 100),
)
def test_shares_never_exceed_the_room_nor_the_cap(drifts: list[float], room: Decimal) -> None:
    bots = [candidate(number, walk(number, drift=drift, legs=3)) for number, drift in enumerate(drifts)]
    percents = [verdict.percent for verdict in pick(*bots, room=str(room)).verdicts.values()]
    assert sum(percents, D(0)) <= room
    assert all(0 <= percent <= CAP_PERCENT for percent in percents)
    assert all(percent == round(percent, 2) for percent in percents)


def test_results_in_r_are_those_of_all_legs_and_orders_are_valued_at_the_last_price_of_each_market() -> None:
    trip = RoundTrip(0, 1, D(100), D(3), "", risk=D(2))
    tally = OrderTally("A/USDT", "ENTRY", 2, 1, D(4), D(2))
    first = replace(leg([1003.0]), trips=[trip], orders=[tally], prices={"A/USDT": D(10)})
    second = replace(
        leg([1001.0], begin=DAY),
        trips=[trip._replace(profit=D(-1)), trip._replace(risk=None)],
        orders=[tally, OrderTally("B/USDT", "EXIT", 1, 1, D(1), D(1))],
        prices={"A/USDT": D(1), "B/USDT": D(8)},
    )
    figures = measure_legs([first, second])
    assert figures.in_r is not None
    assert (figures.in_r.r_trades, figures.in_r.r_less, figures.in_r.r_expectancy) == (2, 1, 0.5)
    assert figures.orders is not None
    assert (figures.orders.orders, figures.orders.filled, figures.orders.by_quantity) == (5, 3, 0.75)


def test_a_leg_that_is_older_than_these_figures_leaves_them_out() -> None:
    figures = measure_legs([leg([1003.0], profits=("3",)), replace(leg([1001.0], begin=DAY), orders=None)])
    assert (figures.trades, figures.in_r, figures.orders) == (1, None, None)
