"""The caps on the real tables: what the coordinator refuses, what the day begins with, what the guard latches and sells."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import IntegrityError, transaction

from marketdata.models import Candle, Instrument, Mark
from portfolio import services
from portfolio.jobs import risk
from portfolio.jobs.risk import RiskLook
from portfolio.models import Account, AuditEntry, Book, EquityPoint, Position, RiskDay, RiskLatch, RiskLimits
from portfolio.services import UnableToLimit
from portfolio.writers import flows, orders
from portfolio.writers import risk as risk_writers
from tests.portfolio.test_coordinate import codes, enter
from tests.portfolio.world import BAR, NOW, World, close_candle
from trading.orders import ExchangeStatus
from trading.risk import HARD_STOP, REPEATED_EXECUTION

D = Decimal


def price(world: World, value: str, symbol: str = "BTC/USDT", *, ago: timedelta | None = None) -> None:
    """Move the mark, which may be behind the market."""
    marked_at = world.market_at - (ago or timedelta())
    Mark.objects.filter(instrument=world.instruments[symbol]).update(price=D(value), market_at=marked_at)


def act(world: World) -> RiskLook:
    """Have the guard look and act once, at the market's time."""
    Account.objects.filter(pk=world.account_id).update(synced_through_at=world.market_at)
    with transaction.atomic():
        return risk.act(world.account(), now=NOW)


def hold(world: World, book: int = 0, *, lots: int = 380, stop: str | None = None) -> Position:
    """Have a book hold coins bought at 50,000."""
    (outcome,) = world.decide(
        world.propose("enter", book, lots=lots, limit_price=D("50505"), stop_price=None if stop is None else D(stop))
    )
    assert outcome.is_accepted, outcome
    order = world.send(world.order(kind="enter", book=book))
    world.fill(order, f"{D(lots) / 100_000:f}", "50000", fee="0", fee_asset="BTC")
    return world.position(book)


def limit(world: World, book: int | None = None, **changes: Any) -> None:
    """Set limits as an administrator."""
    services.set_limits(
        account_id=world.account_id,
        book_id=None if book is None else world.books[book].pk,
        changes=changes,
        reason="test",
        may_raise=True,
        by=None,
        now=NOW,
    )


@pytest.mark.fault("G11")
def test_an_account_opens_with_limits_and_none_is_unlimited(world: World) -> None:
    """G11."""
    row = RiskLimits.objects.get(account=world.account_id)
    assert (row.version, row.order_value_max, row.soft_loss_percent, row.hard_loss_percent) == (1, D("2470.57"), 5, 7)
    with pytest.raises(IntegrityError), transaction.atomic():
        RiskLimits.objects.filter(pk=row.pk).update(order_value_max=None)
    with pytest.raises(IntegrityError), transaction.atomic():
        RiskLimits.objects.filter(pk=row.pk).update(hard_loss_percent=10)
    RiskLimits.objects.all().delete()
    assert enter(world) == "RISK_LIMITS_MISSING"


def test_new_limits_hold_for_the_next_order_of_their_book_alone(world: World) -> None:
    limit(world, 0, order_value_max=D(100))
    assert [enter(world, 0), enter(world, 1)] == ["RISK_ORDER_VALUE", "accepted"]
    limit(world, 0, order_value_max=D(200))
    assert enter(world, 0) == "accepted"
    assert RiskLimits.objects.filter(book=world.books[0]).count() == 2


def test_the_entry_that_would_plan_beyond_the_cap_is_refused(world: World) -> None:
    """1,976.46 at 5 % are 98.82; each 190 USDT without a stop may lose 19: five fit, the sixth does not."""
    Book.objects.update(position_cap_percent=100)
    answers = [enter(world) for _ in range(6)]
    assert answers == ["accepted"] * 5 + ["RISK_DAILY_LOSS_CAP"]
    refused = world.decide(world.propose("enter", lots=380, limit_price=D("50505")))[0].facts
    assert (refused["of"], refused["cap"], refused["worst_case_open"]) == ("book", "98.823", "95.9595")
    # The same capital with a stop one percent below risks a tenth of that.
    (guarded,) = world.decide(world.propose("enter", lots=190, limit_price=D("50505"), stop_price=D("50000")))
    assert guarded.is_accepted


