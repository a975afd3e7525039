"""On the candle of a switch a strategy is told the same, whether it steps before, during or after the hand-over."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from bots.jobs.books import book_for_step
from bots.jobs.due import DueBot
from bots.models import Bot
from portfolio.models import Order
from portfolio.selectors import books_exact
from portfolio.selectors.modes import hand_over_at
from portfolio.writers.modes import Choice
from tests.portfolio.switching import act, assert_whole, at, hold, newest, switch, traded
from tests.portfolio.test_rotation_turns import rotation
from tests.portfolio.world import World
from trading.handover import Mode, Phase, view_at
from trading.order_status import LIVE, READY
from trading.rotation import Policy
from trading.strategy import Record, View

FIVE_MINUTES = timedelta(minutes=5)
SWITCH_AT = datetime(2024, 3, 1, 6, tzinfo=UTC)
CLOSE = 50_000.0
LEAVING, COMING, CARRYING = range(3)


def told(world: World, book: int) -> Record:
    """Return what a strategy is told of its book at the close of the newest candle."""
    pk, instrument = world.books[book].pk, world.instruments["BTC/USDT"]
    due = DueBot(Bot(), None, (instrument,), (world.market_at,))
    view = view_at(hand_over_at(world.account())(world.market_at), pk, world.market_at)
    exact = books_exact([pk], {})[pk]
    return book_for_step(due, exact, (world.account().market,), closes=[CLOSE], fills=exact.fills[:0], view=view)


def told_all(world: World) -> list[object]:
    """Return all that the strategies of three books may read."""
    found: list[object] = []
    for book in (LEAVING, COMING, CARRYING):
        (row,) = told(world, book)
        plain = {name: row[name].tolist() for name in row.dtype.names if name not in ("fills", "orders")}
        # What nobody knows is NaN, which equals nothing, not even itself.
        plain["gain"] = repr(plain["gain"])
        found.append((plain, row.orders[: row.order_count].tolist()))
    return found


def answer(world: World) -> None:
    """Have the exchange do all that was asked of it."""
    live = Order.objects.filter(account=world.account_id, status__in=LIVE)
    for order in live.filter(cancel_requested_at__isnull=False):
        world.end(order)
    for order in live.filter(status=READY):
        sent = world.send(order)
        if sent.intent.kind == "flatten":
            world.fill(sent, "0.0038", "50000")


def take_over(world: World, policy: str) -> None:
    """Have two books hold coins under a stop, one of them with a buy open and its turn about to end by a policy."""
    hold(world, CARRYING)
    week = rotation(world, f"daily 00:00-06:00 {LEAVING} {policy}", f"daily 06:00-24:00 {COMING}")
    switch(world, Choice(mode=Mode.ROTATION, policy=Policy.CARRY, rotation=week, traded=traded(world)))
    hold(world, LEAVING)
    world.decide(world.propose("place", LEAVING, side="buy", lots=300, limit_price=Decimal(40_000), slot=1))
    world.send(world.order(kind="place", book=LEAVING))
    at(world, SWITCH_AT)


@pytest.mark.parametrize("policy", ["flatten", "carry", "transfer", "wait 30m"])
def test_a_book_is_shown_alike_at_every_step_of_a_hand_over(world: World, policy: str) -> None:
    take_over(world, policy)
    first = told_all(world)

    phases = set()
    for _ in range(5):
        act(world)
        phases.add(newest(world).phase)
        assert told_all(world) == first
        answer(world)
        assert told_all(world) == first

    assert phases >= ({Phase.CLOSING, Phase.RELEASING} if policy == "wait 30m" else {Phase.CLOSING, Phase.SETTLED})
    leaving, coming, carrying = (told(world, book)[0] for book in (LEAVING, COMING, CARRYING))
    assert (coming.cash, coming.equity, coming.allocation, coming.quantity[0]) == (0, 0, 0, 0)
    assert (carrying.cash, carrying.equity, carrying.quantity[0], carrying.stop_price[0]) == (0, 190, 0.0038, 48_000)
    if policy in ("carry", "wait 30m"):
        assert (leaving.quantity[0], leaving.stop_price[0], leaving.order_count) == (0.0038, 48_000, 1), "it may leave by itself"
        assert (leaving.equity > 9000) == (policy == "wait 30m")
    else:
        assert (leaving.quantity[0], leaving.stop_price[0], leaving.order_count, leaving.equity) == (0, 0, 0, 0)
    assert_whole(world)


def test_the_next_candle_shows_everything(world: World) -> None:
    take_over(world, "transfer")
    for _ in range(4):
        act(world)
        answer(world)
    at(world, SWITCH_AT + FIVE_MINUTES)

    coming = told(world, COMING)[0]

    assert (coming.quantity[0], coming.stop_price[0], coming.order_count) == (0.0038, 48_000, 1)
    assert coming.cash > 9000
    assert coming.equity == pytest.approx(coming.cash + 190, rel=0.01)


def test_a_book_whose_wait_is_over_is_shown_alike_as_well(world: World) -> None:
    take_over(world, "wait 10m")
    act(world)
    answer(world)
    at(world, SWITCH_AT + 2 * FIVE_MINUTES)
    first = told_all(world)

    for _ in range(4):
        act(world)
        answer(world)
        assert told_all(world) == first

    assert newest(world).phase == Phase.SETTLED
    assert told(world, LEAVING)[0].quantity[0] == 0


def test_a_book_that_was_waited_for_is_shown_alike_once_it_is_flat(world: World) -> None:
    take_over(world, "wait 30m")
    act(world)
    answer(world)
    world.fill(world.order(kind="stop", book=LEAVING), "0.0038", "48000")
    at(world, SWITCH_AT + FIVE_MINUTES)
    first = told_all(world)

    act(world)

    assert newest(world).phase == Phase.SETTLED
    assert told_all(world) == first
    at(world, SWITCH_AT + 2 * FIVE_MINUTES)
    assert told(world, COMING)[0].cash > 9000


def test_where_everybody_has_a_share_nothing_is_hidden(world: World) -> None:
    assert hand_over_at(world.account())(world.market_at) is None
    assert view_at(None, world.books[0].pk, world.market_at) == View.WHOLE
    assert told(world, 0)[0].cash > 0
