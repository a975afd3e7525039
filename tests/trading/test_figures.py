"""Figures of a report against scipy, the statistics module and sums written out, and what must hold for any returns."""

from __future__ import annotations

import itertools
import math
import statistics
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from tests.trading.test_metrics import fill, trip
from trading.bars import Candles, Floats
from trading.benchmarks import capture, hold, hold_with_flows, information_ratio, newey_west_lags, regress
from trading.drawdowns import average_drawdown, deepest, drawdowns, ulcer_index, underwater
from trading.metrics import (
    DAY_MS,
    annual_growth,
    autocorrelation,
    calmar,
    correlated_sharpe,
    deflated_sharpe,
    expected_shortfall,
    in_sessions,
    luckiest_sharpe,
    max_drawdown,
    probabilistic_sharpe,
    sharpe,
    sharpe_interval,
    sortino,
    time_weighted,
    value_at_risk,
)
from trading.months import monthly_returns
from trading.round_trips import RoundTrip, matched_pairs, round_trips
from trading.trade_figures import (
    annual_turnover,
    cost_share,
    excursions,
    losing_streak,
    mean_interval,
    slippage_bps,
    trade_figures,
    traded_amount,
)

BEGIN = 1_704_067_200_000  # The first of January 2024.
RETURNS = np.random.default_rng(5).standard_t(4, 400) * 0.01 + 0.0004
MARKET = np.random.default_rng(6).standard_t(4, 400) * 0.012 + RETURNS * 0.5
equities = st.lists(st.floats(1.0, 1e6), min_size=2, max_size=60).map(np.array)


def near(value: Any) -> Any:
    """Accept what is equal to a millionth of a thousandth."""
    return pytest.approx(value, rel=1e-9)


def persistent(rho: float) -> Floats:
    """Draw returns that remember the day before."""
    noise, found = np.random.default_rng(7).normal(0.001, 0.01, 2000), [0.0]
    for one in noise:
        found.append(rho * found[-1] + one)
    return np.array(found[1:])


def test_growth_is_by_the_seconds_that_passed_and_never_of_less_than_ninety_days() -> None:
    assert annual_growth(0.21, int(2 * 365.25 * DAY_MS)) == near(0.1)
    assert annual_growth(0.05, 90 * DAY_MS - 1) is None
    assert annual_growth(-1.0, 400 * DAY_MS) is None
    assert calmar(0.3, -0.2) == near(1.5)
    assert calmar(None, -0.2) is calmar(0.3, 0.0) is None


def test_ratios_agree_with_the_statistics_module() -> None:
    days = RETURNS.tolist()
    mean, sigma = statistics.fmean(days), statistics.stdev(days)
    free = 1.04 ** (1 / 365) - 1

    assert sharpe(RETURNS, risk_free=0.04) == near((mean - free) / sigma * math.sqrt(365))
    downside = math.sqrt(statistics.fmean(min(one - 0.001, 0.0) ** 2 for one in days))
    assert sortino(RETURNS, 0.001) == near((mean - 0.001) / downside * math.sqrt(365))
    # 0.831 of it, as shares are quoted.
    assert in_sessions(sharpe(RETURNS)) == near(mean / sigma * math.sqrt(252))
    assert value_at_risk(RETURNS) == sorted(days)[19]
    assert expected_shortfall(RETURNS) == near(statistics.fmean(sorted(days)[:20]))


def test_returns_that_are_equal_have_no_ratio_even_where_floats_differ() -> None:
    equal = np.full(30, 0.1)

    assert np.std(equal, ddof=1) != 0.0
    assert sharpe(equal) is autocorrelation(equal) is probabilistic_sharpe(equal) is None
    assert sharpe_interval(equal) == (None, None)


def test_the_error_of_a_ratio_knows_skew_and_tails() -> None:
    one = float(np.mean(RETURNS) / np.std(RETURNS, ddof=1))
    skew, kurtosis = stats.skew(RETURNS), stats.kurtosis(RETURNS, fisher=False)
    error = math.sqrt((1 - skew * one + (kurtosis - 1) / 4 * one**2) / (len(RETURNS) - 1))

    low, high = sharpe_interval(RETURNS)
    assert low is not None
    assert high is not None
    assert (high - low) / 2 == near(stats.norm.ppf(0.975) * error * math.sqrt(365))
    assert probabilistic_sharpe(RETURNS, 0.02) == near(stats.norm.cdf((one - 0.02) / error))


