"""A live book's results in R and what became of its orders: those of the backtest for the same fills, and none without a stop."""

from __future__ import annotations

from decimal import Decimal
from functools import cache
from itertools import groupby

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from marketdata.models import Mark
from portfolio import services
from portfolio.models import Book, Order
from portfolio.selectors.results import (
    FILLS_MAX,
    ORDERS_MAX,
    BookOrders,
    BookTrips,
    last_prices,
    newest_orders,
    newest_trips,
    orders_between,
    trips_between,
)
from portfolio.writers import orders
from tests.portfolio.deficit import deposit
from tests.portfolio.switching import act, hold, mark, single, switch
from tests.portfolio.world import BAR, MARKET_AT, NOW, World
from tests.strategies.cases import market, simulation
from trading.fill_ratios import OrderTally, order_figures
from trading.kernels.backtest import BacktestResult
from trading.orders import ExchangeStatus
from trading.rotation import Policy
from trading.round_trips import RoundTrip, closed_trips
from trading.trade_figures import risk_figures

D = Decimal
ETH = "ETH/USDT"


def followed(world: World, book: int = 0, *, is_grid: bool = False, fills_max: int = FILLS_MAX) -> BookTrips:
    return newest_trips(world.books[book], is_grid=is_grid, fills_max=fills_max)


def trips(world: World, book: int = 0) -> list[RoundTrip]:
    return list(followed(world, book).trips)


def counted(world: World, orders_max: int = ORDERS_MAX) -> BookOrders:
    return newest_orders(world.books[0].pk, orders_max=orders_max)


def enter(world: World, quantity: str, limit: str, stop: str | None) -> Order:
    lots = int(D(quantity) / D("0.00001"))
    stop_price = None if stop is None else D(stop)
    (outcome,) = world.decide(world.propose("enter", lots=lots, limit_price=D(limit), stop_price=stop_price))
    assert outcome.is_accepted, outcome
    return world.send(world.order(kind="enter"))


def leave(world: World) -> Order:
    """Have the book sell all it has, whatever stop protects it."""
    world.decide(world.propose("exit"))
    for stop in Order.objects.filter(intent__kind="stop", status__in=Order.LIVE):
        world.end(stop)
    return world.send(world.order(kind="exit"))


def bought_and_sold(world: World, bought: str, sold: str, *, stop: str | None = None) -> None:
    """Trade 0.003 from flat to flat."""
    entry = enter(world, "0.003", "50500", stop)
    world.fill(entry, "0.003", bought)
    _send_stops(world)
    world.fill(leave(world), "0.003", sold)


@cache
def backtested() -> BacktestResult:
    prepared = simulation("mean_reversion rsi2", candles=market(900))
    prepared.run()
    return prepared.result()


def replay(world: World, result: BacktestResult) -> None:
    """Have the first book do what a backtest did, order by order, through the coordinator and the ledger."""
    Book.objects.update(position_cap_percent=100)
    for _, group in groupby(result.fills, key=lambda fill: fill.order_id):
        fills = list(group)
        first = fills[0]
        Mark.objects.filter(instrument=world.instruments[ETH]).update(price=first.price)
        if first.kind == "ENTRY":
            lots = int(sum(fill.quantity for fill in fills) / D("0.0001"))
            limit = (first.price * D("1.005")).quantize(D("0.01"))
            (outcome,) = world.decide(
                world.propose("enter", symbol=ETH, lots=lots, limit_price=limit, stop_price=first.stop_price)
            )
            assert outcome.is_accepted, outcome
            order = world.send(world.order(kind="enter"))
        elif first.kind == "EXIT":
            order = _leave(world)
        else:
            order = world.order(kind="stop")
        for fill in fills:
            world.fill(order, str(fill.quantity), str(fill.price), fee=str(fill.fee), fee_asset=fill.fee_asset)
        _send_stops(world)


def _leave(world: World) -> Order:
    world.decide(world.propose("exit", symbol=ETH))
    world.end(world.order(kind="stop"))
    return world.send(world.order(kind="exit"))


def _send_stops(world: World) -> None:
    for order in Order.objects.filter(status=Order.Status.READY, intent__kind="stop"):
        world.send(order)


def test_a_live_book_is_measured_as_the_backtest_of_the_same_fills(world: World) -> None:
    result = backtested()
    expected = closed_trips(result.fills, {ETH: D("0.0001")}, is_grid=False)
    replay(world, result)

    found = followed(world)

    assert [_worth(one) for one in found.trips] == [_worth(one) for one in expected]
    assert risk_figures(found.trips) == risk_figures(expected)
    assert risk_figures(expected).sqn is not None
    assert (found.fills, found.is_cut) == (len(result.fills), False)
    placed = counted(world)
    prices = {ETH: result.last_price}
    assert order_figures(placed.tallies, prices) == order_figures(result.tallies, prices)
    assert {one.kind for one in result.tallies} == {"ENTRY", "EXIT", "STOP"}


