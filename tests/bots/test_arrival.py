"""P5: candles that arrive late, twice or in any order lead to the same decisions and the same state."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from django.db import transaction

from bots import jobs
from bots.models import BotState
from marketdata import jobs as market_jobs
from marketdata.candles import ClosedCandle, milliseconds
from marketdata.selectors import subscriptions
from portfolio.models import Account, DecisionRecord
from tests.bots.conftest import FIVE_MINUTES, Desk, clock, quiet
from trading.bars import Floats

GROUP, GROUPS = 8, 3
STRATEGIES = ("mean_reversion", "triple_ema", "ema_ribbon", "sasha_hybrid", "grid")


def wild(bars: int) -> Floats:
    """Draw a market in which there is something to decide."""
    steps = np.random.default_rng(31).normal(0.0, 0.004, bars)
    prices: Floats = np.round(100.0 * np.exp(np.cumsum(steps)), 2)
    return prices


def arrive(desk: Desk, closes: Floats, *, order: Callable[[list[Any]], list[Any]]) -> None:
    """Let a group of candles arrive one by one in some order; known as complete, and decided on, with the last."""
    begin, wanted = desk.market_at, list(subscriptions(desk.market.pk))
    candles = []
    for subscription in wanted:
        for number, close in enumerate(closes.tolist()):
            opened = milliseconds(begin + FIVE_MINUTES * number)
            candles.append(
                ClosedCandle(subscription.instrument_id, "5m", opened, close, close * 1.001, close * 0.999, close, 50.0)
            )
    for candle in order(candles):
        market_jobs.record_bars(market_id=desk.market.pk, candles=[candle])
    desk.market_at = begin + FIVE_MINUTES * len(closes)
    synced = [market_jobs.Synced(subscription.pk, desk.market_at) for subscription in wanted]
    market_jobs.record_bars(market_id=desk.market.pk, candles=[], synced=synced)
    Account.objects.filter(pk=desk.account.pk).update(synced_through_at=desk.market_at)


def told(desk: Desk, order: Callable[[list[Any]], list[Any]]) -> list[Any]:
    """Trade some groups of candles and tell every decision and the states; then nothing of it has happened."""
    begin, closes = desk.market_at, wild(GROUPS * GROUP)
    with transaction.atomic():
        for group in np.split(closes, len(closes) // GROUP):
            arrive(desk, group, order=order)
            while jobs.advance_account(account_id=desk.account.pk, clock=clock).bots_stepped:
                pass
        said = DecisionRecord.objects.order_by("book_id", "bar_closed_at", "leg")
        found: list[Any] = list(said.values_list("book__name", "bar_closed_at", "leg", "action", "reason", "outcome", "facts"))
        found += [(one.bot.key, bytes(one.data)) for one in BotState.objects.select_related("bot").order_by("bot__key")]
        transaction.set_rollback(True)
    desk.market_at = begin
    return found


def shuffled(seed: int) -> Callable[[list[Any]], list[Any]]:
    def order(candles: list[Any]) -> list[Any]:
        twice = candles + candles[:: 2 + seed % 2]
        random.Random(seed).shuffle(twice)
        return twice

    return order


@pytest.mark.parity("P5")
def test_p5_candles_may_arrive_late_twice_and_in_any_order(desk: Desk) -> None:
    for number, strategy in enumerate(STRATEGIES):
        desk.bot(f"BOT_{number}", strategy)
    desk.history(quiet, bars=450)

    straight = told(desk, list)

    decided = [row for row in straight if len(row) > 2]
    bars = {(row[0], row[1]) for row in decided}
    assert len(bars) >= len(STRATEGIES) * GROUP, sorted(bars)
    assert any(row[3] != "hold" for row in decided)
    assert told(desk, shuffled(1)) == straight
    assert told(desk, lambda candles: candles[::-1]) == straight
