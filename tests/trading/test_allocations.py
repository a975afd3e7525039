"""Shares of an account as arithmetic: what a plan comes to, what it refuses, what it leaves for later."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trading.allocations import (
    HUNDRED,
    Holder,
    Plan,
    PlanRefused,
    Policy,
    Slice,
    Wanted,
    differences,
    normalised,
    plan_shares,
    rebase_slot,
    settle_pending,
)

D = Decimal
NAMES = {1: "Grid", 2: "Ribbon", 3: "Hybrid"}


def holder(book_id: int, percent: str, equity: str, *, free: str | None = None, **facts: object) -> Holder:
    return Holder(
        book_id=book_id,
        name=NAMES[book_id],
        percent=D(percent),
        equity=D(equity),
        cash_free=D(equity if free is None else free),
        **facts,  # type: ignore[arg-type]
    )


def plan(holders: list[Holder], percents: dict[int, str], *, unallocated: str, total: str = "1000", **more: object) -> Plan:
    policy = more.pop("policy", Policy())
    wanted = Wanted(percents={book: D(text) for book, text in percents.items()}, **more)  # type: ignore[arg-type]
    return plan_shares(
        holders=holders,
        wanted=wanted,
        unallocated=D(unallocated),
        total=D(total),
        policy=policy,  # type: ignore[arg-type]
    )


def moves(made: Plan) -> dict[int, Decimal]:
    return {share.book_id: share.moved for share in made.shares}


def test_what_one_book_gives_back_funds_the_next() -> None:
    made = plan([holder(1, "50", "500"), holder(2, "50", "500")], {1: "20", 2: "80"}, unallocated="0")

    assert moves(made) == {1: D(-300), 2: D(300)}
    assert [share.missing for share in made.shares] == [0, 0]


def test_a_shrink_below_what_is_in_use_waits_and_sizes_by_the_smaller_share_at_once() -> None:
    made = plan([holder(1, "50", "500", free="120"), holder(2, "0", "0")], {1: "20", 2: "40"}, unallocated="500")
    (shrunk, grown) = made.shares

    assert (shrunk.moved, shrunk.funded, shrunk.missing, shrunk.sized_by) == (D(-120), D(380), D(-180), D(200))
    assert (grown.moved, grown.missing) == (D(400), D(0))


def test_growth_without_cash_waits_and_sizes_by_what_there_is() -> None:
    made = plan([holder(1, "90", "900", free="0"), holder(2, "0", "0")], {1: "10", 2: "90"}, unallocated="100")
    (shrunk, grown) = made.shares

    assert (shrunk.moved, shrunk.missing) == (D(0), D(-800))
    assert (grown.moved, grown.missing, grown.sized_by) == (D(100), D(800), D(100))


def test_the_reserve_is_never_dealt_out() -> None:
    made = plan([holder(1, "0", "0")], {1: "80"}, unallocated="850", policy=Policy(reserve_percent=D(20)))
    assert moves(made) == {1: D(650)}
    with pytest.raises(PlanRefused, match=r"80.5 percent; 80 is all there is beside a reserve of 20 %") as refused:
        plan([holder(1, "0", "0")], {1: "80.5"}, unallocated="850", policy=Policy(reserve_percent=D(20)))
    assert refused.value.facts["even"] == {"1": "80"}


def test_a_rebase_leaves_locked_shares_and_small_differences_alone() -> None:
    holders = [holder(1, "30", "330"), holder(2, "30", "305"), holder(3, "30", "330", is_locked=True)]
    made = plan(holders, {1: "30", 2: "30", 3: "30"}, unallocated="35", rebase=True, policy=Policy(band_percent=D(1)))

    assert moves(made) == {1: D(-30)}
    assert made.left_alone == {2: "in_band", 3: "locked"}


def test_a_locked_share_changes_only_after_it_is_unlocked() -> None:
    holders = [holder(1, "30", "300", is_locked=True)]
    with pytest.raises(PlanRefused, match="Grid is locked at 30 %: unlock it to set 20 %") as refused:
        plan(holders, {1: "20"}, unallocated="0")
    assert refused.value.code == "ALLOCATION_LOCKED"
    (share,) = plan(holders, {1: "20"}, unallocated="0", locks={1: False}).shares
    assert (share.moved, share.is_locked) == (D(-100), False)


def test_a_lock_alone_moves_no_money() -> None:
    (share,) = plan([holder(1, "30", "250", target=D(300))], {}, unallocated="0", locks={1: True}).shares
    assert (share.moved, share.target, share.is_dealt, share.is_locked) == (D(0), D(300), False, True)


@pytest.mark.fault("G01")
@pytest.mark.parametrize(
    ("percent", "code", "words"),
    [
        ("-1", "ALLOCATION_OUT_OF_RANGE", "Grid: a share must be between 0 and 100 percent, not -1"),
        ("NaN", "ALLOCATION_OUT_OF_RANGE", "not NaN"),
        ("Infinity", "ALLOCATION_OUT_OF_RANGE", "not Infinity"),
        ("100.1", "ALLOCATION_OUT_OF_RANGE", "not 100.1"),
        ("33.33333", "ALLOCATION_TOO_FINE", "at most four decimals"),
        ("61", "ALLOCATION_ABOVE_TOTAL", "101 percent; 100 is all there is. Scaled to fit: Grid 60.3961, Ribbon 39.6039"),
    ],
)
def test_shares_that_cannot_be_are_refused_with_what_to_do(percent: str, code: str, words: str) -> None:
    with pytest.raises(PlanRefused) as refused:
        plan([holder(1, "0", "0"), holder(2, "40", "400")], {1: percent}, unallocated="600")
    assert refused.value.code == code
    assert words in str(refused.value)


@pytest.mark.fault("G01")
def test_three_thirds_leave_a_remainder_that_is_told_and_can_be_shared_out() -> None:
    holders = [holder(book, "0", "0") for book in (1, 2, 3)]
    made = plan(holders, dict.fromkeys((1, 2, 3), "33.333"), unallocated="1000")

    assert made.remainder == D("0.001")
    assert made.even == {1: D("33.3334"), 2: D("33.3333"), 3: D("33.3333")}
    assert sum(moves(plan(holders, {book: str(share) for book, share in made.even.items()}, unallocated="1000")).values()) >= D(
        "999.99"
    )


@given(
    st.dictionaries(st.integers(1, 30), st.integers(0, 1_000_000).map(lambda units: D(units) / 10_000), min_size=1),
    st.integers(0, 500_000).map(lambda units: D(units) / 10_000),
)
def test_evened_shares_add_up_to_the_whole_to_the_last_grain(percents: dict[int, Decimal], reserve: Decimal) -> None:
    even = normalised(percents, locked=set(), whole=HUNDRED - reserve)
    if sum(percents.values()) > 0:
        assert sum(even.values()) == HUNDRED - reserve
    order = sorted(percents, key=lambda book: percents[book])
    assert all(even[low] <= even[high] + D("0.0001") for low, high in itertools.pairwise(order))


@given(
    st.lists(
        st.tuples(st.integers(0, 2_000), st.integers(0, 2_000), st.integers(0, 2_000), st.integers(0, 25)),
        min_size=1,
        max_size=4,
    ),
    st.integers(0, 5_000),
    st.integers(0, 50),
)
def test_no_plan_takes_more_than_is_free_or_gives_more_than_there_is(
    rows: list[tuple[int, int, int, int]], unallocated: int, reserve: int
) -> None:
    holders = [
        Holder(book_id=number, percent=D(0), equity=D(free + used), cash_free=D(free))
        for number, (free, used, _, _) in enumerate(rows)
    ]
    percents = {number: D(percent) for number, (_, _, _, percent) in enumerate(rows)}
    if sum(percents.values()) > HUNDRED - reserve:
        return
    total = D(unallocated) + sum(row.equity for row in holders)
    made = plan_shares(
        holders=holders,
        wanted=Wanted(percents=percents),
        unallocated=D(unallocated),
        total=total,
        policy=Policy(reserve_percent=D(reserve)),
    )
    moved = moves(made)
    left = D(unallocated) - sum(moved.values())
    assert all(-amount <= holders[book].cash_free for book, amount in moved.items())
    assert left >= min(D(unallocated), total * reserve / 100 - D("0.01"))
    pending = [
        Holder(book_id=s.book_id, percent=s.percent, equity=s.funded, cash_free=holders[s.book_id].equity, pending=s.missing)
        for s in made.shares
    ]
    # Once everything in use is free, what was pending comes to the targets, as far as there is cash.
    settled = settle_pending(holders=pending, unallocated=left, reserve=D(0))
    for share in made.shares:
        if share.missing <= 0:
            assert share.funded + settled.get(share.book_id, D(0)) == share.target


def test_pending_moves_take_first_and_give_then() -> None:
    holders = [
        Holder(book_id=1, percent=D(0), equity=D(0), cash_free=D(0), pending=D(100)),
        Holder(book_id=2, percent=D(0), equity=D(90), cash_free=D(70), pending=D(-90)),
    ]
    assert settle_pending(holders=holders, unallocated=D(10), reserve=D(5)) == {2: D(-70), 1: D(75)}


def test_versions_are_compared_by_share_and_lock() -> None:
    before = {1: Slice(percent=D(20)), 2: Slice(percent=D(30))}
    after = {1: Slice(percent=D("20.0000")), 2: Slice(percent=D(30), is_locked=True), 3: Slice(percent=D(5))}

    assert [(row.book_id, row.before, row.after) for row in differences(before, after)] == [
        (2, before[2], after[2]),
        (3, None, after[3]),
    ]


def test_weeks_of_the_schedule_begin_on_mondays() -> None:
    wednesday = datetime(2024, 3, 6, 15, 30, tzinfo=UTC)
    assert rebase_slot(wednesday, 168) == datetime(2024, 3, 4, tzinfo=UTC)
    assert rebase_slot(wednesday, 24) == datetime(2024, 3, 6, tzinfo=UTC)
    assert rebase_slot(wednesday, 4) == datetime(2024, 3, 6, 12, tzinfo=UTC)
