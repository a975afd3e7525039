"""A doorbell that the broker loses is rung again: the market does not wait for ever."""

from __future__ import annotations

from dataclasses import replace

import pytest
from celery import current_app
from kombu import Queue

from bots.lineups import Plan
from tests.journeys.stack import Stack

pytestmark = [pytest.mark.timeout(240), pytest.mark.slow]


@pytest.mark.fault("R05")
def test_the_trader_rings_again_while_bots_are_due(synthetic_stack: Stack, lineup: Plan) -> None:
    """With the sweep away (there is no beat here), whoever holds the market asks again."""
    stack = synthetic_stack
    stack.start_venue()
    demo = stack.set_up(replace(lineup, bots=lineup.bots[:1]))
    account = demo.account
    stack.start_all(with_workers=False)
    stack.wait_until(lambda: lost_doorbells() > 0, what="the first doorbell, which gets lost", seconds=120)

    stack.kill(f"feed {account.market_id}")
    del stack.processes[f"feed {account.market_id}"]
    # The first may be the trader's word that it is synced; the second is rung because nobody came.
    for number in ("one", "another one"):
        stack.wait_until(lambda: lost_doorbells() > 0, what=f"{number} from the trader", seconds=120)


def lost_doorbells() -> int:
    """Empty the queue and answer how many messages it held."""
    with current_app.connection_for_write() as connection:
        return int(Queue("trading")(connection.default_channel).purge() or 0)