def test_many_trials_without_skill_show_the_luck_that_is_taken_off() -> None:
    """The best of a thousand ratios of pure noise lies where the formula says, and deflation takes it back to even odds."""
    best = np.random.default_rng(8).normal(0.0, 0.05, (4000, 1000)).max(axis=1).mean()

    assert luckiest_sharpe(1000, 0.05**2) == pytest.approx(best, rel=0.005)
    assert luckiest_sharpe(1, 0.05**2) == 0.0
    assert deflated_sharpe(luckiest_sharpe(1000, 0.05**2), 0.02, trials=1000, variance=0.05**2) == near(0.5)
    assert deflated_sharpe(0.1, 0.05, trials=1, variance=0.05**2) == near(stats.norm.cdf(2.0))


@pytest.mark.parametrize(("rho", "is_smaller"), [(0.3, True), (-0.3, False)])
def test_days_that_depend_on_each_other_correct_the_ratio(rho: float, is_smaller: bool) -> None:
    returns = persistent(rho)
    found = autocorrelation(returns)
    corrected, plain = correlated_sharpe(returns), sharpe(returns)

    assert found == pytest.approx(rho, abs=0.06)
    assert found is not None
    assert corrected is not None
    assert plain is not None
    spread = 365 + 2 * sum((365 - lag) * found**lag for lag in range(1, 365))
    assert corrected == near(plain * math.sqrt(365) / math.sqrt(spread))
    assert (corrected < plain) is is_smaller
    assert correlated_sharpe(persistent(0.0)) is None


