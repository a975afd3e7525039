"""Market stories: which orders a candle fills, at what, in which order."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import numpy as np
import pytest

from tests.trading.markets import COARSE, FIRST_OPEN, FIVE_MINUTES
from trading.instruments import instrument_numbers
from trading.kernels.matching import AT_OPEN, execute, match_move
from trading.kernels.world import JOURNAL_DTYPE, WORLD_DTYPE, add_order
from trading.paths import bar_path
from trading.sizing import SIZED_DTYPE
from trading.strategy import BUY, NO_SLOT, SELL, DecisionKind, OrderKind, Reason, Record

# One order rests when the candle opens. Ticks of 1, a spread of one per cent each way, no fee.
# The path is open, nearer extreme, other extreme, close; equally near goes low first.
STORIES = """
    order         open high low  close   expect
    stop 95       100  101  94   96      94 at 95        | triggers at its price, sells a spread below
    stop 95       100  101  95   96      94 at 95        | a touch is enough for a stop
    stop 95       100  101  96   97      -
    stop 95       90   97   89   96      89 at 90        | the open gapped through it
    stop 95       95   97   89   96      94 at 95        | opened right at it
    buy 95        100  101  94   96      95 at 94        | traded through by a tick
    buy 95        100  101  95   96      -               | a touch is not enough for a limit
    buy 95        90   97   89   96      95 at 90        | a gap fills at the limit, not better
    sell 105      100  106  99   103     105 at 106      | traded through by a tick
    sell 105      100  105  99   103     -
    sell 105      110  111  108  109     105 at 110      | a gap fills at the limit, not better
