"""Average cost, its oracle, and figures worked out by hand."""

from __future__ import annotations

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from trading.positions import FillFact, PositionFold, apply_fill, fold, fold_first_in_first_out, unapply_fill

D = Decimal
UNIT = D("0.00000001")

TRADES = st.lists(
    st.tuples(st.booleans(), st.integers(1, 500), st.integers(1, 10**7), st.integers(0, 10**5)), min_size=1, max_size=30
)


def facts(trades: list[tuple[bool, int, int, int]]) -> list[FillFact]:
    """Turn numbers into fills that never sell more than there is."""
    held = 0
    made = []
    for is_buy, wanted, price, fee in trades:
        size = wanted if is_buy or held == 0 else min(wanted, held)
        side = "buy" if is_buy or held == 0 else "sell"
        held += size if side == "buy" else -size
        made.append(FillFact(side, size * UNIT * 1000, D(size * price) * UNIT, D(fee) * UNIT))
    return made


def test_a_round_trip_worked_out_by_hand() -> None:
    """Bought 2 for 100 and 1 for 80: 180 for 3. Sold 1 for 70: cost 60 out, 10 gained. The rest takes all cost."""
    position, realised = fold(
        [
            FillFact("buy", D(2), D(100), D("0.1")),
            FillFact("buy", D(1), D(80), D("0.08")),
            FillFact("sell", D(1), D(70), D("0.07")),
            FillFact("sell", D(2), D(110), D("0.11")),
        ]
    )
    assert realised == [D(0), D(0), D(10), D(-10)]
    assert position == PositionFold(quantity=D(0), cost=D(0), realised=D(0), fees=D("0.36"))


def test_cost_is_rounded_down_and_its_remainder_stays() -> None:
    """A third of 100 leaves as 33.33333333; the last third takes 33.33333334."""
    position, _ = fold([FillFact("buy", D(3), D(100), D(0))])
    for expected in ("33.33333333", "33.33333333", "33.33333334"):
        position, realised = apply_fill(position, FillFact("sell", D(1), D(0), D(0)))
        assert realised == -D(expected)
    assert position.cost == 0


def test_the_last_sell_takes_cost_finer_than_a_unit() -> None:
    """I-28 for assets whose prices have more decimals than amounts: nothing stays behind."""
    position, _ = fold([FillFact("buy", D(2), D("1.000000000123"), D(0))])
    for _ in range(2):
        position, _ = apply_fill(position, FillFact("sell", D(1), D(1), D(0)))
    assert position == PositionFold(realised=D("0.999999999877"))


@given(TRADES)
def test_the_total_is_the_same_under_first_in_first_out(trades: list[tuple[bool, int, int, int]]) -> None:
    """I-27: the split between realised and unrealised is a method, the total is a fact."""
    average, _ = fold(facts(trades))
    oracle = fold_first_in_first_out(facts(trades))
    assert average.quantity == oracle.quantity
    assert average.fees == oracle.fees
    assert average.realised - average.cost == oracle.realised - oracle.cost


@given(TRADES)
def test_a_closed_position_costs_nothing(trades: list[tuple[bool, int, int, int]]) -> None:
    """I-28, exactly, after any history."""
    history = facts(trades)
    position, _ = fold(history)
    if position.quantity:
        position, _ = apply_fill(position, FillFact("sell", position.quantity, D(1), D(0)))
    assert (position.quantity, position.cost) == (D(0), D(0))
    paid = sum((fact.quote for fact in history if fact.side == "buy"), D(0))
    got = sum((fact.quote for fact in history if fact.side == "sell"), D(0))
    assert position.realised in (got - paid, got - paid + 1)


def any_facts(trades: list[tuple[bool, int, int, int]]) -> list[FillFact]:
    """Turn numbers into fills that may sell more than there is, as adopted orders do."""
    return [
        FillFact("buy" if is_buy else "sell", size * UNIT * 1000, D(size * price) * UNIT, D(fee) * UNIT)
        for is_buy, size, price, fee in trades
    ]


def test_selling_more_than_there_is_worked_out_by_hand() -> None:
    """Bought 1 for 10, sold 3 for 36: 12 of it close, 2 gained; 2 are owed and brought 24. Bought back for 20: 4 more."""
    position, realised = fold([FillFact("buy", D(1), D(10), D(0)), FillFact("sell", D(3), D(36), D(0))])
    assert realised == [D(0), D(2)]
    assert position == PositionFold(quantity=D(-2), cost=D(-24), realised=D(2))

    position, gain = apply_fill(position, FillFact("buy", D(2), D(20), D(0)))
    assert gain == D(4)
    assert position == PositionFold(quantity=D(0), cost=D(0), realised=D(6))


@given(TRADES)
def test_below_zero_the_total_is_a_fact_too(trades: list[tuple[bool, int, int, int]]) -> None:
    """I-27 and I-28 hold for positions that owe."""
    history = any_facts(trades)
    average, _ = fold(history)
    oracle = fold_first_in_first_out(history)
    assert (average.quantity, average.fees) == (oracle.quantity, oracle.fees)
    assert average.realised - average.cost == oracle.realised - oracle.cost
    if average.quantity == 0:
        assert average.cost == 0


@given(TRADES)
def test_taking_a_fill_out_again_leads_back(trades: list[tuple[bool, int, int, int]]) -> None:
    """A late fill needs no history but what came after it."""
    position = PositionFold()
    for fact in any_facts(trades):
        after, realised = apply_fill(position, fact)
        assert unapply_fill(after, fact, realised) == position
        position = after
