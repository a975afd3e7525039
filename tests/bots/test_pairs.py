"""Two bots on two accounts, of which one decides for both: both legs of a pair are ordered, or neither is."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from django.db import transaction

from bots import jobs, services
from bots.jobs import stepping
from bots.jobs.due import find_due, find_due_pairs, is_ready
from bots.lineups import Plan
from bots.models import Bot, BotState
from bots.selectors import due_bots_done, indicators, panel_of
from bots.services import UnableToOperate, lineups
from marketdata.models import PriceHealth
from portfolio.jobs import verify
from portfolio.models import Account, AuditEntry, Book, DecisionRecord, Fill, Intent, Lease, Order, Pair
from portfolio.selectors.allocations import slices_at
from portfolio.selectors.pairs import one_leg_losses, pairs_of
from portfolio.services.modes import UnableToSwitch
from portfolio.writers import accounts, orders
from tests.bots.conftest import FIVE_MINUTES, NOW, clock, open_desk
from tests.bots.pair_of_bots import APART, LEVEL, Two, open_two, two
from trading.handover import Mode

__all__ = ["two"]


def test_a_pair_is_two_bots_each_on_its_own_account_and_one_of_them_decides(two: Two) -> None:
    leader, follower = services.create_pair(planned=two.planned(), by=None, now=NOW)

    assert (leader.leader, follower.leader) == (None, leader)
    assert [bot.book.account_id for bot in (leader, follower)] == [desk.account.pk for desk in two.sides]
    assert leader.book_id != follower.book_id
    markets = [instrument.market_id for instrument in panel_of(leader.pk)]
    assert markets == [desk.market.pk for desk in two.sides]
    assert panel_of(follower.pk) == panel_of(leader.pk)
    # Asked for again it is the same pair.
    assert services.create_pair(planned=two.planned(), by=None, now=NOW) == (leader, follower)
    assert Bot.objects.count() == 2


def test_whatever_is_asked_of_one_side_is_done_to_both(two: Two) -> None:
    leader, follower = two.started()

    def statuses() -> list[str]:
        return list(Bot.objects.order_by("id").values_list("status", flat=True))

    assert statuses() == ["running"] * 2
    services.pause_bot(bot_id=follower.pk, by=None, now=NOW)
    assert statuses() == ["paused"] * 2
    services.resume_bot(bot_id=leader.pk, by=None, now=NOW)
    assert statuses() == ["running"] * 2
    services.stop_bot(bot_id=follower.pk, by=None, now=NOW)
    assert statuses() == ["stopped"] * 2
    assert set(AuditEntry.objects.filter(action="bot.stop").values_list("subject", flat=True)) == {
        f"bot:{leader.pk}",
        f"bot:{follower.pk}",
    }


def test_a_pair_waits_until_both_accounts_are_through_the_candle(two: Two) -> None:
    two.started()
    two.near.close_bars(LEVEL)

    assert find_due(two.near.account.pk, two.near.market_at) == []
    assert not is_ready(two.near.account.pk, two.near.market_at)
    assert not due_bots_done(two.near.account.pk, two.near.market_at)
    two.advance()
    assert not DecisionRecord.objects.exists()

    two.far.close_bars(LEVEL)
    # Either account's bell finds it.
    assert [len(find_due_pairs(desk.account.pk)) for desk in two.sides] == [1, 1]
    assert is_ready(two.far.account.pk, two.far.market_at)
    jobs.advance_account(account_id=two.near.account.pk, clock=clock)
    assert DecisionRecord.objects.count() == 2
    assert all(due_bots_done(desk.account.pk, desk.market_at) for desk in two.sides)
    assert [len(find_due_pairs(desk.account.pk)) for desk in two.sides] == [0, 0]


def test_a_pair_comes_after_the_bots_of_either_account(two: Two) -> None:
    two.started()
    late = two.far.bot("FIRST", regime_filter=False)
    two.far.history(lambda bars: np.full(bars, LEVEL[0]))
    two.near.close_bars(LEVEL)
    two.far.close_bars(LEVEL)

    jobs.advance_account(account_id=two.near.account.pk, clock=clock)
    assert not DecisionRecord.objects.exists()
    jobs.advance_account(account_id=two.far.account.pk, clock=clock)
    assert DecisionRecord.objects.order_by("id").values_list("book", flat=True)[0] == late.book_id
    assert DecisionRecord.objects.count() == 3


def test_both_legs_are_ordered_at_once_and_journalled_under_one_number(two: Two) -> None:
    leader, follower = two.started()
    two.stock()
    two.close(LEVEL, APART)

    (pair,) = Pair.objects.all()
    assert (pair.number, pair.bought_id, pair.sold_id) == (1, leader.book_id, follower.book_id)
    assert pair.market_at == two.near.market_at
    legs = Intent.objects.filter(pair=pair).order_by("side")
    assert [(leg.side, leg.reason, leg.order.status) for leg in legs] == [
        ("buy", "SIGNAL_ENTRY_PAIR", "ready"),
        ("sell", "SIGNAL_EXIT_PAIR", "ready"),
    ]
    assert [leg.order.account_id for leg in legs] == [two.near.account.pk, two.far.account.pk]
    decided = DecisionRecord.objects.filter(bar_closed_at=two.near.market_at).order_by("leg")
    assert [(row.book_id, row.outcome, row.facts["pair"]) for row in decided] == [
        (leader.book_id, "accepted", 1.0),
        (follower.book_id, "accepted", 1.0),
    ]


def test_both_bots_remember_the_same_and_each_knows_its_own_fills(two: Two) -> None:
    leader, follower = two.started()
    two.stock()

    states = {state.bot_id: state for state in BotState.objects.all()}
    assert states[leader.pk].data == states[follower.pk].data
    seen = {bot.pk: states[bot.pk].last_fill_id for bot in (leader, follower)}
    for bot in (leader, follower):
        assert seen[bot.pk] == Fill.objects.filter(book=bot.book_id).latest("id").pk
    assert indicators(Bot.objects.get(pk=follower.pk), bars=5).opened_at[-1] == two.near.market_at - FIVE_MINUTES


def denials(two: Two) -> dict[int, tuple[str, str]]:
    """Return what became of the newest candle's legs, by account."""
    rows = DecisionRecord.objects.filter(bar_closed_at=two.near.market_at).select_related("book")
    return {row.book.account_id: (row.outcome, row.denial) for row in rows}