def test_an_order_of_unknown_fate_counts_at_full_size(world: World) -> None:
    """I-32."""
    Book.objects.update(position_cap_percent=100)
    for _ in range(5):
        assert enter(world) == "accepted"
        order = world.order(kind="enter")
        orders.mark_sending(order.pk, epoch=1, now=NOW)
        orders.mark_unknown(order.pk, "TIMEOUT", "no answer", now=NOW)
    assert enter(world) == "RISK_DAILY_LOSS_CAP"


def test_the_account_has_a_cap_of_its_own(world: World) -> None:
    """Five books, each within its own cap, are together beyond the account's."""
    limit(world, soft_loss_percent=D("0.5"))
    for book in range(5):
        limit(world, book, soft_loss_percent=D(5))
    Book.objects.update(position_cap_percent=100)
    # 9,882.31 at 0.5 % are 49.41.
    assert [enter(world, book) for book in (0, 1, 2)] == ["accepted", "accepted", "RISK_DAILY_LOSS_CAP"]


def test_a_bot_may_always_sell_what_it_holds(world: World) -> None:
    hold(world)
    RiskLatch.objects.create(
        account_id=world.account_id, book=world.books[0], code=HARD_STOP, market_at=world.market_at, latched_at=NOW
    )
    assert enter(world) == HARD_STOP
    (outcome,) = world.decide(world.propose("exit"))
    assert outcome.is_accepted


def test_the_rate_of_the_account_counts_all_books(world: World) -> None:
    limit(world, orders_per_minute=2)
    proposals = [world.propose("enter", book, lots=100, limit_price=D("50505")) for book in range(3)]
    assert codes(world.decide(*proposals)) == ["accepted", "accepted", "RISK_ORDER_RATE"]


def test_a_book_may_have_a_slower_rate_than_its_account(world: World) -> None:
    limit(world, 0, orders_per_minute=1)
    proposals = [world.propose("enter", book, lots=100, limit_price=D("50505")) for book in (0, 1, 0, 1)]
    assert codes(world.decide(*proposals)) == ["accepted", "accepted", "RISK_ORDER_RATE", "accepted"]


@pytest.mark.fault("M05")
def test_a_price_is_held_against_mark_and_last_close(world: World) -> None:
    """M05: a spike of one tick moves the mark and not the close."""
    instrument: Instrument = world.instruments["BTC/USDT"]
    # Whatever the bots' candles are: of those that have ended the newest counts, and one that is still open tells nothing.
    close_candle(instrument, "15m", ends_at=world.market_at, close=50000)
    close_candle(instrument, "1m", ends_at=world.market_at - timedelta(minutes=1), close=75000)
    close_candle(instrument, "1h", ends_at=world.market_at + timedelta(hours=1), close=75000)
    price(world, "75000")
    assert enter(world, lots=200, limit=D("75700")) == "FILTER_PRICE_COLLAR"
    price(world, "50000")
    assert enter(world) == "accepted"
    Mark.objects.all().delete()
    Candle.objects.all().delete()
    assert enter(world, 1) == "DATA_STALE"


def test_a_mark_that_is_candles_behind_the_last_close_is_no_price(world: World) -> None:
    """A market that is run faster than marks are written down may have moved far since; a mark of the last minute counts."""
    hold(world, lots=100)
    close_candle(world.instruments["BTC/USDT"], "5m", ends_at=world.market_at, close=50000)
    book = world.books[0]
    price(world, "47000", ago=timedelta(minutes=10))
    assert enter(world, 1) == "accepted"
    assert act(world).standings[book.pk].equity == book.base_equity
    price(world, "47000", ago=timedelta(seconds=59))
    assert enter(world, 2) == "FILTER_PRICE_COLLAR"
    assert act(world).standings[book.pk].equity == book.base_equity - 3


