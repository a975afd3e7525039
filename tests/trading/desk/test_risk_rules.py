"""Every limit of the risk rules at its edge: what just fits, what just does not, and what the refusal says."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from tests.trading.desk.world import NOW, World, build
from trading.desk import claims, risk_rules
from trading.desk.desk import Desk
from trading.ledger import Leg, Pocket
from trading.proposals import Outcome
from trading.risk import DayStart, Exposure, Limits, RiskRoom, Standing

D = Decimal
LIMITS = Limits(order_value_max=D(2500))
# Three books with 2,000 USDT each, and 3 BNB at 400 in the pool.
WORTH: dict[int | None, Decimal] = {None: D(7200), 1: D(2000), 2: D(2000), 3: D(2000)}
ROOM = RiskRoom(
    limits=LIMITS,
    book_limits={},
    starts={key: DayStart(worth, worth) for key, worth in WORTH.items()},
    net_flows=WORTH,
    prices={"USDT": D(1), "BTC": D(50000), "ETH": D(2500), "BNB": D(400)},
    closes={1: D(50000), 2: D(2500)},
)


@pytest.fixture
def world() -> World:
    """Three books without anything open, within wide limits."""
    world = build()
    world.memory.risk = ROOM
    return world


def room(world: World, **changes: Any) -> None:
    """Change what the rules know."""
    world.memory.risk = replace(ROOM, **changes)


def enter(world: World, book: int = 1, *, lots: int = 100, **values: Any) -> Outcome:
    """Have a book ask for 0.001 BTC at 50,000 and a collar of one percent."""
    (outcome,) = world.decide(world.propose("enter", book, lots=lots, limit_price=D("50505"), **values))
    return outcome


def told(outcome: Outcome) -> tuple[str, dict[str, Any]]:
    """Return the code and the facts of a refusal."""
    assert not outcome.is_accepted
    return outcome.code, dict(outcome.facts or {})


def hold(world: World, book: int = 1, *, lots: int = 100, stop: str | None = None) -> None:
    """Have a book hold coins bought at 50,000."""
    assert enter(world, book, lots=lots, stop_price=None if stop is None else D(stop)).is_accepted
    world.fill(world.send(world.order("enter", book=book)), f"{D(lots) / 100_000:f}", "50000")


def listen(world: World, book: int = 1) -> Desk:
    """Open a desk to ask it something."""
    with world.memory.transaction() as store:
        return world.desk(store)


@pytest.mark.parametrize(("key", "whose"), [(None, "account"), (1, "book")])
def test_a_latch_shuts_its_own_until_a_person_releases_it(world: World, key: int | None, whose: str) -> None:
    room(world, latches={key: "RISK_HARD_STOP"})
    assert told(enter(world)) == ("RISK_HARD_STOP", {"latched": whose, "released_by": "an administrator, with a reason"})
    assert enter(world, 2).is_accepted is (key is not None)


def test_a_latched_book_may_sell(world: World) -> None:
    hold(world)
    room(world, latches={None: "RISK_HARD_STOP"})
    (outcome,) = world.decide(world.propose("exit"))
    assert outcome.is_accepted


def test_the_rate_of_an_account_counts_all_its_books(world: World) -> None:
    room(world, limits=replace(LIMITS, orders_per_minute=2))
    proposals = [world.propose("enter", book, lots=100, limit_price=D("50505")) for book in (1, 2, 3)]
    first, second, third = world.decide(*proposals)
    assert (first.is_accepted, second.is_accepted) == (True, True)
    assert told(third) == ("RISK_ORDER_RATE", {"orders_last_minute": 2, "limit": 2, "of": "account"})


def test_the_rate_of_a_book_counts_its_own(world: World) -> None:
    room(world, book_limits={1: replace(LIMITS, orders_per_minute=1)})
    proposals = [world.propose("enter", book, lots=100, limit_price=D("50505")) for book in (1, 1, 2, 2)]
    _, second, *rest = world.decide(*proposals)
    assert told(second) == ("RISK_ORDER_RATE", {"orders_last_minute": 1, "limit": 1, "of": "book"})
    assert all(outcome.is_accepted for outcome in rest)


def test_an_order_may_be_worth_the_limit_and_no_more(world: World) -> None:
    """0.001 BTC at the limit price of 50,505."""
    room(world, book_limits={1: replace(LIMITS, order_value_max=D("50.505")), 2: replace(LIMITS, order_value_max=D("50.504"))})
    assert enter(world, 1).is_accepted
    assert told(enter(world, 2)) == ("RISK_ORDER_VALUE", {"value": "50.505", "limit": "50.504"})


def test_a_price_is_held_against_the_mark_and_the_last_close(world: World) -> None:
    for sources in ({1: D(47000)}, {1: D(53000)}):
        room(world, closes=sources)
        code, facts = told(enter(world))
        assert code == "FILTER_PRICE_COLLAR"
        assert all(isinstance(value, str) for value in facts.values())
        assert {facts["mark"], facts["close"]} == {"50000", str(sources[1])}


@pytest.mark.parametrize("source", ["mark", "close"])
def test_one_source_of_the_price_is_enough(world: World, source: str) -> None:
    if source == "mark":
        room(world, closes={})
    else:
        del world.memory.marks[1]
    assert enter(world).is_accepted
    (outcome,) = world.decide(world.propose("place", 2, side="buy", lots=100, limit_price=D(52501)))
    assert outcome.code == "FILTER_PRICE_COLLAR"


@pytest.mark.parametrize("close", [None, "0"])
def test_nothing_is_bought_where_nobody_knows_the_price(world: World, close: str | None) -> None:
    room(world, closes={} if close is None else {1: D(close)})
    del world.memory.marks[1]
    assert told(enter(world)) == ("DATA_STALE", {"missing": "mark and close"})


def test_an_entry_is_held_by_the_price_it_was_sized_for_and_a_resting_order_by_its_own(world: World) -> None:
    """53,000 with the collar was sized for 52,475, five percent over 50,000 is 52,500."""
    (entry,) = world.decide(world.propose("enter", 1, lots=100, limit_price=D(53000)))
    (resting,) = world.decide(world.propose("place", 2, side="buy", lots=100, limit_price=D(53000)))
    assert (entry.is_accepted, resting.code) == (True, "FILTER_PRICE_COLLAR")


def test_a_bot_that_enters_again_and_again_without_a_position_is_stopped(world: World) -> None:
    barren = {(1, 1): 10, (2, 1): 9, (1, 2): 99, (3, 1): 10}
    room(world, barren=barren, book_limits={3: replace(LIMITS, repeats_max=11)})
    assert told(enter(world)) == ("RISK_REPEATED_EXECUTION", {"entries_without_position": 10, "limit": 10})
    assert enter(world, 2).is_accepted
    assert enter(world, 3).is_accepted


def test_who_never_tried_may_try_once(world: World) -> None:
    room(world, limits=replace(LIMITS, repeats_max=1))
    assert enter(world).is_accepted


def test_a_book_may_have_a_collar_of_its_own(world: World) -> None:
    """The limit is one percent above the mark, and was sized for the mark."""
    room(world, closes={1: D(49400)}, book_limits={1: replace(LIMITS, collar_percent=D(1))})
    assert enter(world, 1).code == "FILTER_PRICE_COLLAR"
    assert enter(world, 2).is_accepted


def test_opposite_bots_are_refused_where_the_operator_wants_that(world: World) -> None:
    hold(world, 2)
    (sale,) = world.decide(world.propose("place", 2, side="sell", lots=100, limit_price=D(60000)))
    assert sale.is_accepted
    assert enter(world).is_accepted
    room(world, limits=replace(LIMITS, opposite_positions="refuse"))
    assert told(enter(world)) == ("CONFLICT_OPPOSITE_POSITION", {"books": ["Book 2"], "policy": "refuse"})
    assert enter(world, 2).is_accepted


def test_who_sold_a_moment_ago_is_an_opposite_too(world: World) -> None:
    limits = replace(LIMITS, opposite_positions="refuse")
    room(world, limits=limits, sold_lately=frozenset({(3, 1), (2, 1), (1, 1), (2, 2)}))
    assert told(enter(world)) == ("CONFLICT_OPPOSITE_POSITION", {"books": ["Book 2", "Book 3"], "policy": "refuse"})
    room(world, limits=limits, sold_lately=frozenset({(1, 1), (2, 2)}))
    assert enter(world).is_accepted


def test_the_entry_that_plans_beyond_a_books_cap_is_refused(world: World) -> None:
    """2,000 at one percent are 20; each 0.001 BTC at 50,505 may lose a tenth, 5.0505: three fit."""
    room(world, book_limits={1: replace(LIMITS, soft_loss_percent=D(1))})
    assert [enter(world).is_accepted for _ in range(3)] == [True] * 3
    facts = {
        "of": "book",
        "lost_today": "0",
        "worst_case_open": "15.1515",
        "worst_case_order": "5.0505",
        "cap": "20",
        "left": "4.8485",
    }
    assert told(enter(world)) == ("RISK_DAILY_LOSS_CAP", facts)
    # A stop 40 USDT below the limit risks 0.04.
    assert enter(world, stop_price=D(50465)).is_accepted
    assert enter(world, 2).is_accepted


def test_the_account_has_a_cap_of_its_own(world: World) -> None:
    """7,200 at a tenth of a percent are 7.2; a loss of today counts before what is open."""
    wide = dict.fromkeys((1, 2, 3), LIMITS)
    room(world, book_limits=wide, limits=replace(LIMITS, soft_loss_percent=D("0.1")))
    assert enter(world, 1).is_accepted
    facts = {
        "of": "account",
        "lost_today": "0",
        "worst_case_open": "5.0505",
        "worst_case_order": "5.0505",
        "cap": "7.2",
        "left": "2.1495",
    }
    assert told(enter(world, 2)) == ("RISK_DAILY_LOSS_CAP", facts)


def test_what_was_lost_today_leaves_less_to_risk(world: World) -> None:
    """The mark of the holding fell by 1,000: 0.01 BTC are worth 10 less, of 100 that the day may cost."""
    hold(world, lots=1000)
    world.memory.marks[1] = D(49000)
    prices, limits = dict(ROOM.prices) | {"BTC": D(49000)}, replace(LIMITS, fall_percent=D(1))
    room(world, prices=prices, closes={1: D(49000)}, book_limits={1: limits})
    desk = listen(world)
    assert world.memory.risk is not None
    standing = risk_rules.standings(desk, world.memory.risk)[1]
    assert (standing.loss, standing.worst_open, standing.left) == (D(10), D("4.9"), D("85.1"))


def test_an_asset_that_nobody_prices_shuts_its_book_and_the_account(world: World) -> None:
    hold(world)
    room(world, prices={"USDT": D(1), "BNB": D(400)})
    assert told(enter(world)) == ("DATA_STALE", {"unpriced": ["BTC"], "of": "book"})
    assert told(enter(world, 2)) == ("DATA_STALE", {"unpriced": ["BTC"], "of": "account"})


def test_a_pool_that_nobody_prices_shuts_nothing(world: World) -> None:
    """What belongs to no book is worth nothing until somebody prices it."""
    start = dict(ROOM.starts) | {None: DayStart(D(6000), D(7200))}
    room(world, prices={"USDT": D(1), "BTC": D(50000)}, starts=start)
    assert enter(world).is_accepted
    desk = listen(world)
    assert world.memory.risk is not None
    assert risk_rules.standings(desk, world.memory.risk, [None])[None].equity == D(6000)


def test_standings_tell_of_the_account_and_of_each_book(world: World) -> None:
    hold(world, stop="49000")
    tight = replace(LIMITS, soft_loss_percent=D(1))
    room(world, book_limits={2: tight}, net_flows=dict(WORTH) | {2: D(1900)})
    desk = listen(world)
    assert world.memory.risk is not None
    found = risk_rules.standings(desk, world.memory.risk)
    assert list(found) == [None, 1, 2, 3]
    # The stop stands 1,000 below the mark.
    start = DayStart(D(2000), D(2000))
    assert found[1] == Standing(limits=LIMITS, start=start, equity=D(2000), net_flows=D(2000), worst_open=D(1))
    assert found[None].worst_open == D(1)
    assert found[2].limits == tight
    # A hundred were taken out of it since, by the room's word: with 2,000 in it, it has gained that.
    assert (found[2].loss, found[2].worst_open) == (D(-100), D(0))
    assert list(risk_rules.standings(desk, world.memory.risk, [3])) == [3]


def test_a_day_without_a_start_begins_with_what_there_is(world: World) -> None:
    room(world, starts={}, net_flows={})
    desk = listen(world)
    assert world.memory.risk is not None
    standing = risk_rules.standings(desk, world.memory.risk, [1])[1]
    assert (standing.start, standing.loss) == (DayStart(D(2000), D(0)), D(0))


def test_what_a_stop_covers_is_measured_to_it_and_the_rest_is_not(world: World) -> None:
    hold(world, stop="49000")
    world.send(world.order("stop"))
    world.decide(world.propose("place", side="buy", lots=50, limit_price=D(49900)))
    world.fill(world.send(world.order("place")), "0.0002", "49900")
    exposures = risk_rules.exposures(listen(world))
    assert exposures == [
        Exposure(1, 1, D("0.001"), D(50000), D(49000)),
        Exposure(1, 1, D("0.0002"), D(50000), None),
        Exposure(1, 1, D("0.0003"), D(49900), None),
    ]


def test_a_stop_that_is_being_cancelled_covers_nothing(world: World) -> None:
    hold(world, stop="49000")
    world.send(world.order("stop"))
    world.decide(world.propose("move_stop", stop_price=D(48000)))
    assert risk_rules.exposures(listen(world)) == [Exposure(1, 1, D("0.001"), D(50000), None)]


def test_a_stop_that_sold_a_part_covers_the_rest(world: World) -> None:
    hold(world, stop="49000")
    world.fill(world.send(world.order("stop")), "0.0004", "49000")
    exposures = risk_rules.exposures(listen(world))
    assert exposures == [Exposure(1, 1, D("0.0006"), D(50000), D(49000)), Exposure(1, 1, D(0), D(50000), None)]


def test_a_stop_that_sold_a_part_covers_its_rest_and_not_what_was_bought_since(world: World) -> None:
    hold(world, stop="49000")
    world.fill(world.send(world.order("stop")), "0.0004", "49000")
    hold(world, lots=50)
    exposures = risk_rules.exposures(listen(world))
    assert exposures == [Exposure(1, 1, D("0.0006"), D(50000), D(49000)), Exposure(1, 1, D("0.0005"), D(50000), None)]


def test_a_book_without_money_stands_at_nothing(world: World) -> None:
    """All of the third book's was taken back: it has neither lost nor made anything."""
    legs = [Leg(Pocket("available", 3, "USDT"), D(-2000)), Leg(Pocket("unallocated", None, "USDT"), D(2000))]
    with world.at_desk() as desk:
        desk.journal.post(kind="share", reference="back", legs=legs, market_at=world.market_at)
    room(world, net_flows=dict(WORTH) | {3: D(0)})
    assert world.memory.risk is not None
    standing = risk_rules.standings(listen(world), world.memory.risk)[3]
    assert (standing.equity, standing.loss) == (D(0), D(0))


