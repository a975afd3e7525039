"""Which transfers bring a family back to its shares: nobody overshoots, nobody gives what is not free, limits hold."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trading.allocations import PlanRefused
from trading.rebalancing import Evened, Move, Purse, check_percents, even_out

D = Decimal
FAR = D(10**9)
amounts = st.decimals(min_value=0, max_value=100_000, places=2)


def purse(account_id: int, equity: str, percent: str, free: str = "1000000") -> Purse:
    return Purse(account_id=account_id, equity=D(equity), free=D(free), percent=D(percent))


def evened(*purses: Purse, band: str = "1", per_transfer: Decimal = FAR, per_day: Decimal = FAR) -> Evened:
    return even_out(purses, band_percent=D(band), per_transfer=per_transfer, per_day=per_day)


def told(found: Evened) -> list[tuple[int, int, str]]:
    return [(move.sender_id, move.receiver_id, str(move.amount.normalize())) for move in found.moves]


def test_the_largest_differences_meet_first() -> None:
    found = evened(purse(1, "1000", "40"), purse(2, "0", "35"), purse(3, "0", "25"))

    assert told(found) == [(1, 2, "3.5E+2"), (1, 3, "2.5E+2")]
    assert found.targets == {1: D(400), 2: D(350), 3: D(250)}
    assert found.held_back == {}


def test_a_small_difference_is_left_alone_unless_it_meets_a_large_one() -> None:
    assert told(evened(purse(1, "505", "50"), purse(2, "495", "50"))) == []
    # Nobody is beyond the band but the third: both others have a little for it.
    found = evened(purse(1, "505", "49.9"), purse(2, "495", "48.6"), purse(3, "0", "1.5"), band="1")
    assert told(found) == [(2, 3, "9"), (1, 3, "6")]


@pytest.mark.parametrize(
    ("free", "per_transfer", "per_day", "moved", "held_back"),
    [
        ("120.009", FAR, FAR, "120", {1: "CAPITAL_INSUFFICIENT"}),
        ("900", D(100), FAR, "100", {2: "TRANSFER_LIMIT"}),
        ("900", FAR, D(70), "70", {2: "TRANSFER_LIMIT_DAY"}),
        ("0", FAR, FAR, "0", {1: "CAPITAL_INSUFFICIENT"}),
    ],
)
def test_what_is_not_free_or_over_a_limit_stays_and_says_why(
    free: str, per_transfer: Decimal, per_day: Decimal, moved: str, held_back: dict[int, str]
) -> None:
    found = evened(purse(1, "1000", "50", free), purse(2, "0", "50"), per_transfer=per_transfer, per_day=per_day)

    assert sum((move.amount for move in found.moves), D(0)) == D(moved)
    assert found.held_back == held_back


def test_an_account_out_of_reach_neither_gives_nor_gets() -> None:
    away = Purse(account_id=2, equity=D(0), free=D(0), percent=D(50), is_reachable=False)
    assert evened(purse(1, "1000", "50"), away).moves == ()


@given(
    equities=st.lists(amounts, min_size=2, max_size=6),
    frees=st.lists(amounts, min_size=6, max_size=6),
    per_transfer=amounts,
    per_day=amounts,
)
def test_no_plan_overshoots_or_breaks_a_limit(
    equities: list[Decimal], frees: list[Decimal], per_transfer: Decimal, per_day: Decimal
) -> None:
    share = D(100) // len(equities)
    purses = [
        Purse(account_id=number, equity=equity, free=min(frees[number], equity), percent=share)
        for number, equity in enumerate(equities)
    ]
    found = even_out(purses, band_percent=D(1), per_transfer=per_transfer, per_day=per_day)
    gone, come = _summed(found.moves, "sender_id"), _summed(found.moves, "receiver_id")

    assert gone.keys().isdisjoint(come)
    assert sum(gone.values(), D(0)) <= per_day
    assert all(D(0) < move.amount <= per_transfer for move in found.moves)
    for one in purses:
        off = one.equity - found.targets[one.account_id]
        assert gone.get(one.account_id, D(0)) <= min(max(off, D(0)), one.free)
        assert come.get(one.account_id, D(0)) <= max(-off, D(0))


def _summed(moves: tuple[Move, ...], end: str) -> dict[int, Decimal]:
    found: dict[int, Decimal] = {}
    for move in moves:
        found[getattr(move, end)] = found.get(getattr(move, end), D(0)) + move.amount
    return found


@pytest.mark.parametrize(
    ("percents", "band", "code"),
    [
        (["-1"], "1", "TARGET_PERCENT"),
        (["NaN"], "1", "TARGET_PERCENT"),
        (["100.0001"], "1", "TARGET_PERCENT"),
        (["33.33333"], "1", "TARGET_PERCENT"),
        (["60", "40.0001"], "1", "TARGET_SUM"),
        (["60"], "-1", "TARGET_PERCENT"),
        (["60"], "NaN", "TARGET_PERCENT"),
    ],
)
def test_shares_that_cannot_be_kept_are_refused(percents: list[str], band: str, code: str) -> None:
    with pytest.raises(PlanRefused) as refused:
        check_percents({number: D(percent) for number, percent in enumerate(percents)}, D(band))
    assert refused.value.code == code
    check_percents(dict.fromkeys(range(3), D("33.3333")), D(0))
