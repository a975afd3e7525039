"""A turn of which no point of equity was drawn, for its bot had stopped: it is stored and compared like any other."""

from __future__ import annotations

from decimal import Decimal

import pytest

from portfolio.models import Account
from tests.portfolio.world import BAR, MARKET_AT, NOW, World, build
from trials import selectors
from trials.models import Trial, TrialLeg
from trials.outcomes import leg_of, stored
from trials.selectors.measuring import account_turn


@pytest.fixture
def world(db: None) -> World:
    return build()


def test_a_turn_without_a_point_of_equity_ends_with_nothing_gained_and_nothing_lost(world: World) -> None:
    account = Account.objects.get(pk=world.account_id)
    trial = Trial.objects.create(account=account, kind="account", state="running", hours=1, source_hash="x", requested_at=NOW)
    setup = {"strategy": "mean_reversion", "params": {}, "interval": "5m", "instruments": [world.instruments["BTC/USDT"].pk]}
    span = {"begin_at": MARKET_AT, "end_at": MARKET_AT + BAR}
    leg = TrialLeg.objects.create(trial=trial, number=0, book=world.books[0], name="First", setup=setup, **span)

    leg.outcome, leg.state = stored(account_turn(leg)), "done"
    leg.save()

    assert leg_of(TrialLeg.objects.get(pk=leg.pk)).deepest == 0.0
    (row,) = selectors.compare(trial).rows
    assert (row.figures.pnl, row.figures.total_return, row.figures.max_drawdown) == (Decimal(0), 0.0, 0.0)
