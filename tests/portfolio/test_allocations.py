"""Shares of the account: what is allowed, what moves, what it means for profit."""

from __future__ import annotations

from decimal import Decimal

import pytest

from marketdata.models import Mark
from portfolio import selectors, services
from portfolio.jobs import equity
from portfolio.models import Allocation, AuditEntry, EquityPoint
from portfolio.services import UnableToAllocate
from tests.portfolio.world import BAR, NOW, World, close_candle

D = Decimal


def share(world: World, **percents: str) -> services.allocations.AllocationPlan:
    """Set shares by book position."""
    return services.set_allocations(
        account_id=world.account_id,
        percents={world.books[int(name[1:])].pk: D(value) for name, value in percents.items()},
        by=None,
        now=NOW,
    )


@pytest.mark.parametrize(
    ("percents", "code"),
    [
        ({"b0": "-1"}, "ALLOCATION_OUT_OF_RANGE"),
        ({"b0": "101"}, "ALLOCATION_OUT_OF_RANGE"),
        ({"b0": "NaN"}, "ALLOCATION_OUT_OF_RANGE"),
        ({"b0": "20.00001"}, "ALLOCATION_TOO_FINE"),
        ({"b0": "20.0001"}, "ALLOCATION_ABOVE_TOTAL"),
        ({"b0": "60", "b1": "60"}, "ALLOCATION_ABOVE_TOTAL"),
    ],
)
def test_plans_that_are_no_plans_are_refused(world: World, percents: dict[str, str], code: str) -> None:
    """I-31; nothing is written."""
    before = Allocation.objects.count()
    with pytest.raises(UnableToAllocate) as refused:
        share(world, **percents)
    assert refused.value.code == code
    assert Allocation.objects.count() == before


def test_an_unknown_book_is_refused(world: World) -> None:
    """A clear code instead of a traceback."""
    with pytest.raises(UnableToAllocate) as refused:
        services.set_allocations(account_id=world.account_id, percents={10**9: D(1)}, by=None, now=NOW)
    assert refused.value.code == "ALLOCATION_UNKNOWN_BOOK"


def test_a_share_moves_money_between_books_through_the_operator(world: World) -> None:
    """I-06: zero-sum, effective for the next order, profit of nobody."""
    preview = services.preview_allocations(
        account_id=world.account_id, percents={world.books[0].pk: D(10), world.books[1].pk: D(30)}
    )
    plan = share(world, b0="10", b1="30")
    numbers = selectors.book_numbers(world.account_id)

    assert preview.shares == plan.shares
    assert [row.equity for row in numbers][:3] == [D("988.23"), D("2964.69"), D("1976.46")]
    assert [row.base_equity for row in numbers][:2] == [D("988.23"), D("2964.69")]
    assert {row.pnl for row in numbers} == {D(0)}
    assert AuditEntry.objects.filter(action="allocation.set").count() == 2
    assert world.compare().outcome == "exact"
    assert world.verify() == []


def test_a_smaller_share_takes_free_cash_only(world: World) -> None:
    """I-31: what an order has reserved cannot be taken; target and funded stand apart."""
    world.decide(world.propose("enter", lots=380, limit_price=D("50505")))
    plan = share(world, b0="0")
    (row,) = plan.shares
    assert (row.target, row.funded, row.missing) == (D(0), D("191.919"), D("-191.919"))
    assert selectors.book_numbers(world.account_id)[0].cash == 0
    assert world.verify() == []


def test_the_same_plan_again_moves_nothing(world: World) -> None:
    """Gains stay with the bot that made them unless a rebase is asked for."""
    before = Allocation.objects.count()
    assert share(world, b0="20", b1="20").shares == ()
    assert Allocation.objects.count() == before

    world.decide(world.propose("enter", lots=380, limit_price=D("50505")))
    world.fill(world.send(world.order(kind="enter")), "0.0038", "40000", fee="0", fee_asset="BTC")
    plan = services.set_allocations(
        account_id=world.account_id, percents={world.books[0].pk: D(20)}, by=None, now=NOW, rebase=True
    )
    # Bought at 40,000 and marked at 50,000: the book gained 38, of which four fifths are dealt out.
    assert plan.total == D("9920.31")
    assert plan.shares[0].moved == D("1984.06") - D("2014.46")
    assert selectors.book_numbers(world.account_id)[0].pnl == D(38)
    assert world.verify() == []


