"""What may be lost, by arithmetic that a reader can redo."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trading.risk import (
    DayStart,
    Exposure,
    Limits,
    LimitsInvalid,
    Standing,
    collar_breach,
    exchange_caps,
    opening_limits,
    overlay,
    raised,
    worst_case,
    worst_of,
)

D = Decimal
LIMITS = Limits(order_value_max=D(1000))
amounts = st.decimals(min_value=0, max_value=1_000_000, places=2)


def standing(
    *, start: str = "2000", equity: str = "2000", given_then: str = "2000", given_now: str = "2000", worst: str = "0"
) -> Standing:
    """Return where a book stands."""
    return Standing(
        limits=LIMITS, start=DayStart(D(start), D(given_then)), equity=D(equity), net_flows=D(given_now), worst_open=D(worst)
    )


@pytest.mark.parametrize(
    ("equity", "open_worst", "order_worst", "fits"),
    [
        # 2,000 at the start, 5 % are 100.
        ("2000", "0", "100", True),
        ("2000", "0", "100.01", False),
        ("1950", "0", "50", True),
        ("1950", "30", "20", True),
        ("1950", "30", "20.01", False),
        # A gain of today may be lost again.
        ("2040", "0", "140", True),
        # Beyond the cap already: not even an order without risk.
        ("1899.99", "0", "0", False),
    ],
)
def test_lost_today_and_worst_of_open_and_order_stay_under_the_cap(
    equity: str, open_worst: str, order_worst: str, fits: bool
) -> None:
    assert standing(equity=equity, worst=open_worst).allows(D(order_worst)) is fits


def test_the_hard_cap_counts_what_is_unrealised() -> None:
    """Equity counts, so a loss that nobody has realised is one."""
    assert not standing(equity="1860.01").is_beyond_hard
    assert standing(equity="1860").is_beyond_hard
    assert standing(equity="1860").loss == D(140)


def test_a_deposit_is_no_gain_and_a_withdrawal_no_loss() -> None:
    """Flows of the day move equity and base alike."""
    paid_in = standing(equity="2950", given_now="3000")
    assert (paid_in.loss, paid_in.base, paid_in.soft_cap) == (D(50), D(3000), D(150))
    taken_out = standing(equity="1000", given_now="1000")
    assert (taken_out.loss, taken_out.base, taken_out.is_beyond_hard) == (D(0), D(1000), False)


def test_a_book_with_nothing_may_risk_nothing_and_is_not_beyond_anything() -> None:
    empty = standing(start="0", equity="0", given_then="0", given_now="0")
    assert (empty.left, empty.is_beyond_hard, empty.allows(D("0.01"))) == (D(0), False, False)


@pytest.mark.parametrize(
    ("stop", "worst"),
    [(None, "10"), ("97", "3"), ("100", "0"), ("101", "0"), ("80", "10")],
    ids=["no stop: the assumed fall", "to the stop", "at the mark", "above the mark", "a far stop is no worse than none"],
)
def test_the_worst_case_reaches_to_the_stop_where_one_stands(stop: str | None, worst: str) -> None:
    exposure = Exposure(1, 1, D(1), D(100), None if stop is None else D(stop))
    assert worst_case(exposure, D(10)) == D(worst)


def test_a_book_counts_its_own_exposures_and_the_account_all() -> None:
    rows = [Exposure(1, 1, D(1), D(100)), Exposure(2, 1, D(3), D(100), D(99))]
    assert [worst_of(rows, LIMITS, book_id=key) for key in (None, 1, 2, 3)] == [D(13), D(10), D(3), D(0)]


@given(amounts, amounts, amounts, amounts)
def test_no_entry_that_is_allowed_brings_the_worst_case_beyond_the_cap(
    start: Decimal, equity: Decimal, open_worst: Decimal, order_worst: Decimal
) -> None:
    """The promise itself: loss + open + order <= cap < 10 % of the day's start."""
    where = standing(start=str(start), equity=str(equity), given_then="0", given_now="0", worst=str(open_worst))
    if where.allows(order_worst):
        assert where.loss + open_worst + order_worst <= where.soft_cap <= where.hard_cap <= start / 10
    assert where.allows(where.left) is (where.soft_cap - where.loss - open_worst >= 0)


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"soft_loss_percent": D(8)}, "soft_loss_percent"),
        ({"soft_loss_percent": D(0)}, "soft_loss_percent"),
        ({"hard_loss_percent": D(10)}, "hard_loss_percent"),
        ({"order_value_max": D(0)}, "order_value_max"),
        ({"fall_percent": D(0)}, "fall_percent"),
        ({"collar_percent": D(101)}, "collar_percent"),
        ({"repeats_max": 0}, "repeats_max"),
        ({"orders_per_minute": -1}, "orders_per_minute"),
        ({"opposite_positions": "net"}, "opposite_positions"),
    ],
)
def test_limits_that_limit_nothing_are_refused(changes: dict[str, object], name: str) -> None:
    """G11: neither zero nor "unlimited", and never 10 %."""
    with pytest.raises(LimitsInvalid) as refused:
        overlay(LIMITS, changes)
    assert refused.value.name == name


def test_a_new_account_opens_with_a_largest_order() -> None:
    assert opening_limits(D("9882.31")).order_value_max == D("2470.57")
    assert opening_limits(D(0)).order_value_max == D(10)


def test_what_allows_more_is_called_a_raise() -> None:
    assert raised(LIMITS, overlay(LIMITS, {"order_value_max": D(2000), "soft_loss_percent": D(4)})) == ["order_value_max"]
    # To assume a smaller fall is to risk more.
    assert raised(LIMITS, overlay(LIMITS, {"fall_percent": D(5)})) == ["fall_percent"]
    assert raised(LIMITS, overlay(LIMITS, {"fall_percent": D(20), "repeats_max": 3, "opposite_positions": "refuse"})) == []


@pytest.mark.parametrize(
    ("price", "mark", "close", "passes"),
    [
        ("100", "100", "100", True),
        ("105", "100", "100", True),
        ("105.01", "100", "100", False),
        ("60", "100", "100", True),
        # A flash spike of 50 % for one tick: the two sources do not agree (M05).
        ("100", "150", "100", False),
        ("150", "150", "100", False),
        ("100", "50", "100", False),
    ],
)
def test_the_collar_holds_a_buy_against_both_sources(price: str, mark: str, close: str, passes: bool) -> None:
    breach = collar_breach(D(price), sources={"mark": D(mark), "close": D(close)}, collar_percent=D(5))
    assert (breach is None) is passes


def test_the_exchange_caps_are_read_from_its_own_filters() -> None:
    filters = {
        "MAX_NUM_ALGO_ORDERS": {"maxNumAlgoOrders": 5},
        "EXCHANGE_MAX_NUM_ORDERS": {"maxNumOrders": 1000},
        "MAX_POSITION": {"maxPosition": "10.00000000"},
    }
    assert exchange_caps(filters) == (1000, 5, D(10))
    assert exchange_caps({}) == (None, None, None)
