"""What one life of a trader leaves for the next: how often it crashed, and how far the books had come."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest

from portfolio import services
from portfolio.models import Account, TraderStart
from portfolio.trader import life
from tests.portfolio.trader.lagging import account_of
from tests.portfolio.world import NOW, World

D = Decimal


@pytest.mark.fault("C23")
def test_five_short_lives_without_an_end_are_a_crash_loop(world: World) -> None:
    lives = [life.begin(world.account_id, "trader 1", now=NOW + timedelta(seconds=20 * number)) for number in range(5)]
    assert account_of(world).state == Account.State.ACTIVE
    assert len(set(lives)) == 5

    life.begin(world.account_id, "trader 1", now=NOW + timedelta(seconds=100))
    assert life.is_safe_mode(world.account_id)

    services.resume_trading(world.account_id, by=None, reason="mended", now=NOW)
    assert account_of(world).state == Account.State.ACTIVE
    life.begin(world.account_id, "trader 1", now=NOW + timedelta(seconds=120))
    assert not life.is_safe_mode(world.account_id)
    with pytest.raises(services.UnableToResume):
        services.resume_trading(world.account_id, by=None, reason="again", now=NOW)


@pytest.mark.fault("C19", "C23")
def test_clean_ends_and_long_lives_are_no_crash_loop(world: World) -> None:
    for number in range(12):
        start = life.begin(world.account_id, "trader 1", now=NOW + timedelta(seconds=20 * number))
        life.end(start, now=NOW + timedelta(seconds=20 * number + 5))
    for number in range(4, 16):
        life.begin(world.account_id, "trader 1", now=NOW + timedelta(seconds=65 * number))
    assert not life.is_safe_mode(world.account_id)
    assert TraderStart.objects.count() == 24


@pytest.mark.fault("D09")
def test_a_database_older_than_what_this_machine_saw_is_recognised(world: World) -> None:
    assert not life.is_older_than_marked(world.account_id)
    life.mark_head(world.account_id)
    assert not life.is_older_than_marked(world.account_id)
    world.decide(world.propose("enter", lots=380, limit_price=D(50505)))
    assert not life.is_older_than_marked(world.account_id)
    life.mark_head(world.account_id)
    marker = life._marker(world.account_id)
    marker.write_text(marker.read_text().replace('"seq": ', '"seq": 9'))
    assert life.is_older_than_marked(world.account_id)
    marker.write_text("{")
    assert not life.is_older_than_marked(world.account_id)