def assert_nothing_ordered(two: Two) -> None:
    assert not Pair.objects.exists()
    assert not Order.objects.filter(status__in=Order.LIVE).exists()
    assert not Order.objects.filter(status=Order.Status.WITHDRAWN).exists()
    for desk in two.sides:
        sequences = list(Intent.objects.filter(book__account=desk.account.pk).values_list("seq", flat=True))
        assert Account.objects.get(pk=desk.account.pk).intent_seq == max(sequences)


@pytest.mark.parametrize("buyer", ["near", "far"])
def test_where_the_purchase_is_refused_the_sale_is_not_ordered_whichever_account_comes_first(two: Two, buyer: str) -> None:
    two.started()
    two.stock()
    buying, selling = (two.near, two.far) if buyer == "near" else (two.far, two.near)
    book = Bot.objects.get(book__account=buying.account).book
    book.is_halted, book.halt_reason = True, "RISK_DAY_LOSS"
    book.save()
    two.close(*((LEVEL, APART) if buyer == "near" else (APART, LEVEL)))

    assert denials(two) == {
        buying.account.pk: ("denied", "RISK_DAY_LOSS"),
        selling.account.pk: ("denied", "PAIR_OTHER_LEG_REFUSED"),
    }
    assert_nothing_ordered(two)


def test_no_pair_is_ordered_while_a_leg_of_the_last_one_is_on_its_way(two: Two) -> None:
    two.started()
    two.stock()
    two.close(LEVEL, APART)
    assert Pair.objects.count() == 1
    # Nothing is known of either order yet, and the prices are as far apart as before.
    two.close(LEVEL, APART)

    assert denials(two) == {
        two.near.account.pk: ("denied", "PAIR_OTHER_LEG_REFUSED"),
        two.far.account.pk: ("denied", "EXIT_PENDING"),
    }
    assert Pair.objects.count() == 1
    assert Order.objects.filter(status=Order.Status.READY).count() == 2


