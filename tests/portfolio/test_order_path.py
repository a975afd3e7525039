"""The path of one order, from the decision to a closed position."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest
from django.db import transaction

from portfolio import selectors
from portfolio.models import Account, DecisionRecord, Intent, LedgerAccount, Order, Position, Reservation, RiskLimits
from portfolio.writers import fills, orders
from portfolio.writers.fills import OwnerUnknown
from tests.portfolio.world import NOW, World
from trading.orders import ExchangeStatus, Side, TradeReport, parse_client_order_id

D = Decimal


def enter(world: World, *, lots: int = 380, stop: str | None = "49000", book: int = 0) -> Order:
    """Have a book enter and send the order."""
    (outcome,) = world.decide(
        world.propose("enter", book, lots=lots, limit_price=D("50505.00"), stop_price=D(stop) if stop else None)
    )
    assert outcome.is_accepted, outcome
    return world.send(world.order(kind="enter", book=book))


def test_an_entry_a_stop_and_an_exit_leave_the_books_exact(world: World) -> None:
    """One round trip: I-02, I-08, I-25, I-26 and I-28 hold at its end."""
    entry = enter(world)
    assert selectors.book_numbers(world.account_id)[0].reserved == D("191.919")

    world.fill(entry, "0.0038", "50002.50", fee="0.0000038", fee_asset="BTC")
    entry.refresh_from_db()
    stop = world.order(kind="stop")

    assert entry.status == Order.Status.FILLED
    assert (stop.type, stop.quantity, stop.stop_price) == ("STOP_LOSS", D("0.00379"), D("49000"))
    assert world.position().stop_price == D("49000")

    world.send(stop)
    (outcome,) = world.decide(world.propose("exit"))
    exit_intent = Intent.objects.get(kind="exit")
    assert outcome.is_accepted
    assert exit_intent.state == Intent.State.WAITING

    world.end(stop)
    sell = world.order(kind="exit")
    assert (sell.type, sell.quantity) == ("MARKET", D("0.00379"))
    world.send(sell)
    world.fill(sell, "0.00379", "50497.47", fee="0.19138541", fee_asset="USDT")

    position = world.position()
    assert (position.quantity, position.stop_price, position.is_unprotected) == (D("0.0000062"), None, False)
    assert world.compare().outcome == "exact"
    assert world.verify() == []


@pytest.mark.fault("E37")
def test_an_entry_that_expires_gives_everything_back(world: World) -> None:
    """The end of an order voids its whole reservation (I-11)."""
    entry = enter(world)
    world.end(entry, ExchangeStatus.EXPIRED)

    entry.refresh_from_db()
    assert entry.status == Order.Status.EXPIRED
    assert Reservation.objects.get(order=entry).remaining == 0
    assert not Intent.objects.filter(kind="stop").exists()
    assert selectors.book_numbers(world.account_id)[0].cash == D("1976.46")
    assert world.verify() == []


@pytest.mark.fault("E28")
def test_a_final_report_waits_for_the_fills_it_counts(world: World) -> None:
    """An order ends only when final and complete (T5, I-15)."""
    entry = enter(world)
    trade = world.exchange.fill(entry.client_order_id, quantity=D("0.001"), price=D("50000"), fee=D(0), fee_asset="BTC")
    world.end(entry, ExchangeStatus.EXPIRED)

    entry.refresh_from_db()
    assert (entry.status, entry.final_status) == (Order.Status.PARTIAL, "expired")
    assert Reservation.objects.get(order=entry).remaining == D("191.919")

    world.post(trade)
    entry.refresh_from_db()
    assert entry.status == Order.Status.EXPIRED
    assert world.order(kind="stop").quantity == D("0.001")
    assert world.verify() == []


@pytest.mark.fault("E34")
def test_a_final_report_without_a_quote_total_still_waits_for_its_fills(world: World) -> None:
    """E34: the quantity alone decides when the exchange does not tell the quote."""
    entry = enter(world)
    world.fill(entry, "0.0005", "50000", fee_asset="BTC")
    missing = world.exchange.fill(entry.client_order_id, quantity=D("0.001"), price=D("50000"), fee=D(0), fee_asset="BTC")
    report = replace(world.exchange.end(entry.client_order_id), executed_quote=D(0))
    with transaction.atomic():
        assert orders.apply_report(world.account(), entry.pk, report, now=NOW).status == Order.Status.PARTIAL
    world.post(missing)
    entry.refresh_from_db()
    assert entry.status == Order.Status.CANCELED


@pytest.mark.fault("U02")
def test_a_trade_is_posted_once_whatever_its_source(world: World) -> None:
    """I-20."""
    entry = enter(world)
    trade = world.exchange.fill(entry.client_order_id, quantity=D("0.001"), price=D("50000"), fee=D(0), fee_asset="BTC")

    assert world.post(trade) is not None
    assert world.post(trade) is None
    assert Account.objects.get(id=world.account_id).trades_posted == 1


def test_a_price_improvement_is_free_with_the_fill(world: World) -> None:
    """I-08 as an equality: after a part fill the reservation is the worst case of the rest, not more."""
    entry = enter(world)
    world.fill(entry, "0.0018", "50000", fee="0", fee_asset="BTC")

    reservation = Reservation.objects.get(order=entry)
    assert reservation.remaining == D("0.002") * D("50505")
    assert reservation.posted == D("90")
    assert reservation.voided == D("0.0018") * D("505")
    assert world.compare().outcome == "exact"


@pytest.mark.fault("E32")
def test_late_and_stale_news_change_nothing(world: World) -> None:
    """E32: an older state after a newer one is ignored."""
    entry = enter(world)
    stale = world.exchange.report(entry.client_order_id)
    world.fill(entry, "0.001", "50000")
    with transaction.atomic():
        orders.apply_report(world.account(), entry.pk, stale, now=NOW)

    entry.refresh_from_db()
    assert entry.status == Order.Status.PARTIAL
    assert entry.executed_quantity <= entry.filled_quantity


@pytest.mark.fault("U03")
def test_old_news_of_an_order_that_has_ended_is_no_incident(world: World) -> None:
    """U03: the stream tells NEW after the answer told FILLED."""
    entry = enter(world)
    beginning = world.exchange.report(entry.client_order_id)
    world.fill(entry, "0.0038", "50000")
    for report in (beginning, world.exchange.report(entry.client_order_id)):
        with transaction.atomic():
            orders.apply_report(world.account(), entry.pk, report, now=NOW)

    assert Account.objects.get(id=world.account_id).state == Account.State.ACTIVE
    entry.refresh_from_db()
    assert (entry.status, entry.reason) == (Order.Status.FILLED, "")


def test_an_order_is_sent_once_and_only_by_the_holder_of_the_lease(world: World) -> None:
    """I-12, I-18 and I-34."""
    world.decide(world.propose("enter", lots=380, limit_price=D("50505")))
    order = world.order(kind="enter")

    assert not orders.mark_sending(order.pk, epoch=0, now=NOW)
    assert not orders.mark_sending(order.pk, epoch=2, now=NOW)
    assert orders.mark_sending(order.pk, epoch=1, now=NOW)
    assert not orders.mark_sending(order.pk, epoch=1, now=NOW)


def test_unknown_keeps_its_capital_until_absence_is_proven(world: World) -> None:
    """Unknown is neither failed nor done (promise 4)."""
    world.decide(world.propose("enter", lots=380, limit_price=D("50505")))
    order = world.order(kind="enter")
    orders.mark_sending(order.pk, epoch=1, now=NOW)
    assert orders.mark_unknown(order.pk, "TIMEOUT", "no answer", now=NOW)
    assert selectors.book_numbers(world.account_id)[0].reserved == D("191.919")

    with transaction.atomic():
        orders.mark_absent(world.account(), order.pk, now=NOW)
    assert selectors.book_numbers(world.account_id)[0].reserved == 0
    assert world.verify() == []


@pytest.mark.fault("E30")
def test_an_absent_order_that_lives_after_all_is_an_incident(world: World) -> None:
    """A forgotten order's fill is still its book's, and its book stops entering."""
    world.decide(world.propose("enter", lots=380, limit_price=D("50505")))
    order = world.order(kind="enter")
    orders.mark_sending(order.pk, epoch=1, now=NOW)
    orders.mark_unknown(order.pk, "TIMEOUT", "no answer", now=NOW)
    with transaction.atomic():
        orders.mark_absent(world.account(), order.pk, now=NOW)

    report = world.exchange.accept(order)
    with transaction.atomic():
        orders.apply_report(world.account(), order.pk, report, now=NOW)
    world.fill(order, "0.0038", "50000")

    world.books[0].refresh_from_db()
    assert world.books[0].halt_reason == "ORDER_ADOPTED"
    assert Account.objects.get(id=world.account_id).state == Account.State.ENTRIES_HALTED
    assert world.position().quantity == D("0.0038")
    assert world.compare().outcome == "exact"
    assert world.verify() == []


@pytest.mark.fault("E30")
def test_an_adopted_order_without_money_leaves_its_book_in_debt(world: World) -> None:
    """I-07's exception and I-08: reserved in full all the same, the debt is the book's, every figure adds up."""
    world.books[0].position_cap_percent = D(100)
    world.books[0].save()
    RiskLimits.objects.update(fall_percent=1)
    world.decide(world.propose("enter", lots=2000, limit_price=D("50505")))
    lost = world.order(kind="enter")
    orders.mark_sending(lost.pk, epoch=1, now=NOW)
    orders.mark_unknown(lost.pk, "TIMEOUT", "no answer", now=NOW)
    with transaction.atomic():
        orders.mark_absent(world.account(), lost.pk, now=NOW)
    world.decide(world.propose("enter", lots=3000, limit_price=D("50505")))
    other = world.send(world.order(kind="enter"))
    with transaction.atomic():
        orders.apply_report(world.account(), lost.pk, world.exchange.accept(lost), now=NOW)

    lost.refresh_from_db()
    assert (lost.status, lost.reservation.remaining) == (Order.Status.OPEN, D("1010.1"))
    deficit = LedgerAccount.objects.get(kind="deficit", asset="USDT")
    assert deficit.balance == D("1976.46") - D("1515.15") - D("1010.1")
    assert world.verify() == []

    world.fill(other, "0.03", "50500")
    world.fill(lost, "0.02", "50000")
    assert world.compare().outcome == "exact"
    assert world.verify() == []


def test_an_exit_without_anything_to_sell_is_refused(world: World) -> None:
    """A bot sells only what its own book holds."""
    enter(world, book=1)
    (outcome,) = world.decide(world.propose("exit", 0))
    assert (outcome.is_accepted, outcome.code) == (False, "POSITION_EMPTY")


def test_places_wait_behind_the_cancels_of_their_book(world: World) -> None:
    """A rebuilt ladder uses the capital of the old one only when the old one is proven gone."""
    world.books[2].position_cap_percent = D(100)
    world.books[2].save()
    RiskLimits.objects.update(fall_percent=1)
    buy = {"side": "buy", "lots": 7000}
    world.decide(world.propose("place", 2, "ETH/USDT", slot=0, limit_price=D("2400"), **buy))
    old = world.send(world.order(kind="place", book=2))
    outcomes = world.decide(
        world.propose("cancel", 2, "ETH/USDT", slot=0),
        world.propose("place", 2, "ETH/USDT", slot=0, limit_price=D("2450"), **buy),
    )
    assert [outcome.is_accepted for outcome in outcomes] == [True, True]
    assert world.order(kind="place", book=2) == old

    world.end(old)
    new = world.order(kind="place", book=2)
    assert (new.type, new.price, new.slot) == ("LIMIT_MAKER", D("2450"), 0)
    assert world.verify() == []


@pytest.mark.fault("U05", "E43")
def test_a_trade_made_by_hand_is_the_operators(world: World) -> None:
    """U05: a foreign client order id goes to the unallocated money, and what it lacks to suspense."""
    trade = world.exchange.by_hand(
        TradeReport("BTCUSDT", 0, "77", "web_abc", Side.BUY, D("50000"), D("0.0001"), D("5"), D("0.0000001"), "BTC",
                    is_maker=False, traded_at=world.market_at)
    )  # fmt: skip
    fill = world.post(trade)

    assert fill is not None
    assert fill.book is None
    assert selectors.residuals(world.account_id) == {"USDT": D("-4.99")}
    assert Account.objects.get(id=world.account_id).state_reason == "RECONCILE_RESIDUAL"
    assert world.compare().outcome == "residual"
    assert world.verify() == []


@pytest.mark.fault("U04")
def test_a_trade_of_an_order_nobody_knows_is_not_guessed(world: World) -> None:
    """I-22: ownership is read, never assumed."""
    trade = TradeReport("BTCUSDT", 5, "77", None, Side.BUY, D("50000"), D("0.0001"), D("5"), D(0), "BTC",
                        is_maker=False, traded_at=world.market_at)  # fmt: skip
    with pytest.raises(OwnerUnknown), transaction.atomic():
        fills.post_fill(world.account(), trade, now=NOW)


def test_client_order_ids_carry_their_book_and_intent(world: World) -> None:
    """I-13: a name that can be read back."""
    order = enter(world, book=3)
    name = parse_client_order_id(order.client_order_id)
    assert name is not None
    assert (name.deploy, name.book_number, name.intent_seq) == ("t1", 4, order.intent.seq)


def test_every_decision_is_recorded_with_its_answer(world: World) -> None:
    """I-17: holds, refusals and orders alike."""
    world.decide(
        world.propose("hold", 0, reason="SIGNAL_NO_OPINION"),
        world.propose("enter", 1, lots=380, limit_price=D("50505")),
        world.propose("enter", 2, lots=380, limit_price=D("50505"), denial="COST_GATE"),
        world.propose("exit", 3),
    )
    rows = DecisionRecord.objects.order_by("book__number").values_list("outcome", "denial")
    assert list(rows) == [("none", ""), ("accepted", ""), ("denied", "COST_GATE"), ("denied", "POSITION_EMPTY")]
    assert Order.objects.get().intent.decision is not None
    assert not Position.objects.exists()
