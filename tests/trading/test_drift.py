"""What is said of fills beside the prices that backtests assume (P7)."""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from tests.strategies.cases import COSTS, market, outcome
from tests.trading.markets import ETH
from trading.costs import rate_ppm
from trading.drift import (
    LIMIT_BPS,
    MEAN_WITHIN,
    ORDERS_FEW,
    ORDERS_MIN,
    DriftFigures,
    Reference,
    Shortfall,
    begins_to_drift,
    drift_by_day,
    drift_figures,
    model_price,
    shortfall,
    why_no_drift,
)
from trading.kernels.backtest import Fill
from trading.strategy import OPEN

D = Decimal
AT = datetime(2024, 3, 1, 12, 0, tzinfo=UTC)


def said(*bps: float) -> DriftFigures:
    return drift_figures([Shortfall(AT, value, D(0)) for value in bps])


@pytest.mark.parity("P7")
@pytest.mark.parametrize("case", ["mean_reversion", "triple_ema", "momentum donchian"])
def test_what_a_backtest_trades_at_the_market_does_not_drift_from_it(case: str) -> None:
    """The monitor's reference is the backtest's price, to the last tick: whatever it shows is the exchange's doing."""
    candles = market()
    opens = dict(zip(candles.times.tolist(), candles.values[OPEN].tolist(), strict=True))
    orders: dict[int, list[Fill]] = defaultdict(list)
    for fill in outcome(case).fills:
        if fill.kind in ("ENTRY", "EXIT"):
            orders[fill.order_id].append(fill)
    for fills in orders.values():
        # The first share of the volume: what is beyond lies deeper by design, and is told as drift.
        first = fills[0]
        model = model_price(
            reference=Reference.OPEN,
            side=first.side,
            level=None,
            opened=opens[first.time],
            tick_size=ETH.tick_size,
            half_spread_ppm=rate_ppm(COSTS.half_spread + COSTS.slippage),
        )
        assert model == first.price
    assert len(orders) > 5


@pytest.mark.parity("P7")
@pytest.mark.parametrize(
    ("reference", "side", "level", "opened", "expected"),
    [
        (Reference.OPEN, "buy", None, 100.0, "100.01"),
        (Reference.OPEN, "sell", None, 100.0, "99.99"),
        (Reference.OPEN, "buy", None, None, None),
        (Reference.LIMIT, "buy", "99.50", None, "99.50"),
        # Touched within the candle; the candle opened at it; opened beyond it.
        (Reference.STOP, "sell", "95.00", 97.0, "94.99"),
        (Reference.STOP, "sell", "95.00", 95.0, "94.99"),
        (Reference.STOP, "sell", "95.00", 90.0, "89.99"),
        (Reference.STOP, "sell", "95.00", None, None),
        # A tick is the least that anything costs.
        (Reference.OPEN, "sell", None, 0.01, "0.01"),
    ],
)
def test_the_models_price_of_an_order(
    reference: Reference, side: str, level: str | None, opened: float | None, expected: str | None
) -> None:
    found = model_price(
        reference=reference,
        side=side,
        level=None if level is None else D(level),
        opened=opened,
        tick_size=D("0.01"),
        half_spread_ppm=50,
    )

    assert found == (None if expected is None else D(expected))


@pytest.mark.parity("P7")
@pytest.mark.parametrize(("side", "amount", "bps", "cost"), [("buy", "200.10", 5.0, "0.10"), ("sell", "199.90", 5.0, "0.10")])
def test_worse_is_positive_on_either_side(side: str, amount: str, bps: float, cost: str) -> None:
    worse = shortfall(at=AT, side=side, quantity=D(2), amount=D(amount), model=D(100))
    better = shortfall(at=AT, side="sell" if side == "buy" else "buy", quantity=D(2), amount=D(amount), model=D(100))

    assert (round(worse.bps, 9), worse.cost) == (bps, D(cost))
    assert (round(better.bps, 9), better.cost) == (-bps, -D(cost))


@pytest.mark.parity("P7")
def test_days_are_measured_apart_and_the_newest_comes_first() -> None:
    values = [Shortfall(AT, 1.0, D("0.1")), Shortfall(AT, 3.0, D("0.3")), Shortfall(AT + timedelta(days=1), 8.0, D("0.8"))]

    days = drift_by_day(values)

    assert [f"{day}" for day in days] == ["2024-03-02", "2024-03-01"]
    assert [(one.orders, one.mean, one.worst, one.cost) for one in days.values()] == [
        (1, 8.0, 8.0, D("0.8")),
        (2, 2.0, 3.0, D("0.4")),
    ]
    assert drift_figures([]) == DriftFigures(0)


@pytest.mark.parity("P7")
def test_an_alarm_takes_enough_orders_and_an_interval_beyond_the_limit() -> None:
    assert not begins_to_drift(said(*[9.0] * (ORDERS_MIN - 1)))
    assert begins_to_drift(said(*[9.0] * ORDERS_MIN))
    assert begins_to_drift(said(*[-9.0] * ORDERS_MIN))
    assert not begins_to_drift(said(*[LIMIT_BPS] * ORDERS_MIN))
    # One gap of three hundred: a mean of fifteen, and no more than chance.
    assert not begins_to_drift(said(300.0, *[0.0] * (ORDERS_MIN - 1)))


@pytest.mark.parity("P7")
def test_an_alarm_lasts_while_the_mean_is_beyond_and_says_why_it_ends() -> None:
    assert why_no_drift(said(*[2.1] * ORDERS_MIN)) == ""
    # The interval reaches into the limits again; the mean does not.
    assert why_no_drift(said(300.0, *[0.0] * (ORDERS_MIN - 1))) == ""
    assert why_no_drift(said(*[2.0] * ORDERS_MIN)) == MEAN_WITHIN
    assert why_no_drift(said(*[-2.1] * ORDERS_MIN)) == ""
    assert why_no_drift(said(*[9.0] * (ORDERS_MIN - 1))) == ORDERS_FEW
    assert why_no_drift(said()) == ORDERS_FEW