def test_a_leg_that_would_have_to_wait_for_a_cancel_asks_for_none(two: Two) -> None:
    _, follower = two.started()
    two.stock()
    resting = two.rest(follower, price="50000")
    two.close(LEVEL, APART)

    assert denials(two) == {
        two.near.account.pk: ("denied", "PAIR_OTHER_LEG_REFUSED"),
        two.far.account.pk: ("denied", "PAIR_LEG_WAITS"),
    }
    assert not Pair.objects.exists()
    resting.refresh_from_db()
    # What the trial asked for is undone with it.
    assert (resting.status, resting.cancel_requested_at) == (Order.Status.OPEN, None)


def test_after_a_refused_pair_the_next_one_is_numbered_as_if_it_had_not_been_tried(two: Two) -> None:
    leader, _ = two.started()
    two.stock()
    resumed = [Account.objects.get(pk=desk.account.pk) for desk in two.sides]
    Book.objects.filter(pk=leader.book_id).update(is_halted=True, halt_reason="RISK_DAY_LOSS")
    # Several candles in one transaction: the newest one's legs are tried, and all of it is written.
    for desk, close in zip(two.sides, (LEVEL, APART), strict=True):
        desk.close_bars(close * 3)
    two.advance()
    assert denials(two)[two.near.account.pk] == ("denied", "RISK_DAY_LOSS")
    assert DecisionRecord.objects.filter(denial="DATA_STALE").count() == 4
    for desk, before in zip(two.sides, resumed, strict=True):
        after = Account.objects.get(pk=desk.account.pk)
        assert (after.intent_seq, after.ledger_seq, after.ledger_hash) == (
            before.intent_seq,
            before.ledger_seq,
            before.ledger_hash,
        )
    Book.objects.filter(pk=leader.book_id).update(is_halted=False, halt_reason="")
    two.close(LEVEL, APART)
    assert Pair.objects.count() == 1
    assert [verify.verify(desk.account.pk) for desk in two.sides] == [[], []]


def test_no_leg_goes_out_while_the_other_accounts_trader_is_away(two: Two) -> None:
    two.started()
    two.stock()
    # It could still write to the database, and send nothing any more.
    Lease.objects.filter(name=f"trader:{two.far.account.pk}").update(expires_at=NOW + timedelta(seconds=5))
    two.close(LEVEL, APART)

    assert denials(two) == {
        two.near.account.pk: ("denied", "PAIR_OTHER_LEG_REFUSED"),
        two.far.account.pk: ("denied", "PAIR_TRADER_AWAY"),
    }
    assert_nothing_ordered(two)
    Lease.objects.update(expires_at=NOW + timedelta(seconds=12))
    two.close(LEVEL, APART)
    assert Pair.objects.count() == 1


def test_no_leg_is_sold_on_an_account_whose_entries_are_halted_or_at_prices_in_doubt(two: Two) -> None:
    two.started()
    two.stock()
    far = Account.objects.filter(pk=two.far.account.pk)
    far.update(state=Account.State.ENTRIES_HALTED, state_reason="RECONCILE_RESIDUAL")
    two.close(LEVEL, APART)
    assert denials(two)[two.far.account.pk] == ("denied", "PAIR_ACCOUNT_HALTED")
    assert_nothing_ordered(two)

    far.update(state=Account.State.ACTIVE, state_reason="")
    instrument = Bot.objects.get(book__account=two.far.account).instruments.get()
    PriceHealth.objects.create(instrument=instrument, doubt="frozen", since_at=NOW, looked_at=NOW)
    two.close(LEVEL, APART)
    assert denials(two)[two.far.account.pk] == ("denied", "DATA_STALE")
    assert_nothing_ordered(two)