def _worth(trip: RoundTrip) -> tuple[Decimal | None, ...]:
    return trip.cost, trip.profit, trip.quantity, trip.risk


def test_several_entries_and_partial_fills_add_up_to_what_they_risked(world: World) -> None:
    first = enter(world, "0.002", "50500", "49000")
    world.fill(first, "0.0005", "50000")
    world.fill(first, "0.0015", "50100")
    _send_stops(world)
    second = enter(world, "0.001", "51500", "50000")
    world.fill(second, "0.001", "51000")
    sale = leave(world)
    world.fill(sale, "0.001", "52000")
    assert trips(world) == []
    world.fill(sale, "0.002", "52500")

    (one,) = trips(world)

    risked = D("0.0005") * 1000 + D("0.0015") * 1100 + D("0.001") * 1000
    assert one.risk == risked
    assert one.multiple == float((D("52") + D("105") - D("25") - D("75.15") - D("51")) / risked)


def test_an_entry_without_a_stop_leaves_its_trade_without_r(world: World) -> None:
    bought_and_sold(world, "50000", "50500", stop="49000")
    bought_and_sold(world, "50000", "50500")

    assert [one.risk for one in trips(world)] == [D(3), None]
    found = risk_figures(trips(world))
    assert (found.r_trades, found.r_less, found.r_expectancy) == (1, 1, 0.5)


def test_a_stop_that_sells_ends_a_trade_at_minus_one_before_costs(world: World) -> None:
    entry = enter(world, "0.003", "50500", "49000")
    world.fill(entry, "0.003", "50000")
    world.fill(world.send(world.order(kind="stop")), "0.003", "49000")

    (one,) = trips(world)

    assert (one.risk, one.multiple) == (D(3), -1.0)


@pytest.mark.parametrize(
    ("fees", "asset", "profit"),
    [
        # A base fee leaves a part unsold that is less than a lot; what was paid for it is lost, as in a backtest.
        (("0.000003", "0.1515"), ("BTC", "USDT"), "0.8435"),
        (("0.15", "0.1515"), ("USDT", "USDT"), "1.1985"),
        # A mark of 400 for a coin of the pool.
        (("0.0004", "0.0005"), ("BNB", "BNB"), "1.14"),
    ],
    ids=["base", "quote", "a third asset"],
)
def test_fees_are_taken_off_the_result_whatever_they_are_paid_in(
    world: World, fees: tuple[str, str], asset: tuple[str, str], profit: str
) -> None:
    if "BNB" in asset:
        deposit(world, "BNB", "1")
        services.fund_fee_pool(account_id=world.account_id, asset="BNB", amount=D(1), by=None, now=NOW)
    entry = enter(world, "0.003", "50500", "49000")
    world.fill(entry, "0.003", "50000", fee=fees[0], fee_asset=asset[0])
    _send_stops(world)
    sale = leave(world)
    world.fill(sale, str(sale.quantity), "50500", fee=fees[1], fee_asset=asset[1])

    (one,) = trips(world)

    assert one.risk == D(3)
    assert one.profit == D(profit)


def test_a_stop_that_is_moved_later_is_not_the_one_that_the_entry_came_with(world: World) -> None:
    entry = enter(world, "0.003", "50500", "49000")
    world.fill(entry, "0.003", "50000")
    _send_stops(world)
    world.decide(world.propose("move_stop", stop_price=D("49900")))
    world.end(world.order(kind="stop"))
    _send_stops(world)
    assert world.order(kind="stop").stop_price == D("49900")
    world.fill(leave(world), "0.003", "50500")

    assert [one.multiple for one in trips(world)] == [0.5]


def test_what_is_open_is_no_trade_and_has_no_result(world: World) -> None:
    world.fill(enter(world, "0.003", "50500", "49000"), "0.003", "50000")

    found = followed(world)

    assert (found.trips, found.fills, found.is_cut) == ([], 1, False)


def test_a_holding_that_came_from_another_book_came_without_a_stop(world: World) -> None:
    """It counts at its mark, for both, as in the table of trades."""
    stop = hold(world, 0)
    mark(world, "51000")
    switch(world, single(world, 1, policy=Policy.TRANSFER))
    world.end(stop)
    act(world)
    world.decide(world.propose("exit", 1))
    for protecting in Order.objects.filter(book=world.books[1], intent__kind="stop", status__in=Order.LIVE):
        world.end(protecting)
    world.fill(world.send(world.order(kind="exit", book=1)), "0.0038", "51500")

    (given,), (taken,) = trips(world, 0), trips(world, 1)

    assert (given.profit, given.risk, given.multiple) == (D("3.8"), D("7.6"), 0.5)
    assert (taken.profit, taken.risk) == (D("1.9"), None)


