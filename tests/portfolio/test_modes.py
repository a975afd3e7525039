"""Who may enter, and how the account passes on: on the real tables, with an exchange on the other side."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest
from django.db import IntegrityError, transaction

from portfolio import selectors, services
from portfolio.jobs import risk
from portfolio.models import Account, AuditEntry, Book, BookTransfer, HandOver, ModeVersion, Order
from portfolio.selectors import modes as reading
from portfolio.selectors.allocations import slices_at
from portfolio.selectors.trades import trades
from portfolio.services.modes import Preview, UnableToSwitch, preview_mode
from portfolio.writers import orders
from portfolio.writers.books import open_book
from portfolio.writers.modes import Choice
from tests.portfolio.switching import act, assert_whole, at, books, hold, mark, needs, newest, single, switch, traded
from tests.portfolio.test_coordinate import codes, enter
from tests.portfolio.test_transfers import new_sub
from tests.portfolio.world import NOW, World
from trading.handover import Mode
from trading.orders import ExchangeStatus
from trading.rotation import Policy
from trading.rotation_text import parse_rotation

D = Decimal
TOTAL = D("9882.31")


def test_single_mode_gives_one_bot_all_there_is_and_lets_no_other_enter(world: World) -> None:
    switch(world, single(world, 1))

    assert newest(world).phase == "settled"
    assert [row.equity for row in books(world)] == [0, TOTAL, 0, 0, 0]
    assert Book.objects.get(pk=world.books[1].pk).base_equity == TOTAL
    assert [enter(world, book) for book in range(3)] == ["MODE_BOT_NOT_ACTIVE", "accepted", "MODE_BOT_NOT_ACTIVE"]
    assert_whole(world)


def test_the_budget_limits_what_the_one_bot_is_sized_by(world: World) -> None:
    switch(world, single(world, 1, budget=D(1000)))

    row = books(world)[1]
    assert (row.equity, row.base_equity) == (1000, 1000)
    assert selectors.account_overview(world.account_id).unallocated == TOTAL - 1000
    assert enter(world, 1) == "RISK_POSITION_CAP"
    assert enter(world, 1, lots=190) == "accepted"


def test_a_budget_above_the_balance_is_capped_by_it(world: World) -> None:
    switch(world, single(world, 1, budget=D(1_000_000)))

    assert books(world)[1].base_equity == TOTAL


def test_the_same_choice_again_changes_nothing(world: World) -> None:
    """A restart, or a script that runs twice."""
    first = switch(world, single(world, 1))
    enter(world, 1)
    again = switch(world, single(world, 1))

    assert again.pk == first.pk
    assert HandOver.objects.count() == 1
    assert AuditEntry.objects.filter(action="mode.set").count() == 1


def test_entries_of_the_others_are_withdrawn_or_cancelled_before_anybody_trades(world: World) -> None:
    """I-33, I-35: the new bot waits until the exchange has proven the last cancel."""
    resting = world.propose("place", 0, side="buy", lots=300, limit_price=D(40_000), slot=1)
    ready = world.propose("place", 2, side="buy", lots=300, limit_price=D(40_000), slot=1)
    world.decide(resting, ready)
    sent = world.send(world.order(kind="place", book=0))

    switch(world, single(world, 1))

    assert newest(world).phase == "closing"
    assert world.order(kind="place", book=2).status == "withdrawn"
    assert Order.objects.get(pk=sent.pk).cancel_requested_at is not None
    assert enter(world, 1) == "MODE_BOT_NOT_ACTIVE"
    world.end(sent)
    act(world)
    assert newest(world).phase == "settled"
    assert enter(world, 1) == "accepted"
    assert_whole(world)


def test_a_switch_sells_what_the_bot_before_holds(world: World) -> None:
    stop = hold(world, 0)
    switch(world, single(world, 1))
    assert newest(world).phase == "releasing"
    world.end(stop)
    sale = world.send(world.order(kind="flatten", book=0))
    act(world)
    assert newest(world).phase == "releasing", "a sale on its way is no sale yet"
    world.fill(sale, "0.0038", "49900")
    act(world)

    assert newest(world).phase == "settled"
    assert [row.equity for row in books(world)] == [0, TOTAL - D("0.38"), 0, 0, 0]
    assert_whole(world)


def test_a_bot_that_carries_on_may_only_leave(world: World) -> None:
    stop = hold(world, 0)
    switch(world, single(world, 1, policy=Policy.CARRY))

    assert newest(world).phase == "settled"
    assert Order.objects.get(pk=stop.pk).cancel_requested_at is None, "its stop goes on protecting it"
    assert [enter(world, 0), enter(world, 1)] == ["MODE_BOT_NOT_ACTIVE", "accepted"]
    assert codes(world.decide(world.propose("exit", 0))) == ["accepted"]
    assert books(world)[0].equity == D("190")
    assert_whole(world)


def test_a_holding_passes_to_the_next_bot_at_its_mark_with_its_stop(world: World) -> None:
    stop = hold(world, 0)
    mark(world, "51000")
    worth = selectors.account_overview(world.account_id).equity
    switch(world, single(world, 1, policy=Policy.TRANSFER))
    assert newest(world).phase == "releasing"
    assert enter(world, 1) == "MODE_BOT_NOT_ACTIVE"
    world.end(stop)
    act(world)

    assert newest(world).phase == "settled"
    passed = BookTransfer.objects.get()
    assert (passed.quantity, passed.mark, passed.value, passed.realised) == (D("0.0038"), 51_000, D("193.8"), D("3.8"))
    taken = world.position(1)
    assert (taken.quantity, taken.cost, taken.stop_price) == (D("0.0038"), D("193.8"), 48_000)
    assert (world.position(0).quantity, world.position(0).cost, world.position(0).realised) == (0, 0, D("3.8"))
    protecting = world.order(kind="stop", book=1)
    assert (protecting.status, protecting.quantity) == ("ready", D("0.0038"))
    assert [row.equity for row in books(world)] == [0, worth, 0, 0, 0], "I-38: the sum is what it was"
    assert [row.pnl for row in books(world)][:2] == [D("3.8"), 0]
    world.send(protecting)
    assert not world.position(1).is_unprotected
    assert_whole(world)


def test_what_was_handed_on_counts_as_a_trade_of_both(world: World) -> None:
    stop = hold(world, 0)
    mark(world, "51000")
    switch(world, single(world, 1, policy=Policy.TRANSFER))
    world.end(stop)
    act(world)

    found = {trade.book_id: trade for trade in trades(account_id=world.account_id)}
    assert (found[world.books[0].pk].profit, found[world.books[0].pk].reason) == (D("3.8"), "MODE_HANDED_OVER")
    assert (found[world.books[1].pk].cost, found[world.books[1].pk].closed_at) == (D("193.8"), None)


def test_what_the_next_bot_does_not_trade_is_sold(world: World) -> None:
    stop = hold(world, 0)
    choice = Choice(
        mode=Mode.SINGLE,
        book_id=world.books[1].pk,
        policy=Policy.TRANSFER,
        traded=traded(world, symbol="ETH/USDT"),
    )
    switch(world, choice)
    world.end(stop)

    assert world.order(kind="flatten", book=0).status == "ready"
    assert not BookTransfer.objects.exists()


def test_a_bot_is_waited_for_until_the_deadline_and_then_sold_out(world: World) -> None:
    stop = hold(world, 0)
    began = world.market_at
    switch(world, single(world, 1, policy=Policy.WAIT, wait_minutes=30))
    at(world, began + timedelta(minutes=29))
    act(world)
    assert (newest(world).phase, Order.objects.get(pk=stop.pk).cancel_requested_at) == ("releasing", None)

    at(world, began + timedelta(minutes=30))
    act(world)
    world.end(stop)
    world.fill(world.send(world.order(kind="flatten", book=0)), "0.0038", "50000")
    act(world)

    assert newest(world).phase == "settled"
    assert_whole(world)


def test_a_loss_before_the_switch_shuts_nobody(world: World) -> None:
    """Capital that leaves a book takes its share of the day's loss along, or giving it back would look like losing it."""
    hold(world, 0)
    at(world, world.market_at)
    with transaction.atomic():
        risk.act(world.account(), now=NOW)
    mark(world, "49000")
    switch(world, single(world, 1, policy=Policy.CARRY))

    found = risk.look(world.account_id, now=NOW)
    assert found.beyond == []
    standing = found.standings[world.books[0].pk]
    assert standing.loss / standing.base == pytest.approx(D("3.8") / (D("1976.46")), rel=D("0.001"))