def test_equity_points_are_recorded_once_for_each_book_and_time(world: World) -> None:
    """A repeated job changes nothing."""
    for expected in (6, 0):
        assert equity.record_equity(account_id=world.account_id, market_at=world.market_at, now=NOW) == expected
    assert EquityPoint.objects.count() == 6
    (point,) = selectors.equity_series(world.account_id)
    assert (point.book, point.equity, point.net_flows) == (None, D("9882.31"), D("9882.31"))


@pytest.mark.parametrize("interval", ["1m", "5m", "1h"])
def test_equity_points_go_by_the_candles_that_just_ended_however_long_they_are(world: World, interval: str) -> None:
    """A replay draws the same line: the mark, which comes when it comes, tells only where no candle does."""
    world.decide(world.propose("enter", lots=380, limit_price=D("50505")))
    world.fill(world.send(world.order(kind="enter")), "0.0038", "50000", fee="0", fee_asset="BTC")
    instrument = world.instruments["BTC/USDT"]
    close_candle(instrument, interval, ends_at=world.market_at, close=51000)
    Mark.objects.filter(instrument=instrument).delete()
    equity.record_equity(account_id=world.account_id, market_at=world.market_at, now=NOW)
    Mark.objects.create(instrument=instrument, price=D(52000), market_at=world.market_at, received_at=NOW)
    equity.record_equity(account_id=world.account_id, market_at=world.market_at + BAR, now=NOW)
    assert [row.equity for row in selectors.equity_series(world.account_id)] == [D("9886.11"), D("9889.91")]


def test_a_strategy_is_told_exact_units_and_each_fill_once(world: World) -> None:
    """The cursor of fills, the live stop, what is locked: all as whole numbers."""
    book = world.books[0].pk
    world.decide(world.propose("enter", lots=380, limit_price=D("50505"), stop_price=D("49000"), reason="SIGNAL_ENTRY_RSI"))
    world.fill(world.send(world.order(kind="enter")), "0.0038", "50002.50", fee="0.0000038", fee_asset="BTC")

    exact = selectors.books_exact([book], {})[book]
    btc = world.instruments["BTC/USDT"].pk
    assert (exact.allocation_units, exact.free_units, exact.locked_units) == (197646000000, 178645050000, 0)
    position = exact.positions[btc]
    assert (position.base_units, position.available_units, position.cost_units) == (379620, 620, 19000950000)
    assert position.stop_price_units == 4900000000000
    (fill,) = exact.fills
    assert (fill.intent_kind, fill.reason, fill.base_units, fill.fee_units) == ("enter", "SIGNAL_ENTRY_RSI", 380000, 380)
    (stop,) = exact.orders
    assert (stop.intent_kind, stop.remaining_units, stop.price_units) == ("stop", 379000, 4900000000000)
    assert selectors.books_exact([book], {book: exact.last_fill_id})[book].fills == ()


def test_a_book_that_never_trades_does_not_reread_the_fills_of_the_others(world: World) -> None:
    """The cursor moves with what the account has posted, and skips nobody's fill."""
    idle, busy = world.books[0].pk, world.books[1].pk
    since = {idle: 0, busy: 0}
    for expected in (1, 1):
        world.decide(world.propose("enter", book=1, lots=100, limit_price=D("50505")))
        world.fill(world.send(world.order(kind="enter", book=1)), "0.001", "50002.50")

        exact = selectors.books_exact([idle, busy], since)

        assert (len(exact[idle].fills), len(exact[busy].fills)) == (0, expected)
        assert exact[idle].last_fill_id == exact[busy].last_fill_id > max(since.values())
        since = {book: exact[book].last_fill_id for book in (idle, busy)}
