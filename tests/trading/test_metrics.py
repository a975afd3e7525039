"""Figures of merit and round trips, by hand."""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trading.metrics import (
    DAY_MS,
    break_even_win_rate,
    daily_returns,
    max_drawdown,
    profit_factor,
    sharpe,
    sortino,
    time_weighted,
    wilson_interval,
)
from trading.round_trips import RoundTrip, fee_in_quote, matched_pairs, round_trips, split_grid_result


@dataclass(frozen=True)
class Fill:
    time: int
    side: str
    quantity: Decimal
    price: Decimal
    fee: Decimal
    slot: int = -1
    reason: str = "TEST"
    symbol: str = "ETH/USDT"
    fee_asset: str = "ETH"
    stop_price: Decimal | None = None


def fill(time: int, side: str, quantity: str, price: str, *, slot: int = -1) -> Fill:
    amount = Decimal(quantity) if side == "buy" else Decimal(quantity) * Decimal(price)
    asset = "ETH" if side == "buy" else "USDT"
    return Fill(time, side, Decimal(quantity), Decimal(price), amount * Decimal("0.001"), slot, fee_asset=asset)


def trip(profit: str) -> RoundTrip:
    return RoundTrip(0, 1, Decimal(100), Decimal(profit), "TEST")


def test_fifteen_trades_with_ten_wins_say_little() -> None:
    assert wilson_interval(10, 15) == pytest.approx((0.417, 0.848), abs=5e-4)
    assert wilson_interval(0, 0) == (None, None)


def test_the_break_even_win_rate_pays_for_the_losses() -> None:
    trips = [trip("1"), trip("1"), trip("-3")]

    assert break_even_win_rate(trips) == pytest.approx(0.75)
    assert profit_factor(trips) == pytest.approx(2 / 3)


def test_what_cannot_be_known_is_none() -> None:
    assert profit_factor([trip("1")]) is None
    assert break_even_win_rate([]) is None
    assert sharpe(np.full(29, 0.01)) is None
    assert sharpe(np.full(40, 0.0)) is None
    assert sortino(np.full(40, 0.01)) is None


def test_sharpe_is_yearly_from_daily_returns() -> None:
    returns = np.array([0.01, -0.005] * 20)

    expected = np.mean(returns) / np.std(returns, ddof=1) * np.sqrt(365)
    assert sharpe(returns) == pytest.approx(expected, rel=1e-12)
    assert sortino(returns) == pytest.approx(0.0025 / np.sqrt(0.005**2 / 2) * np.sqrt(365), rel=1e-12)


def test_drawdown_is_measured_from_the_peak_before_it() -> None:
    assert max_drawdown(np.array([100.0, 120.0, 90.0, 130.0, 117.0])) == pytest.approx(-0.25)


def test_days_are_cut_at_midnight_with_the_last_equity_known() -> None:
    hours = np.arange(0, 73, dtype=np.int64) * DAY_MS // 24
    equity = 100.0 + np.arange(73)
    kept = hours != DAY_MS  # The bar at the first midnight is missing.

    returns = daily_returns(hours[kept], equity[kept])

    assert returns.tolist() == pytest.approx([123 / 100 - 1, 148 / 123 - 1, 172 / 148 - 1])


def test_a_round_trip_ends_when_less_than_a_lot_is_left() -> None:
    fills = [fill(1, "buy", "1.0", "100"), fill(2, "sell", "0.5", "110"), fill(3, "sell", "0.4", "90")]

    trips = round_trips(fills, Decimal("0.1"))

    assert [(one.opened, one.closed) for one in trips] == [(1, 3)]
    assert trips[0].profit == Decimal(55) + Decimal(36) - Decimal("0.091") - Decimal(100)


def test_a_fee_on_top_is_part_of_what_a_trade_cost() -> None:
    bought = replace(fill(1, "buy", "1.0", "100"), fee=Decimal("0.1"), fee_asset="USDT", symbol="ETH/USDT@coinbase")
    fills = [bought, fill(2, "sell", "1.0", "110")]

    (trip,) = round_trips(fills, Decimal("0.1"))

    assert trip.cost == Decimal("100.1")
    assert trip.profit == Decimal(110) - Decimal("0.11") - trip.cost
    assert [fee_in_quote(one) for one in fills] == [Decimal("0.1"), Decimal("0.11")]
    assert fee_in_quote(fill(1, "buy", "1.0", "100")) == Decimal("0.1")


def test_one_cycle_of_a_grid_earns_its_spacing_less_fees() -> None:
    """Ten gaps of 1 from 100 to 110, one unit each: 10 gross and 2.1 of fees in a full cycle."""
    fills = [fill(k, "buy", "1", str(100 + k), slot=k) for k in reversed(range(10))]
    fills += [fill(100 + k, "sell", "0.999", str(101 + k), slot=k) for k in range(10)]

    pairs = matched_pairs(fills)
    sold = sum(one.price * one.quantity - one.fee for one in fills if one.side == "sell")
    bought = sum(one.price * one.quantity for one in fills if one.side == "buy")

    assert len(pairs) == 10
    # Fees in base cost the same as fees in quote at the price of the sale.
    assert sum(pair.profit for pair in pairs) == sold - bought
    assert float(sold - bought) == pytest.approx(7.9, abs=0.01)


def test_grid_profit_and_inventory_add_up() -> None:
    fills = [fill(1, "buy", "1", "100", slot=3), fill(2, "sell", "0.999", "101", slot=3), fill(3, "sell", "1", "102", slot=5)]

    split = split_grid_result(fills, equity_change=Decimal(-7))

    assert split.matched_pairs == 1
    assert split.grid_profit == Decimal("0.999") * 101 * Decimal("0.999") - 100
    assert split.grid_profit + split.inventory_profit == Decimal(-7)


def test_a_flow_is_no_return() -> None:
    """A tenth is won, as much again paid in, a tenth lost, half taken out, a tenth won."""
    worths = np.array([100.0, 110.0, 198.0, 108.9])

    linked = time_weighted(worths, {1: 110.0, 2: -99.0})

    assert linked == pytest.approx([100.0, 110.0, 99.0, 108.9])
    assert max_drawdown(linked) == pytest.approx(-0.1)
    assert time_weighted(worths, {}) is worths


def test_where_nothing_is_left_nothing_is_won_until_something_comes() -> None:
    linked = time_weighted(np.array([100.0, 120.0, 0.0, 0.0, 55.0]), {1: -120.0, 3: 50.0})

    assert linked == pytest.approx([100.0, 120.0, 120.0, 120.0, 132.0])


@given(
    steps=st.lists(st.tuples(st.floats(0.5, 2.0), st.one_of(st.none(), st.floats(-0.9, 5.0))), min_size=1, max_size=40),
    start=st.floats(1.0, 1e6),
)
def test_neither_when_flows_come_nor_how_large_they_are_changes_a_return(
    steps: list[tuple[float, float | None]], start: float
) -> None:
    worths, flows, money, alone = [start], {}, start, [start]
    for place, (growth, part) in enumerate(steps):
        if part is not None:
            flows[place] = worths[-1] * part
            money = worths[-1] + flows[place]
        else:
            money = worths[-1]
        worths.append(money * growth)
        alone.append(alone[-1] * growth)

    assert time_weighted(np.array(worths), flows) == pytest.approx(alone, rel=1e-9)