@pytest.mark.fault("S06")
def test_nobody_buys_where_too_little_was_traded_in_a_day(world: World) -> None:
    """S06: the finest candles of the last 24 hours of market time count, and what they do not tell is not known."""
    limit(world, volume_day_min=D(1_000_000))
    assert enter(world) == "RISK_LIQUIDITY"
    hours = [(hour, "1h", 10) for hour in range(30)] + [(24, "1d", 900)]
    for ago, interval, volume in hours:
        Candle.objects.create(
            instrument=world.instruments["BTC/USDT"], interval=interval, open_at=world.market_at - timedelta(hours=ago),
            open=4000, high=4000, low=4000, close=4000, volume=volume,
        )  # fmt: skip
    # Twenty-four of the thirty, and not the day's candle as well: 960,000.
    assert enter(world) == "RISK_LIQUIDITY"
    limit(world, volume_day_min=D(950_000))
    hold(world, lots=100)
    limit(world, volume_day_min=D(2_000_000))
    (outcome,) = world.decide(world.propose("exit"))
    assert outcome.is_accepted
    note = AuditEntry.objects.filter(action="risk.raise_limits").get()
    assert (note.before, note.after["volume_day_min"]) == ({"volume_day_min": "1000000"}, "950000")


def test_an_account_with_real_money_opens_with_a_floor_and_others_without(world: World) -> None:
    account = world.account()
    assert RiskLimits.objects.get(account=account).volume_day_min == 0
    RiskLimits.objects.all().delete()
    account.mode = Account.Mode.LIVE
    risk_writers.open_limits(account, equity=D(1000), now=NOW)
    assert RiskLimits.objects.get(account=account).volume_day_min == 1_000_000


def test_entries_that_never_give_a_position_stop_their_book_until_a_person_lets_go(world: World) -> None:
    """S06: the tenth in a row is the last; an exit passes, and so does every other book."""
    limit(world, repeats_max=3)
    for _ in range(3):
        assert enter(world) == "accepted"
        world.end(world.send(world.order(kind="enter")), ExchangeStatus.EXPIRED)
    assert [enter(world), enter(world, 1)] == [REPEATED_EXECUTION, "accepted"]

    act(world)
    latch = RiskLatch.objects.get(book=world.books[0])
    assert (latch.code, latch.facts) == (REPEATED_EXECUTION, {"entries_without_position": 3})
    act(world)
    assert RiskLatch.objects.count() == 1

    book = world.books[0].pk
    later = datetime.now(UTC) + timedelta(hours=1)
    released = services.release_latches(account_id=world.account_id, book_id=book, reason="filter mended", by=None, now=later)
    assert released == [REPEATED_EXECUTION]
    assert enter(world) == "accepted"
    assert AuditEntry.objects.filter(action="risk.release").count() == 1


def test_a_fill_ends_the_row_of_barren_entries(world: World) -> None:
    limit(world, repeats_max=3)
    Book.objects.update(position_cap_percent=100)
    for _ in range(2):
        assert enter(world, lots=30) == "accepted"
        world.end(world.send(world.order(kind="enter")), ExchangeStatus.EXPIRED)
    hold(world, lots=30)
    for _ in range(3):
        assert enter(world, lots=30) == "accepted"
        world.end(world.send(world.order(kind="enter")), ExchangeStatus.EXPIRED)
    assert enter(world, lots=30) == REPEATED_EXECUTION


def test_the_day_begins_once_and_a_restart_finds_its_start_again(world: World) -> None:
    limit(world, fall_percent=D(1))
    Book.objects.update(position_cap_percent=100)
    hold(world, lots=3000)
    act(world)
    first = RiskDay.objects.get(book=None)
    price(world, "49000")
    act(world)
    assert list(RiskDay.objects.filter(book=None)) == [first]
    assert risk.look(world.account_id, now=NOW).standings[world.books[0].pk].loss == D(30)

    world.market_at += timedelta(days=1)
    assert enter(world, 1) == "accepted"
    assert RiskDay.objects.filter(book=None).count() == 2
    newest = RiskDay.objects.filter(book=world.books[0]).latest("market_date")
    # The loss of yesterday is not today's.
    assert newest.equity == D("1976.46") - 30


def test_who_was_away_at_midnight_begins_with_the_last_point_before_it(world: World) -> None:
    """A restart in the morning does not forgive what was lost since midnight."""
    world.market_at = datetime(2024, 3, 4, 9, 0, tzinfo=UTC)
    Account.objects.filter(pk=world.account_id).update(synced_through_at=world.market_at)
    for book, equity in ((None, "9900"), (world.books[0], "2100")):
        EquityPoint.objects.create(
            account_id=world.account_id,
            book=book,
            market_at=datetime(2024, 3, 3, 23, 55, tzinfo=UTC),
            equity=D(equity),
            realised=0,
            unrealised=0,
            fees=0,
            net_flows=world.books[0].net_flows if book else D("9882.31"),
        )
    found = act(world).standings
    assert found[None].loss == D("9900") - D("9882.31")
    assert found[world.books[0].pk].loss == D(2100) - D("1976.46")
    assert found[world.books[1].pk].loss == 0