def test_what_was_sold_and_what_rests_for_sale_is_no_exposure(world: World) -> None:
    hold(world)
    world.decide(world.propose("exit"))
    world.fill(world.send(world.order("exit")), "0.001", "50000")
    world.decide(world.propose("enter", instrument=2, lots=100, limit_price=D("2525.25")))
    world.fill(world.send(world.order("enter")), "0.01", "2500")
    (sale,) = world.decide(world.propose("place", instrument=2, side="sell", lots=50, limit_price=D(3000)))
    assert sale.is_accepted
    assert risk_rules.exposures(listen(world)) == [Exposure(1, 2, D("0.01"), D(2500), None)]


def test_dust_has_a_floor_under_its_loss(world: World) -> None:
    """0.001 BTC at 1,000 cannot be sold; losing less than the smallest order shuts nobody."""
    hold(world)
    world.memory.marks[1] = D(1000)
    assert world.memory.risk is not None
    found = risk_rules.standings(listen(world), world.memory.risk)
    assert [found[key].floor for key in (None, 1, 2)] == [D(5), D(5), D(0)]


def test_an_order_of_unknown_fate_may_still_cost_all(world: World) -> None:
    """I-32."""
    assert enter(world, stop_price=D(49000)).is_accepted
    order = world.order("enter")
    assert world.claim(order, claims.sending(epoch=1, now=NOW))
    assert world.claim(order, claims.unknown("TIMEOUT", "no answer"))
    assert risk_rules.exposures(listen(world)) == [Exposure(1, 1, D("0.001"), D(50505), D(49000))]