"""


def new_world(*, volume_lots: int = 1000) -> Record:
    numbers = instrument_numbers(COARSE)[0]
    world = np.zeros(1, dtype=WORLD_DTYPE)
    w = world[0]
    w.cash = 100_000 * 10**8
    w.base_owned = 100 * 10**8
    w.half_spread_ppm = 10_000
    w.participation_ppm = 100_000
    w.units_per_lot = numbers.units_per_lot
    w.quote_units_per_tick_lot = numbers.quote_units_per_tick_lot
    w.min_lots = 1
    w.next_id = 1
    w.bar_time, w.bar_length = FIRST_OPEN, FIVE_MINUTES
    w.time_now = FIRST_OPEN
    w.budget_lots = w.depth_lots = volume_lots // 10
    return world


def rest(world: Record, text: str, lots: int = 10) -> None:
    word, ticks = text.split()
    kind = OrderKind.STOP if word == "stop" else OrderKind.LIMIT
    side = BUY if word == "buy" else SELL
    assert add_order(world[0], NO_SLOT, side, kind.value, int(ticks), lots, Reason.NONE.value)


def walk(world: Record, candle: tuple[int, int, int, int]) -> list[Any]:
    journal = np.zeros(64, dtype=JOURNAL_DTYPE)
    match_move(world[0], journal, candle[0], candle[0], AT_OPEN)
    path = bar_path(*candle)
    match_move(world[0], journal, path[0], path[0], 0)
    for segment in range(3):
        match_move(world[0], journal, path[segment], path[segment + 1], segment)
    return list(journal[: world[0].fill_count])


def stories() -> list[tuple[str, tuple[int, int, int, int], str]]:
    rows = []
    for line in STORIES.strip().splitlines()[1:]:
        word, ticks, opened, high, low, close, *expect = line.split("|")[0].split()
        rows.append((f"{word} {ticks}", (int(opened), int(high), int(low), int(close)), " ".join(expect)))
    return rows


@pytest.mark.parametrize(("order", "candle", "expect"), stories())
def test_a_candle_meets_a_resting_order(order: str, candle: tuple[int, int, int, int], expect: str) -> None:
    world = new_world()
    rest(world, order)

    fills = walk(world, candle)

    if expect == "-":
        assert not fills
        assert world[0].order_count == 1
    else:
        assert [fill.ticks for fill in fills] == [int(expect.split(maxsplit=1)[0])]
        assert world[0].order_count == 0


def test_orders_are_met_in_the_order_the_price_reaches_them() -> None:
    world = new_world()
    for order in ("buy 97", "stop 94", "buy 99", "sell 108"):
        rest(world, order)

    # Low is nearer: down first, then up to the high.
    fills = walk(world, (100, 110, 93, 105))

    assert [(fill.side, fill.ticks) for fill in fills] == [(BUY, 99), (BUY, 97), (SELL, 93), (SELL, 108)]
    assert [fill.time for fill in fills] == sorted(fill.time for fill in fills)
    assert all(FIRST_OPEN + FIVE_MINUTES // 10 <= fill.time < FIRST_OPEN + FIVE_MINUTES for fill in fills)


def test_what_the_price_of_now_meets_comes_before_it_moves() -> None:
    world, journal = new_world(), np.zeros(64, dtype=JOURNAL_DTYPE)
    world[0].tick_now = 100
    rest(world, "buy 97")
    # Placed in the hold, inside the spread: above the bid of 99 and already below the price of now.
    assert execute(world[0], journal, sized(DecisionKind.PLACE, lots=5, limit=99, side=SELL)) == Reason.ORDER_WOULD_TAKE
    world[0].half_spread_ppm = 20_000
    assert execute(world[0], journal, sized(DecisionKind.PLACE, lots=5, limit=99, side=SELL)) == Reason.NONE

    match_move(world[0], journal, 100, 100, 0)
    match_move(world[0], journal, 100, 90, 0)

    assert [(int(fill.side), int(fill.ticks)) for fill in journal[: world[0].fill_count]] == [(SELL, 99), (BUY, 97)]


def test_of_two_orders_at_one_price_the_older_comes_first() -> None:
    world = new_world()
    rest(world, "buy 95", lots=3)
    rest(world, "buy 95", lots=4)

    fills = walk(world, (100, 101, 90, 100))

    assert [fill.lots for fill in fills] == [3, 4]


def test_resting_orders_share_a_tenth_of_the_volume() -> None:
    world = new_world(volume_lots=100)
    rest(world, "buy 95", lots=8)
    rest(world, "buy 97", lots=7)

    fills = walk(world, (100, 101, 90, 100))

    assert [(fill.ticks, fill.lots) for fill in fills] == [(97, 7), (95, 3)]
    assert world[0].orders[0].lots == 5
    assert world[0].cash_locked == 5 * 95 * 10**7


def sized(kind: DecisionKind, *, lots: int = 0, limit: int = 0, stop: int = 0, side: int = BUY) -> Any:
    order = np.zeros(1, dtype=SIZED_DTYPE)[0]
    order.kind, order.lots, order.limit_ticks, order.stop_ticks, order.side = kind, lots, limit, stop, side
    order.slot = 0
    return order


def test_a_large_order_walks_down_the_book() -> None:
    world, journal = new_world(volume_lots=100), np.zeros(64, dtype=JOURNAL_DTYPE)
    world[0].tick_now = 1000

    assert execute(world[0], journal, sized(DecisionKind.EXIT, lots=25)) == Reason.NONE

    assert [(fill.lots, fill.ticks) for fill in journal[: world[0].fill_count]] == [(10, 990), (10, 980), (5, 970)]


def test_an_entry_beyond_its_collar_expires_and_leaves_the_old_stop() -> None:
    world, journal = new_world(), np.zeros(64, dtype=JOURNAL_DTYPE)
    rest(world, "stop 80")
    world[0].tick_now = 100

    denied = execute(world[0], journal, sized(DecisionKind.ENTER, lots=5, limit=100, stop=90))

    assert denied == Reason.ORDER_EXPIRED
    assert [int(order.ticks) for order in world[0].orders[: world[0].order_count]] == [80]


def test_an_entry_puts_one_stop_under_the_whole_position() -> None:
    world, journal = new_world(), np.zeros(64, dtype=JOURNAL_DTYPE)
    rest(world, "stop 80")
    world[0].tick_now = 100

    assert execute(world[0], journal, sized(DecisionKind.ENTER, lots=5, limit=105, stop=90)) == Reason.NONE

    stops = list(world[0].orders[: world[0].order_count])
    assert [(int(stop.ticks), int(stop.lots)) for stop in stops] == [(90, 1005)]


def test_a_partial_exit_protects_what_is_left() -> None:
    world, journal = new_world(), np.zeros(64, dtype=JOURNAL_DTYPE)
    rest(world, "stop 80", lots=1000)
    world[0].tick_now = 100

    assert execute(world[0], journal, sized(DecisionKind.EXIT, lots=400, stop=85)) == Reason.NONE

    stops = list(world[0].orders[: world[0].order_count])
    assert [(int(stop.ticks), int(stop.lots)) for stop in stops] == [(85, 600)]


@pytest.mark.fault("E22")
@pytest.mark.parametrize("stop", [100, 120])
def test_a_stop_at_or_above_the_market_is_refused_and_all_is_sold(stop: int) -> None:
    world, journal = new_world(), np.zeros(64, dtype=JOURNAL_DTYPE)
    world[0].tick_now = 100
    rest(world, "stop 80", lots=1000)
    rest(world, "sell 130", lots=10)

    assert execute(world[0], journal, sized(DecisionKind.MOVE_STOP, stop=stop)) == Reason.STOP_WOULD_TRIGGER

    # Ten lots are another order's.
    fills = [(int(fill.kind), int(fill.reason), int(fill.ticks)) for fill in journal[: world[0].fill_count]]
    assert set(fills) == {(OrderKind.STOP, Reason.STOP_WOULD_TRIGGER, ticks) for ticks in range(90, 100)}
    assert sum(int(fill.lots) for fill in journal[: world[0].fill_count]) == 990
    assert [int(order.ticks) for order in world[0].orders[: world[0].order_count]] == [130]


@pytest.mark.fault("E22")
def test_an_entry_whose_stop_is_passed_already_is_sold_again_at_once() -> None:
    world, journal = new_world(), np.zeros(64, dtype=JOURNAL_DTYPE)
    world[0].base_owned = 0
    world[0].tick_now = 100

    assert execute(world[0], journal, sized(DecisionKind.ENTER, lots=5, limit=105, stop=101)) == Reason.STOP_WOULD_TRIGGER

    fills = [(int(fill.side), int(fill.ticks), int(fill.lots)) for fill in journal[: world[0].fill_count]]
    assert fills == [(BUY, 101, 5), (SELL, 99, 5)]
    assert (world[0].base_owned, world[0].order_count, world[0].next_id) == (0, 0, 3)


@pytest.mark.fault("E22")
def test_what_the_exchange_would_not_take_stays_where_a_stop_is_passed() -> None:
    world, journal = new_world(), np.zeros(64, dtype=JOURNAL_DTYPE)
    world[0].tick_now = 100
    world[0].base_owned = 5 * world[0].units_per_lot
    world[0].min_notional = 5 * 100 * world[0].quote_units_per_tick_lot + 1

    assert execute(world[0], journal, sized(DecisionKind.MOVE_STOP, stop=101)) == Reason.FILTER_MIN_NOTIONAL
    assert world[0].fill_count == 0


@pytest.mark.parametrize(
    ("side", "limit", "expect"),
    [(BUY, 100, Reason.NONE), (BUY, 101, Reason.ORDER_WOULD_TAKE), (SELL, 100, Reason.NONE), (SELL, 99, Reason.ORDER_WOULD_TAKE)],
)
def test_a_limit_order_that_would_take_is_refused(side: int, limit: int, expect: Reason) -> None:
    world, journal = new_world(), np.zeros(64, dtype=JOURNAL_DTYPE)
    world[0].tick_now = 100

    assert execute(world[0], journal, sized(DecisionKind.PLACE, lots=2, limit=limit, side=side)) == expect


def test_cancelling_gives_everything_back() -> None:
    world, journal = new_world(), np.zeros(64, dtype=JOURNAL_DTYPE)
    before = (int(world[0].cash), int(world[0].base_owned))
    world[0].tick_now = 100
    execute(world[0], journal, sized(DecisionKind.PLACE, lots=2, limit=95))

    assert world[0].cash_locked == 2 * 95 * 10**7
    execute(world[0], journal, sized(DecisionKind.CANCEL))

    assert (int(world[0].cash), int(world[0].base_owned)) == before
    assert (world[0].cash_locked, world[0].base_locked, world[0].order_count) == (0, 0, 0)


def test_the_toy_market_is_what_the_stories_assume() -> None:
    assert COARSE.tick_size == 1
    assert COARSE.lot_size == Decimal("0.1")