def test_back_to_percentages_everybody_has_his_share_again(world: World) -> None:
    switch(world, single(world, 1))
    switch(world, Choice(mode=Mode.PERCENTAGE))

    account = Account.objects.get(pk=world.account_id)
    assert account.allocation_mode == "percentage"
    assert {row.equity for row in books(world)} == {D("1976.46")}
    assert [enter(world, book) for book in range(2)] == ["accepted", "accepted"]
    assert_whole(world)


def test_only_one_hand_over_is_under_way(world: World) -> None:
    """I-34 in the database itself."""
    hold(world, 0)
    switch(world, single(world, 1))
    row = newest(world)

    with pytest.raises(IntegrityError, match="hand_over_one_at_a_time"), transaction.atomic():
        HandOver.objects.create(
            account_id=world.account_id,
            epoch=9,
            version=row.version,
            phase="closing",
            incoming=[],
            outgoing=[],
            policy="flatten",
            policy_after="flatten",
            began_at=NOW,
            recorded_at=NOW,
        )


def test_a_switch_overtakes_the_one_under_way(world: World) -> None:
    stop = hold(world, 0)
    switch(world, single(world, 1))
    switch(world, single(world, 2))
    world.end(stop)
    world.fill(world.send(world.order(kind="flatten", book=0)), "0.0038", "50000")
    act(world)

    assert list(HandOver.objects.order_by("epoch").values_list("phase", flat=True)) == ["overtaken", "settled"]
    assert [enter(world, book) for book in (1, 2)] == ["MODE_BOT_NOT_ACTIVE", "accepted"]


