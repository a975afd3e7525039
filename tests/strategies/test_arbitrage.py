"""One coin on two exchanges: edges by hand, pairs with two legs, and what one leg leaves over."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
import pytest

from strategies import registry
from strategies.arbitrage import break_even, edge, triangle
from trading.bars import Candles
from trading.instruments import Instrument
from trading.kernels.backtest import Costs, UnableToBacktest
from trading.kernels.panel_backtest import PanelResult, run_panel_backtest

MINUTE = 60_000
FIRST = Instrument("BTC/USDT", "BTC", "USDT", *map(Decimal, ("0.01", "0.0001", "0.0001", "9000", "5")))
SECOND = Instrument("BTC/USDT@other", "BTC", "USDT", *map(Decimal, ("0.01", "0.0001", "0.0001", "9000", "5")))


def flat(closes: list[float]) -> Candles:
    """Draw candles that stand still at each close."""
    prices = np.array(closes)
    times = np.arange(1, len(closes) + 1, dtype=np.int64) * MINUTE
    return Candles(MINUTE, times, np.array([prices, prices, prices, prices, np.full(len(closes), 1000.0)]))


def run(first: list[float], second: list[float], **values: float) -> PanelResult:
    return run_panel_backtest(
        definition=registry.definition("arbitrage"),
        params=registry.make_params("arbitrage", {"share": 1.0, **values}),
        candles=[flat(first), flat(second)],
        interval_ms=MINUTE,
        instruments=[FIRST, SECOND],
        costs=Costs(half_spread=Decimal(0)),
        allocation=Decimal(10_000),
    )


@pytest.mark.parametrize(
    ("buy_fee", "sell_fee", "basis_points"),
    [(0.001, 0.006, 70.4), (0.0001, 0.006, 61.4), (0.001, 0.004, 50.2), (0.0002, 0.0025, 27.1)],
)
def test_the_break_even_is_that_of_the_table(buy_fee: float, sell_fee: float, basis_points: float) -> None:
    assert break_even(buy_fee, sell_fee) * 10_000 == pytest.approx(basis_points, abs=0.05)


def test_an_edge_is_what_is_left_after_both_fees() -> None:
    # 100 and 0.1 are paid, 101 less 0.101 comes back.
    assert edge(100.0, 0.001, 101.0, 0.001, 0.0) == pytest.approx((101 - 0.101) / 100.1 - 1)
    dearer = 100.0 * (1 + break_even(0.001, 0.001))
    assert edge(100.0, 0.001, dearer, 0.001, 0.0) == pytest.approx(0.0, abs=1e-12)


def test_three_takers_fees_eat_a_triangle() -> None:
    rates = (1 / 60_000, 16.0, 3_750.0 * 1.002)

    assert triangle(rates, 0.0) == pytest.approx(0.002)
    assert triangle(rates, 0.001) < 0


def test_a_pair_sells_where_it_is_dearer_what_it_buys_where_it_is_cheaper() -> None:
    level, apart = [40_000.0] * 3, [40_000.0, 40_000.0, 40_400.0]
    result = run([*level, *level, 40_000.0], [*apart, *apart[:2], 40_000.0, 40_000.0], trade_part=0.5)
    pair = [fill for fill in result.fills if fill.reason.endswith("_PAIR")]

    assert [(fill.symbol, fill.side) for fill in pair] == [("BTC/USDT", "buy"), ("BTC/USDT@other", "sell")]
    assert pair[0].time == pair[1].time
    # Decided at the close at which they were apart, done at the next open.
    assert pair[0].time == 4 * MINUTE
    # 2,500 of coins on each side are 0.0625 less the fee; half of a side is a trade.
    assert pair[1].quantity == pytest.approx(Decimal("0.0312"), abs=Decimal("0.0001"))


def test_nothing_is_traded_for_an_edge_below_what_is_needed() -> None:
    # 0.25 % apart: 0.2 % are fees, 0.05 % is less than profit, buffer and rebalancing ask for.
    result = run([40_000.0] * 6, [40_000.0] * 3 + [40_100.0] * 3)

    assert not [fill for fill in result.fills if fill.reason.endswith("_PAIR")]
    assert result.reasons["SIGNAL_NO_OPINION"] > 4


def test_money_on_one_exchange_buys_nothing_on_the_other() -> None:
    first, second = [40_000.0] * 40, [40_000.0] * 4 + [40_400.0] * 36
    result = run(first, second, trade_part=1.0)
    bought = [fill for fill in result.fills if fill.symbol == "BTC/USDT" and fill.side == "buy"]
    spent = sum((fill.quantity * fill.price for fill in bought), Decimal(0))

    # Half of ten thousand lies on the first exchange: once it is spent, the edge stays where it is.
    assert Decimal(4_000) < spent <= Decimal(5_000)
    assert result.reasons["SIGNAL_NO_OPINION"] > 40


def test_what_one_leg_left_over_is_undone() -> None:
    # The second exchange's candle is missing where its leg should be sold: only the first one is done.
    first = flat([40_000.0] * 12)
    whole = flat([40_000.0] * 3 + [40_600.0] + [40_000.0] * 8)
    there = np.array([k != 4 for k in range(12)])
    holed = Candles(MINUTE, whole.times[there], np.ascontiguousarray(whole.values[:, there]))
    result = run_panel_backtest(
        definition=registry.definition("arbitrage"),
        params=registry.make_params("arbitrage", {"share": 1.0}),
        candles=[first, holed],
        interval_ms=MINUTE,
        instruments=[FIRST, SECOND],
        costs=Costs(half_spread=Decimal(0)),
        allocation=Decimal(10_000),
    )
    reasons = [fill.reason for fill in result.fills]

    assert result.denials == {"DATA_GAP": 1}
    assert reasons.count("SIGNAL_ENTRY_PAIR") == 1
    assert "SIGNAL_EXIT_PAIR" not in reasons
    assert reasons.count("SIGNAL_EXIT_RESIDUAL") == 1
    stocked = sum((fill.quantity - fill.fee for fill in result.fills[:2]), Decimal(0))
    assert abs(sum(result.base, Decimal(0)) - stocked) * 40_000 < 10


def test_one_exchange_is_not_enough() -> None:
    with pytest.raises(UnableToBacktest, match="arbitrage trades 2 to 2 markets, not 1"):
        run_panel_backtest(
            definition=registry.definition("arbitrage"),
            params=registry.make_params("arbitrage"),
            candles=[flat([1.0] * 9)],
            interval_ms=MINUTE,
            instruments=[FIRST],
            costs=Costs(),
            allocation=Decimal(1000),
        )