def test_a_holding_without_a_mark_is_no_exposure(world: World) -> None:
    """It is missing from the equity then, and that shuts the book."""
    hold(world)
    del world.memory.marks[1]
    assert risk_rules.exposures(listen(world)) == []


@pytest.mark.parametrize(
    ("volume", "facts"),
    [
        ("999999.99", {"volume_day": "999999.99", "limit": "1000000"}),
        (None, {"volume_day": "unknown", "limit": "1000000"}),
        ("1000000", None),
    ],
)
def test_nobody_buys_where_too_little_is_traded(world: World, volume: str | None, facts: dict[str, str] | None) -> None:
    """S06: a pair that nobody watches is where a stolen key makes its money."""
    volumes = {} if volume is None else {1: D(volume)}
    room(world, limits=replace(LIMITS, volume_day_min=D(1_000_000)), volumes=volumes)
    outcome = enter(world)
    assert outcome.is_accepted if facts is None else told(outcome) == ("RISK_LIQUIDITY", facts)


def test_a_book_may_have_a_floor_of_its_own_and_a_holding_is_always_sold(world: World) -> None:
    hold(world)
    hold(world, 2)
    room(world, book_limits={1: replace(LIMITS, volume_day_min=D(5))}, volumes={1: D(4)})
    assert told(enter(world)) == ("RISK_LIQUIDITY", {"volume_day": "4", "limit": "5"})
    assert enter(world, 2).is_accepted
    (outcome,) = world.decide(world.propose("exit"))
    assert outcome.is_accepted
