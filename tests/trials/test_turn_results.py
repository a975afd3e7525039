"""What a turn on the account closed, in R, and what became of its orders: measured as a backtest measures, and stored."""

from __future__ import annotations

from decimal import Decimal

import pytest

from portfolio.models import Account, EquityPoint
from tests.portfolio.test_results import bought_and_sold, enter
from tests.portfolio.world import BAR, MARKET_AT, NOW, World, build
from trading.orders import ExchangeStatus
from trials import selectors
from trials.models import Trial, TrialLeg
from trials.outcomes import leg_of, stored
from trials.selectors.measuring import account_turn
from trials.telling import comparison_view

D = Decimal


@pytest.fixture
def world(db: None) -> World:
    return build()


def turn(world: World, *, strategy: str = "mean_reversion") -> TrialLeg:
    """Return a turn of the first book that lasts from the beginning until now."""
    account = Account.objects.get(pk=world.account_id)
    trial = Trial.objects.create(account=account, kind="account", state="running", hours=1, source_hash="x", requested_at=NOW)
    worth = {"equity": D(1976), "realised": D(0), "unrealised": D(0), "fees": D(0), "net_flows": D(1976)}
    EquityPoint.objects.create(account=account, book=world.books[0], market_at=world.exchange.clock, **worth)
    setup = {"strategy": strategy, "params": {}, "interval": "5m", "instruments": [world.instruments["BTC/USDT"].pk]}
    return TrialLeg.objects.create(
        trial=trial,
        number=0,
        book=world.books[0],
        name="First",
        setup=setup,
        begin_at=MARKET_AT,
        end_at=world.exchange.clock,
    )


def finished(leg: TrialLeg) -> TrialLeg:
    leg.outcome, leg.state = stored(account_turn(leg)), "done"
    leg.save()
    return TrialLeg.objects.get(pk=leg.pk)


def test_a_turn_on_the_account_is_measured_in_r_and_by_its_orders(world: World) -> None:
    bought_and_sold(world, "50000", "51000", stop="49000")
    bought_and_sold(world, "50000", "49500", stop="49000")
    bought_and_sold(world, "50000", "50500")
    world.end(enter(world, "0.003", "50500", None), ExchangeStatus.EXPIRED)
    world.market_at += BAR
    world.exchange.clock = world.market_at
    leg = turn(world)
    bought_and_sold(world, "50000", "60000", stop="49000")

    done = finished(leg)

    assert [trip.multiple for trip in leg_of(done).trips] == [1.0, -0.5, None]
    (row,) = selectors.compare(done.trial).rows
    assert row.figures.in_r is not None
    assert (row.figures.in_r.r_trades, row.figures.in_r.r_less, row.figures.in_r.r_expectancy) == (2, 1, 0.25)
    (told,) = comparison_view(done.trial, selectors.compare(done.trial))["items"]
    assert (told["in_r"]["r_best"], told["orders"]["orders"], told["orders"]["filled"]) == (1.0, 7, 6)
    assert told["orders"]["by_quantity"] == pytest.approx(6 / 7)


def test_a_grid_on_the_account_is_measured_in_matched_pairs_as_in_a_simulation(world: World) -> None:
    for side, price in (("buy", "48000"), ("sell", "49000")):
        world.decide(world.propose("place", side=side, lots=100, limit_price=D(price), slot=2))
        world.fill(world.send(world.order(kind="place")), "0.001", price, fee="0.01")

    (trip,) = leg_of(finished(turn(world, strategy="grid"))).trips

    assert (trip.profit, trip.risk) == (D("0.98"), None)