def test_what_one_leg_left_over_is_undone_under_the_same_number(two: Two) -> None:
    two.started()
    two.stock()
    two.close(LEVEL, APART)
    # Only the purchase is done; the sale was never sent.
    sale = Order.objects.get(status=Order.Status.READY, side="sell")
    with transaction.atomic():
        assert orders.withdraw(accounts.lock(sale.account_id), sale.pk, "ENTRY_STALE", now=NOW)
    two.fill({two.near.account.pk: "40000"})
    two.close(LEVEL, LEVEL)

    mending = Intent.objects.filter(pair__number=1, reason="SIGNAL_EXIT_RESIDUAL").select_related("order").get()
    bought = Order.objects.get(side="buy", intent__pair__number=1)
    assert mending.order.quantity == bought.filled_quantity
    assert Pair.objects.count() == 1


def test_no_pair_is_begun_on_a_day_on_which_failed_legs_have_lost_too_much(two: Two) -> None:
    two.started()
    two.stock()
    two.close(LEVEL, APART)
    sale = Order.objects.get(status=Order.Status.READY, side="sell")
    with transaction.atomic():
        assert orders.withdraw(accounts.lock(sale.account_id), sale.pk, "ENTRY_STALE", now=NOW)
    two.fill({two.near.account.pk: "40000"})
    two.close(LEVEL, LEVEL)
    # What the purchase left over is undone for far less than it cost, on whichever side is better; no cap of a book is met yet.
    two.fill(dict.fromkeys((desk.account.pk for desk in two.sides), "28500"))
    two.close(LEVEL, LEVEL)
    (pair,) = Pair.objects.all()
    lost = one_leg_losses([pair.bought_id, pair.sold_id], since=pair.market_at)
    assert lost == -pairs_of([pair.bought_id], limit=1).items[0].result > 80

    two.close(LEVEL, APART)
    assert set(denials(two).values()) == {("denied", "PAIR_ONE_LEG_LOSSES")}
    assert Pair.objects.count() == 1
    # The day after it may begin one again.
    Pair.objects.update(market_at=pair.market_at - timedelta(days=1))
    two.close(LEVEL, APART)
    assert Pair.objects.count() == 2, denials(two)


def test_each_side_pays_the_fees_of_its_own_exchange(db: None) -> None:
    two = open_two(far_fee_ppm=9000)
    two.started()
    two.stock()
    # A hundredth is not enough where one side takes nine thousandths.
    two.close(LEVEL, APART)

    newest = DecisionRecord.objects.order_by("-id")[0]
    assert newest.reason == "SIGNAL_NO_OPINION"
    assert newest.facts["edge_buying_first"] == pytest.approx(
        40_400 * (1 - 0.00005) * (1 - 0.009) / (40_000 * (1 + 0.00005) * 1.001) - 1
    )


def test_a_strategy_that_changed_halts_both(two: Two) -> None:
    two.started()
    Bot.objects.update(strategy_hash="another")
    two.close(LEVEL, LEVEL)

    assert {(bot.status, bot.status_reason.partition(":")[0]) for bot in Bot.objects.all()} == {("halted", "STRATEGY_CHANGED")}
    assert due_bots_done(two.near.account.pk, two.near.market_at)


def test_an_account_that_changed_between_reading_and_writing_makes_the_step_be_taken_again(
    two: Two, monkeypatch: pytest.MonkeyPatch
) -> None:
    two.started()
    two.near.close_bars(LEVEL)
    two.far.close_bars(LEVEL)
    steps: list[Any] = []

    def neighbour(*words: Any) -> Any:
        steps.append(words)
        if len(steps) == 1:
            account = Account.objects.get(pk=two.far.account.pk)
            accounts.changed(account)
        return stepping.step_pair(*words)

    monkeypatch.setattr("bots.jobs.pairs.step_pair", neighbour)
    two.advance()
    assert len(steps) == 2
    assert DecisionRecord.objects.count() == 2


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"account_ids": (1, 1)}, "PAIR_ONE_ACCOUNT"),
        ({"symbols": ("BTC/USDT", "ETH/USDT")}, "PAIR_COIN"),
        ({"strategy": "grid"}, "PAIR_STRATEGY"),
    ],
)
def test_what_is_no_pair_is_refused(two: Two, changes: dict[str, Any], code: str) -> None:
    if code == "PAIR_ONE_ACCOUNT":
        changes = {"account_ids": (two.near.account.pk,) * 2}
    with pytest.raises(UnableToOperate) as refusal:
        services.create_pair(planned=two.planned(**changes), by=None, now=NOW)

    assert refusal.value.code == code
    assert not Bot.objects.exists()


