"""Strategies are compiled one at a time, until none is left."""

from __future__ import annotations

import redis

from bots import jobs, tasks
from strategies import registry


def test_each_strategy_rings_for_the_next_and_the_last_one_for_nobody(redis_url: str) -> None:
    broker, last = redis.Redis.from_url(redis_url), len(registry.shipped_names()) - 1
    broker.delete("backtests")

    tasks.warm_rest(number=last - 1)
    assert broker.llen("backtests") == 1
    broker.delete("backtests")
    tasks.warm_rest(number=last)
    assert broker.llen("backtests") == 0
    assert not jobs.warm_next(last + 1)
