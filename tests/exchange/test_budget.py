"""Who is told to be quiet is quiet, in every process of this address; exits keep their share of the weight."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from exchange import clock, quota, silence
from exchange.budget import RequestBudget
from exchange.clock import Sample
from exchange.errors import ExchangeTrouble, Outcome
from exchange.silence import Silence

NOW = 1_700_000_030.0


@dataclass
class Board:
    """A board in memory, as the database's would be."""

    rows: dict[str, Silence] = field(default_factory=dict)

    async def read(self, host: str) -> Silence | None:
        return self.rows.get(host)

    async def tell(self, host: str, silence: Silence) -> None:
        self.rows[host] = silence


@pytest.fixture
def shared_board() -> Iterator[Board]:
    before = silence.board()
    hung = Board()
    silence.hang(hung)
    yield hung
    silence.hang(before)


@dataclass
class Watch:
    """A wall clock that is set by hand."""

    now: float = NOW

    def __call__(self) -> float:
        return self.now


def admit(budget: RequestBudget, weight: int = 1, *, is_urgent: bool = False) -> None:
    async def ask() -> None:
        async with asyncio.timeout(0.05):
            await budget.admit(weight, is_urgent=is_urgent)

    asyncio.run(ask())


@pytest.mark.fault("E12", "E13", "E15")
@pytest.mark.parametrize(("outcome", "seconds"), [(Outcome.BACKOFF_WEIGHT, 10), (Outcome.BANNED, 120), (Outcome.BLOCKED, 300)])
def test_a_silence_binds_every_process_of_the_address(shared_board: Board, outcome: Outcome, seconds: int) -> None:
    watch = Watch()
    scolded, innocent, elsewhere = (RequestBudget(wall_seconds=watch, host=host) for host in ("x", "x", "y"))
    scolded.note_trouble(ExchangeTrouble(outcome, "too much"))
    asyncio.run(scolded.tell())
    for budget in (scolded, innocent):
        with pytest.raises(ExchangeTrouble) as refused:
            admit(budget, is_urgent=True)
        assert refused.value.outcome == outcome
    admit(elsewhere)
    watch.now += seconds - 0.5
    assert innocent.silent_seconds() == pytest.approx(0.5)
    watch.now += 0.6
    admit(innocent)
    admit(scolded)
    assert shared_board.rows.keys() == {"x"}


@pytest.mark.fault("E12")
def test_the_exchange_names_the_time_and_a_shorter_one_never_shortens_it() -> None:
    watch = Watch()
    budget = RequestBudget(wall_seconds=watch)
    budget.note_trouble(ExchangeTrouble(Outcome.BANNED, "", retry_after_seconds=7200))
    budget.note_trouble(ExchangeTrouble(Outcome.BACKOFF_WEIGHT, "", retry_after_seconds=3))
    assert budget.silent_seconds() == 7200


@pytest.mark.fault("E14")
def test_too_many_orders_silence_no_reads() -> None:
    budget = RequestBudget(wall_seconds=Watch())
    budget.note_trouble(ExchangeTrouble(Outcome.BACKOFF_ORDERS, "", retry_after_seconds=10))
    admit(budget)


def test_the_last_fifth_of_the_weight_is_for_what_must_get_through() -> None:
    budget = RequestBudget(wall_seconds=Watch(), limit=100)
    admit(budget, 80)
    with pytest.raises(TimeoutError):
        admit(budget, 1)
    admit(budget, 20, is_urgent=True)
    with pytest.raises(TimeoutError):
        admit(budget, 1, is_urgent=True)


def test_the_exchanges_own_count_stands_and_a_new_minute_begins_with_nothing() -> None:
    watch = Watch()
    budget = RequestBudget(wall_seconds=watch, limit=100)
    budget.note_answer({"x-mbx-used-weight-1m": "79"})
    admit(budget, 1)
    assert budget.used_ratio() == 0.8
    watch.now += 60
    admit(budget, 80)


@dataclass
class OthersUsedMuch:
    """A counter to which other processes of this address have added what a fast local exchange allows."""

    taken: list[int] = field(default_factory=list)

    async def take(self, host: str, kind: str, window: int, amount: int) -> int:
        self.taken.append(amount)
        return 10_000 + amount


def test_who_does_not_know_the_limit_yet_waits_for_nobody() -> None:
    counter = OthersUsedMuch()
    quota.hang(counter)
    budget = RequestBudget(wall_seconds=Watch(), host="z")
    try:
        admit(budget, 20)
        assert counter.taken == []
        budget.learn_limit(600_000)
        admit(budget, 20)
        assert counter.taken == [9600]
    finally:
        quota.hang(quota.alone())


@pytest.mark.fault("K02")
def test_a_clock_that_is_set_back_does_not_close_the_board(shared_board: Board) -> None:
    watch = Watch()
    budget = RequestBudget(wall_seconds=watch, host="x")
    admit(budget)
    watch.now -= 3600
    shared_board.rows["x"] = Silence(Outcome.BANNED, watch.now + 60)
    with pytest.raises(ExchangeTrouble):
        admit(budget)


@pytest.mark.fault("K01")
def test_the_offset_is_the_median_of_what_half_the_round_trip_says() -> None:
    true_ahead = [Sample(10_000 + took // 2 * 0 + 2_000, took, 10_000 + took // 2) for took in (20, 40, 10)]
    delayed, stepped = Sample(12_000, 5_000.0, 10_010), Sample(12_000 - 3_600_000, 20.0, 10_010)
    assert clock.ahead_ms([*true_ahead, delayed, stepped]) == 2000


@pytest.mark.fault("K06")
@pytest.mark.parametrize("moment", [1_700_000_000, 1_700_000_000_000_000, 0, -5, "1700000000000", None, True, 1.7e12])
def test_what_is_no_millisecond_is_no_time(moment: object) -> None:
    assert not clock.is_milliseconds(moment)
    assert clock.is_milliseconds(1_700_000_000_000)


@pytest.mark.fault("P02")
def test_who_begins_anew_asks_for_a_raised_limit_at_once() -> None:
    """An earlier life has used more of this minute than the usual limit, which this exchange has raised."""
    budget = RequestBudget(wall_seconds=Watch())
    budget.note_answer({"X-MBX-USED-WEIGHT-1M": "50000"})
    with pytest.raises(TimeoutError):
        admit(budget)
    admit(budget, 20, is_urgent=not budget.is_limit_told)
    budget.learn_limit(1_000_000)
    assert budget.is_limit_told
    admit(budget)


def test_a_limit_that_is_learned_lets_go_who_waits_for_the_end_of_the_minute() -> None:
    budget = RequestBudget(wall_seconds=Watch())
    budget.note_answer({"X-MBX-USED-WEIGHT-1M": "50000"})

    async def wait() -> None:
        waiting = asyncio.create_task(budget.admit(1, is_urgent=False))
        await asyncio.sleep(0)
        budget.learn_limit(1_000_000)
        async with asyncio.timeout(60):
            await waiting

    asyncio.run(wait())


@pytest.mark.fault("E12", "P02")
def test_a_limit_that_was_told_is_kept_also_by_what_is_urgent() -> None:
    budget = RequestBudget(wall_seconds=Watch())
    budget.learn_limit(6000)
    budget.note_answer({"X-MBX-USED-WEIGHT-1M": "6001"})
    with pytest.raises(TimeoutError):
        admit(budget, is_urgent=True)