def test_falls_are_cut_at_peaks_and_one_may_be_open() -> None:
    equity = np.array([100.0, 110, 99, 104.5, 110, 110, 88, 120, 114])
    times = BEGIN + DAY_MS * np.arange(9)

    first, second, third = drawdowns(times, equity)

    days = [[(at - BEGIN) // DAY_MS if at else None for at in one[:3]] for one in (first, second, third)]
    assert days == [[1, 2, 4], [5, 6, 7], [7, 8, None]]
    assert [one.depth for one in (first, second, third)] == pytest.approx([-0.1, -0.2, -0.05])
    assert (first.lasts(0), first.falls, third.lasts(BEGIN + 9 * DAY_MS)) == (3 * DAY_MS, DAY_MS, 2 * DAY_MS)
    assert deepest([first, second, third], 2) == [second, first]
    assert average_drawdown([first, second, third]) == pytest.approx(-0.35 / 3)
    assert average_drawdown([]) is None


@given(equities)
def test_falls_cover_exactly_what_lies_below_a_peak(equity: Floats) -> None:
    times = np.arange(len(equity), dtype=np.int64)
    found = drawdowns(times, equity)
    below = [one / peak - 1 for one, peak in zip(equity.tolist(), itertools.accumulate(equity.tolist(), max), strict=True)]

    assert max_drawdown(equity) == min((one.depth for one in found), default=0.0)
    assert underwater(equity) == near(below)
    assert ulcer_index(equity) == near(math.sqrt(statistics.fmean(one**2 for one in below)))
    covered = [
        at for one in found for at in range(one.peak_at + 1, len(equity) if one.recovered_at is None else one.recovered_at)
    ]
    assert covered == [at for at, one in enumerate(below) if one < 0]


def test_a_line_through_the_market_agrees_with_scipy_and_its_errors_with_the_sum_written_out() -> None:
    found = regress(RETURNS, MARKET)
    line = stats.linregress(MARKET, RETURNS)

    assert found is not None
    assert found.beta == near(line.slope)
    assert found.alpha == near(line.intercept * 365)
    count, lags = len(RETURNS), newey_west_lags(len(RETURNS))
    assert lags == 5
    columns = [[1.0, float(one)] for one in MARKET]
    left = [float(RETURNS[t] - line.intercept - line.slope * MARKET[t]) for t in range(count)]
    middle = np.zeros((2, 2))
    for s in range(count):
        for t in range(max(0, s - lags), min(count, s + lags + 1)):
            weight = 1 - abs(s - t) / (lags + 1)
            middle += weight * left[s] * left[t] * np.outer(columns[s], columns[t])
    inverse = np.linalg.inv(np.array(columns).T @ np.array(columns))
    errors = np.sqrt(np.diag(inverse @ middle @ inverse)) * stats.norm.ppf(0.975)
    assert (found.beta_high - found.beta_low) / 2 == near(errors[1])
    assert (found.alpha_high - found.alpha_low) / 2 == near(errors[0] * 365)


def test_a_market_that_stands_still_or_too_few_days_explain_nothing() -> None:
    assert regress(RETURNS, np.zeros(400)) is None
    assert regress(RETURNS[:29], MARKET[:29]) is None
    assert information_ratio(MARKET + 0.001, MARKET) is None
    assert capture(RETURNS, np.abs(MARKET), is_up=False) is None


def test_what_is_earned_beside_the_market() -> None:
    beyond = (RETURNS - MARKET).tolist()
    expected = statistics.fmean(beyond) / statistics.stdev(beyond) * math.sqrt(365)

    assert information_ratio(RETURNS, MARKET) == near(expected)
    rising = MARKET > 0
    assert capture(RETURNS, MARKET, is_up=True) == near(RETURNS[rising].mean() / MARKET[rising].mean())
    assert capture(MARKET * 0.5, MARKET, is_up=False) == pytest.approx(0.5)


def ramp(bars: int = 4) -> Candles:
    """Draw a market that rises by one a bar, each bar reaching two further both ways."""
    opens = 100.0 + np.arange(bars)
    values = np.array([opens, opens + 3, opens - 2, opens + 1, np.full(bars, 10.0)])
    return Candles(60_000, BEGIN + 60_000 * np.arange(bars, dtype=np.int64), values)


def test_holding_buys_equal_parts_at_the_first_open_and_pays_for_it() -> None:
    market = ramp()
    times = np.append(market.times, market.times[-1] + 60_000)

    worths = hold([market, market], times, capital=1000.0, cost_rate=0.001)

    assert worths.tolist() == pytest.approx([1000.0, 9.99 * 101, 9.99 * 102, 9.99 * 103, 9.99 * 104])


def test_holding_buys_for_what_comes_and_sells_for_what_goes_at_the_next_open() -> None:
    market = ramp()
    times = np.append(market.times, market.times[-1] + 60_000)
    asked: dict[str, Any] = {"capital": 1000.0, "cost_rate": 0.001}

    still = hold_with_flows([market, market], times, flows={}, **asked)
    moved = hold_with_flows([market, market], times, flows={1: 505.0, 2: -102.0}, **asked)

    assert still.worths.tolist() == pytest.approx(hold([market, market], times, **asked).tolist())
    coins = 9.99 + 505 * 0.999 / 101
    left = coins - 1 / 0.999
    assert moved.worths.tolist() == pytest.approx([1000.0, 9.99 * 101, coins * 102, left * 103, left * 104])
    assert moved.flows == {1: 505.0, 2: -102.0}


def test_holding_gives_no_more_than_there_is() -> None:
    market = ramp()

    moved = hold_with_flows([market], market.times, capital=1000.0, cost_rate=0.0, flows={0: -500.0, 1: -900.0, 2: 102.0})

    assert moved.worths.tolist() == pytest.approx([1000.0, 505.0, 0.0, 103.0])
    assert moved.flows == pytest.approx({0: -500.0, 1: -505.0, 2: 102.0})


@given(flows=st.dictionaries(st.integers(0, 29), st.floats(-50.0, 500.0), max_size=8))
def test_without_costs_no_flow_changes_what_holding_returns(flows: dict[int, float]) -> None:
    market = ramp(30)
    held = hold_with_flows([market], market.times, capital=1000.0, cost_rate=0.0, flows=flows)

    alone = hold([market], market.times, capital=1000.0, cost_rate=0.0)
    assert time_weighted(held.worths, held.flows).tolist() == pytest.approx(alone.tolist(), rel=1e-9)


def test_trades_are_measured_by_hand() -> None:
    found = trade_figures([trip(one) for one in ("30", "-10", "0", "20", "-20")])

    assert (found.mean_win, found.mean_loss, found.expectancy) == (Decimal(25), Decimal(10), Decimal(4))
    assert [found.payoff, found.payoff_break_even] == near([2.5, 1.5])
    assert found.kelly == pytest.approx(0.4 - 0.6 / 2.5)
    assert (found.best, found.worst, found.losses_in_a_row) == (Decimal(30), Decimal(-20), 2)
    assert found.mean_part == pytest.approx(0.04)
    values = [30.0, -10, 0, 20, -20]
    low, high = stats.t.interval(0.95, 4, loc=np.mean(values), scale=stats.sem(values))
    assert [found.expectancy_low, found.expectancy_high] == near([low, high])
    assert cost_share(Decimal(5), [trip("30"), trip("-10"), trip("20")]) == 0.1


def test_without_trades_nothing_is_known() -> None:
    found = trade_figures([])

    assert (found.payoff, found.expectancy, found.kelly, found.best, found.mean_holding_ms) == (None,) * 5
    assert found.losses_in_a_row == losing_streak([]) == 0
    assert mean_interval([1.0] * 4) == (None, None)
    assert cost_share(Decimal(5), [trip("-1")]) is None


@given(st.lists(st.integers(-1000, 1000), min_size=1, max_size=40))
def test_at_its_break_even_payoff_nothing_is_won(profits: list[int]) -> None:
    found = trade_figures([trip(str(one)) for one in profits])
    wins = sum(1 for one in profits if one > 0)

    if found.payoff is not None and found.payoff_break_even is not None:
        assert (found.payoff > found.payoff_break_even) == (sum(profits) > 0) or sum(profits) == 0
        assert found.kelly == pytest.approx(wins / len(profits) * (1 - found.payoff_break_even / found.payoff), abs=1e-12)


def test_a_trade_remembers_what_it_bought_and_the_price_went_both_ways() -> None:
    market = ramp()
    fills = [fill(BEGIN + 90_000, "buy", "2", "101"), fill(BEGIN + 150_000, "sell", "1.998", "103")]

    (one,) = round_trips(fills, Decimal("0.01"))
    (found,) = excursions([one._replace(symbol="X")], {"X": market})

    assert (one.quantity, one.entry_price) == (Decimal(2), Decimal(101))
    # The second and the third bar: 99 to 104 and 100 to 105.
    assert found == pytest.approx((99 / 101 - 1, 105 / 101 - 1))
    pairs = matched_pairs([fill(1, "buy", "2", "100", slot=1), fill(2, "sell", "0.999", "101", slot=1)])
    assert pairs[0].quantity == Decimal(1)
    assert pairs[0].entry_price == Decimal(100)


def test_a_fill_is_compared_with_the_last_price_that_was_known() -> None:
    market = ramp()
    fills = [
        fill(BEGIN, "buy", "1", "100"),
        fill(BEGIN + 60_000, "buy", "1", "101.0505"),
        fill(BEGIN + 130_000, "sell", "1", "101"),
    ]

    worse = slippage_bps(fills, market)

    # Nothing was known before the first; the second was five hundredths of a per cent dearer than the close of 101.
    assert worse.tolist() == pytest.approx([5.0, (1 - 101 / 102) * 1e4])
    assert traded_amount(fills) == Decimal("302.0505")
    assert annual_turnover(Decimal(300), mean_equity=100.0, elapsed_ms=int(36.525 * DAY_MS)) == pytest.approx(15.0)
    assert annual_turnover(Decimal(300), mean_equity=100.0, elapsed_ms=0) is None


def test_months_multiply_to_the_whole() -> None:
    times = BEGIN - 40 * DAY_MS + DAY_MS * np.arange(120)
    equity: Floats = 100.0 * np.cumprod(1 + RETURNS[:120], dtype=np.float64)

    years = monthly_returns(times, equity)

    assert [one.year for one in years] == [2023, 2024]
    assert [month is not None for month in years[0].months] == [False] * 10 + [True, True]
    whole = np.prod([1 + month for one in years for month in one.months if month is not None])
    assert whole == near(equity[-1] / equity[0])
    # The midnights that end December and January are 40 and 71 days after the first.
    assert years[1].months[0] == near(equity[71] / equity[40] - 1)
    assert np.prod([1 + one.whole for one in years]) == near(whole)
    assert monthly_returns(times[:0], equity[:0]) == []


def test_a_trip_without_a_market_name_is_still_a_trip() -> None:
    assert RoundTrip(0, 1, Decimal(100), Decimal(5), "X").part == pytest.approx(0.05)