def test_a_locked_share_comes_back_too_and_stays_locked(world: World) -> None:
    services.set_allocations(account_id=world.account_id, percents={}, locks={world.books[3].pk: True}, by=None, now=NOW)
    switch(world, single(world, 1))
    switch(world, Choice(mode=Mode.PERCENTAGE))

    assert {row.equity for row in books(world)} == {D("1976.46")}
    assert slices_at(world.account_id)[world.books[3].pk].is_locked


def test_shares_are_not_in_force_while_one_bot_trades_alone(world: World) -> None:
    switch(world, single(world, 1))

    with pytest.raises(services.UnableToAllocate) as error:
        services.set_allocations(account_id=world.account_id, percents={world.books[0].pk: D(10)}, by=None, now=NOW)
    assert error.value.code == "MODE_NOT_PERCENTAGE"


def refused(world: World, choice: Choice) -> UnableToSwitch:
    with pytest.raises(UnableToSwitch) as error:
        switch(world, choice)
    assert not ModeVersion.objects.exists()
    return error.value


@pytest.mark.fault("O11")
def test_a_mode_is_not_changed_while_an_order_is_unknown(world: World) -> None:
    """O11, I-38: the refusal names what is in the way."""
    enter(world, 0)
    order = world.order(kind="enter", book=0)
    orders.mark_sending(order.pk, epoch=1, now=NOW)
    orders.mark_unknown(order.pk, "TIMEOUT", "", now=NOW)

    error = refused(world, single(world, 1))
    assert (error.code, order.client_order_id in str(error)) == ("MODE_ORDERS_UNKNOWN", True)