def test_a_pair_needs_two_markets_one_kind_of_money_and_accounts_in_use(two: Two) -> None:
    far = Account.objects.filter(pk=two.far.account.pk)
    for changes, code in (
        ({"quote_asset": "USDC"}, "PAIR_QUOTE"),
        ({"market": two.near.market}, "PAIR_ONE_MARKET"),
        ({"is_enabled": False}, "ACCOUNT_DISABLED"),
        ({"allocation_mode": "single"}, "PAIR_NEEDS_PERCENTAGE"),
    ):
        before = far.values(*changes).get()
        far.update(**changes)
        with pytest.raises(UnableToOperate) as refusal:
            services.create_pair(planned=two.planned(), by=None, now=NOW)
        assert refusal.value.code == code
        far.update(**before)
    play = open_desk(name="play", epoch="play", deploy="p1", mode="testnet")
    with pytest.raises(UnableToOperate) as refusal:
        services.create_pair(planned=two.planned(account_ids=(two.near.account.pk, play.account.pk)), by=None, now=NOW)
    assert refusal.value.code == "PAIR_MONEY"


def test_bots_do_not_take_turns_on_an_account_while_a_pair_trades_there(two: Two) -> None:
    two.started()
    wish = services.Wish(mode=Mode.SINGLE, bot="ARBITRAGE")
    for desk in two.sides:
        with pytest.raises(UnableToSwitch) as refusal:
            services.switch_mode(account_id=desk.account.pk, wish=wish, by=None, now=NOW, market_at=desk.market_at)
        assert refusal.value.code == "MODE_PAIR_RUNNING"
    services.stop_bot(bot_id=Bot.objects.get(leader=None).pk, by=None, now=NOW)
    services.switch_mode(account_id=two.near.account.pk, wish=wish, by=None, now=NOW, market_at=two.near.market_at)

    with pytest.raises(UnableToOperate) as start_refused:
        services.start_bot(bot_id=Bot.objects.get(leader=None).pk, by=None, now=NOW)
    assert start_refused.value.code == "PAIR_NEEDS_PERCENTAGE"


def test_arbitrage_is_no_bot_of_one_account(two: Two) -> None:
    with pytest.raises(UnableToOperate) as refusal:
        two.near.bot("ALONE", strategy="arbitrage")
    assert refusal.value.code == "STRATEGY_NEEDS_PAIR"


def test_a_line_up_is_of_one_account_and_leaves_a_pair_and_its_share_as_they_are(two: Two) -> None:
    leader, _ = two.started()
    plan = Plan("one", (two.near.plan("ONE"),))

    applied = lineups.apply_lineup(account_id=two.near.account.pk, plan=plan, by=None, now=NOW)

    assert [(step.action, step.key) for step in applied.steps] == [("create", "ONE")]
    assert set(Bot.objects.filter(key="ARBITRAGE").values_list("status", flat=True)) == {"running"}
    shares = slices_at(two.near.account.pk)
    assert shares[leader.book_id].percent == 40
    assert [bot.key for bot in lineups.export_lineup(two.near.account.pk).bots] == ["ONE"]
    taken = Plan("two", (two.near.plan("ARBITRAGE"),))
    assert "works with another account's bot" in lineups.diff_lineup(account_id=two.near.account.pk, plan=taken).obstacles[0]


def test_an_account_out_of_use_holds_no_other_account_up(two: Two) -> None:
    two.started()
    Account.objects.filter(pk=two.far.account.pk).update(is_enabled=False)
    two.near.close_bars(LEVEL)

    assert due_bots_done(two.near.account.pk, two.near.market_at)
    assert find_due_pairs(two.near.account.pk) == []