def test_a_deposit_in_the_day_is_no_gain(world: World) -> None:
    act(world)
    with transaction.atomic():
        flows.record_flow(world.account(), asset="USDT", amount=D(1000), reference="deposit", market_at=world.market_at, now=NOW)
    found = risk.look(world.account_id, now=NOW).standings[None]
    assert (found.loss, found.base) == (D(0), D("10882.31"))


def test_a_reader_records_nothing(world: World) -> None:
    assert risk.look(world.account_id, now=NOW).wants_action
    assert not RiskDay.objects.exists()


def test_an_operator_lowers_and_an_administrator_raises(world: World) -> None:
    asked: dict[str, Any] = {"account_id": world.account_id, "reason": "quiet week", "by": None, "now": NOW}
    services.set_limits(changes={"soft_loss_percent": D(3)}, may_raise=False, **asked)
    with pytest.raises(UnableToLimit) as refused:
        services.set_limits(changes={"soft_loss_percent": D(4)}, may_raise=False, **asked)
    assert refused.value.code == "RISK_RAISE_NEEDS_ADMIN"
    with pytest.raises(UnableToLimit) as refused:
        services.set_limits(changes={"hard_loss_percent": D(12)}, may_raise=True, **asked)
    assert refused.value.code == "LIMIT_INVALID"
    services.set_limits(changes={"soft_loss_percent": D(4)}, may_raise=True, **asked)
    entries = AuditEntry.objects.filter(action__startswith="risk.").order_by("id")
    assert [(entry.action, entry.before) for entry in entries] == [
        ("risk.lower_limits", {"soft_loss_percent": "5"}),
        ("risk.raise_limits", {"soft_loss_percent": "3"}),
    ]


@pytest.mark.fault("E24")
def test_slots_of_the_exchange_are_counted_for_all_bots(world: World) -> None:
    """E24: refused before sending, and nobody's protective order is touched."""
    instrument = world.instruments["BTC/USDT"]
    instrument.filters = {
        "EXCHANGE_MAX_NUM_ORDERS": {"maxNumOrders": 4},
        "MAX_NUM_ALGO_ORDERS": {"maxNumAlgoOrders": 1},
        "MAX_POSITION": {"maxPosition": "0.006"},
    }
    instrument.save()
    with_stop: dict[str, Any] = {"lots": 100, "limit_price": D("50505"), "stop_price": D("49000")}
    assert codes(world.decide(world.propose("enter", 0, **with_stop))) == ["accepted"]
    assert codes(world.decide(world.propose("enter", 1, **with_stop))) == ["FILTER_MAX_NUM_ALGO_ORDERS"]
    assert enter(world, 2, lots=390) == "accepted"
    assert enter(world, 3, lots=390) == "FILTER_MAX_POSITION"
    assert [enter(world, book, lots=20) for book in (3, 4)] == ["accepted", "accepted"]
    assert enter(world, 1, lots=20) == "FILTER_EXCHANGE_MAX_NUM_ORDERS"


def test_the_operator_may_refuse_opposite_positions(world: World) -> None:
    """Table 2.4: allowed unless asked for otherwise, entries only, and never one's own sale."""
    hold(world, 0)
    world.decide(world.propose("place", 0, side="sell", lots=100, limit_price=D("60000")))
    assert enter(world, 1) == "accepted"
    limit(world, opposite_positions="refuse")
    assert enter(world, 2) == "CONFLICT_OPPOSITE_POSITION"
    (outcome,) = world.decide(world.propose("exit", 0))
    assert outcome.is_accepted


def test_a_sale_counts_for_a_minute_of_market_time(world: World) -> None:
    limit(world, opposite_positions="refuse")
    hold(world, 0)
    world.decide(world.propose("exit", 0))
    world.fill(world.send(world.order(kind="exit")), "0.0038", "50000")
    world.market_at -= BAR
    assert enter(world, 1) == "CONFLICT_OPPOSITE_POSITION"
    assert enter(world, 1) == "accepted"