@pytest.mark.parametrize(
    ("choice", "code"),
    [
        (Choice(mode=Mode.SUBACCOUNTS), "SUBACCOUNTS_NONE"),
        (Choice(mode=Mode.SINGLE), "MODE_INCOMPLETE"),
        (Choice(mode=Mode.ROTATION), "MODE_INCOMPLETE"),
        (Choice(mode=Mode.SINGLE, book_id=999_999), "BOOK_UNKNOWN"),
        (Choice(mode=Mode.PERCENTAGE, budget=D("NaN")), "MODE_BUDGET_BAD"),
        (Choice(mode=Mode.PERCENTAGE, budget=D(-1)), "MODE_BUDGET_BAD"),
        (Choice(mode=Mode.PERCENTAGE, policy=Policy.WAIT), "MODE_WAIT_BAD"),
        (Choice(mode=Mode.ROTATION, rotation=parse_rotation("daily 00:00-24:00 999999")), "BOOK_UNKNOWN"),
        (Choice(mode=Mode.ROTATION, rotation=parse_rotation("")), "ROTATION_EMPTY"),
    ],
)
def test_a_choice_that_makes_no_sense_is_refused(world: World, choice: Choice, code: str) -> None:
    assert refused(world, choice).code == code


def test_with_sub_accounts_nobody_trades_on_the_master_and_its_money_can_leave(world: World) -> None:
    """Holdings are dealt with by the policy; back to percentages, every book has its share again."""
    sub = new_sub(world, "second")
    stop = hold(world, 0)
    assert refused(world, Choice(mode=Mode.SUBACCOUNTS)).code == "SUBACCOUNTS_NONE"
    open_book(sub, name="Apart", position_cap_percent=D(100), now=NOW)
    choice = Choice(mode=Mode.SUBACCOUNTS, traded=traded(world))
    shown = preview_mode(account_id=world.account_id, choice=choice, needs=needs(world), now=NOW)
    assert (shown.incoming, shown.sized_by, [fate.fate for fate in shown.fates]) == ((), None, ["sold"])

    switch(world, choice)
    world.end(stop)
    act(world)
    sold = world.send(world.order(kind="flatten"))
    world.fill(sold, str(sold.quantity), "50000.00")
    world.end(sold, ExchangeStatus.FILLED)
    act(world)

    assert (newest(world).phase, world.account().allocation_mode) == ("settled", "subaccounts")
    assert [enter(world, book) for book in range(5)] == ["MODE_BOT_NOT_ACTIVE"] * 5
    assert reading.books_of_sub_accounts(world.account_id) == ["Apart"]
    overview = selectors.account_overview(world.account_id)
    assert overview.equity - overview.unallocated < D("0.5"), "all but dust is nobody's"
    with pytest.raises(UnableToSwitch, match="sub-account itself"):
        preview_mode(account_id=sub.pk, choice=Choice(mode=Mode.SUBACCOUNTS), needs={}, now=NOW)

    switch(world, Choice(mode=Mode.PERCENTAGE))
    assert all(row.base_equity > 1900 for row in books(world))
    assert_whole(world)


def test_a_preview_names_every_holding_and_changes_nothing(world: World) -> None:
    hold(world, 0)
    world.decide(world.propose("place", 2, side="buy", lots=300, limit_price=D(40_000), slot=1))
    at(world, world.market_at)
    shown: Preview = preview_mode(
        account_id=world.account_id, choice=single(world, 1, policy=Policy.TRANSFER), needs=needs(world), now=NOW
    )

    assert (shown.incoming, shown.entries_cancelled, shown.sized_by) == (("Book 2",), 1, TOTAL)
    (fate,) = shown.fates
    assert (fate.book, fate.symbol, fate.value, fate.fate, fate.heir) == ("Book 1", "BTC/USDT", D(190), "handed_on", "Book 2")
    assert not HandOver.objects.exists()


def test_each_hour_of_the_day_says_what_it_earned(world: World) -> None:
    stop = hold(world, 0)
    mark(world, "51000")
    switch(world, single(world, 1, policy=Policy.TRANSFER))
    world.end(stop)
    act(world)

    found = {(row.book_id, row.hour): row.realised for row in reading.earned_by_hour(world.account_id, zone="Asia/Tokyo")}
    assert found[world.books[0].pk, 9] == D("3.8")