def test_a_grid_is_measured_in_matched_pairs_that_have_no_r(world: World) -> None:
    for slot, price in ((1, "49000"), (2, "48000")):
        world.decide(world.propose("place", side="buy", lots=100, limit_price=D(price), slot=slot))
        world.fill(world.send(world.order(kind="place")), "0.001", price)
    world.decide(world.propose("place", side="sell", lots=100, limit_price=D("49000"), slot=2))
    world.fill(world.send(world.order(kind="place")), "0.001", "49000")

    found = followed(world, is_grid=True)

    assert [(one.profit, one.risk) for one in found.trips] == [(D(1), None)]
    assert trips(world) == []


@pytest.mark.parametrize(("fills_max", "whole"), [(9, 3), (8, 2), (7, 2), (6, 2), (5, 1), (4, 1), (3, 1), (2, 0)])
def test_only_the_newest_fills_are_followed_and_a_trade_that_began_before_them_is_left_out(
    world: World, fills_max: int, whole: int
) -> None:
    """What a base fee left behind before them is still there, so that every trade ends where it ends with all fills."""
    for price in ("50500", "50600", "50700"):
        entry = enter(world, "0.003", "50500", "49000")
        world.fill(entry, "0.003", "50000", fee="0.000003", fee_asset="BTC")
        _send_stops(world)
        sale = leave(world)
        world.fill(sale, "0.001", price)
        world.fill(sale, str(sale.quantity - D("0.001")), price)
    everything = trips(world)

    found = followed(world, fills_max=fills_max)

    assert len(everything) == 3
    assert list(found.trips) == everything[3 - whole :]
    assert (found.fills, found.is_cut) == (fills_max, fills_max < 9)


def test_a_stretch_holds_what_was_traded_in_it(world: World) -> None:
    bought_and_sold(world, "50000", "50500", stop="49000")
    until = world.exchange.clock
    world.market_at = until
    bought_and_sold(world, "50000", "49500", stop="49000")
    book = world.books[0]

    assert [one.multiple for one in trips_between(book, MARKET_AT, until, is_grid=False)] == [0.5]
    assert [one.multiple for one in trips_between(book, until, until + 100 * BAR, is_grid=False)] == [-0.5]
    assert {one.kind: one.orders for one in orders_between(book.pk, MARKET_AT, until)} == {"ENTRY": 1, "EXIT": 1, "STOP": 1}


def test_only_orders_that_the_exchange_took_and_that_are_over_are_counted(world: World) -> None:
    part = enter(world, "0.002", "50500", None)
    world.fill(part, "0.0005", "50000")
    world.end(part, ExchangeStatus.EXPIRED)
    missed = enter(world, "0.001", "50500", None)
    world.end(missed, ExchangeStatus.EXPIRED)
    enter(world, "0.001", "50500", None)
    world.decide(world.propose("place", side="buy", lots=100, limit_price=D("45000"), slot=1))
    refused = world.order(kind="place")
    orders.mark_sending(refused.pk, epoch=1, now=NOW)
    with transaction.atomic():
        orders.mark_rejected(world.account(), refused.pk, "REJECTED_FILTER", "Filter failure", now=NOW)
    world.decide(world.propose("place", side="buy", lots=100, limit_price=D("45000"), slot=2))

    found = counted(world)

    assert found.tallies == [OrderTally("BTC/USDT", "ENTRY", 2, 0, D("0.003"), D("0.0005"))]
    assert (found.looked_at, found.is_cut) == (5, False)
    told = order_figures(found.tallies, last_prices(found.tallies, world.account().market_id))
    assert (told["orders"], told["filled"], told["by_count"], told["by_quantity"]) == (2, 0, 0.0, pytest.approx(1 / 6))
    assert [one["kind"] for one in told["kinds"]] == ["ENTRY"]
    newest = counted(world, 4)
    assert ([one.orders for one in newest.tallies], newest.is_cut) == ([1], True)


def test_without_a_price_of_a_market_quantities_are_not_added_up(world: World) -> None:
    world.end(enter(world, "0.001", "50500", None), ExchangeStatus.EXPIRED)
    Mark.objects.all().delete()
    tallies = counted(world).tallies

    told = order_figures(tallies, last_prices(tallies, world.account().market_id))

    assert (told["by_count"], told["by_quantity"]) == (0.0, None)


def test_the_number_of_queries_does_not_grow(world: World) -> None:
    counts = []
    for _ in range(2):
        bought_and_sold(world, "50000", "50500", stop="49000")
        with CaptureQueriesContext(connection) as seen:
            followed(world, fills_max=1)
            last_prices(counted(world).tallies, world.account().market_id)
        counts.append(len(seen))

    # The account that the test itself reads is one of them.
    assert counts == [8, 8]
