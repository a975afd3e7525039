from __future__ import annotations

from typing import Any

import pytest

from bots import jobs, services, writers
from bots.jobs.due import find_due
from bots.jobs.stepping import Stepped, step_all
from bots.models import Bot, BotState
from bots.selectors import due_bots_done, indicators, remembered
from portfolio.models import Account, AuditEntry, DecisionRecord, EquityPoint, Order
from portfolio.selectors import BookExact, FillExact
from strategies import registry
from tests.bots.conftest import FIVE_MINUTES, Desk, clock, quiet
from trading import handover, live_step
from trading.rotation import Policy

CRASH = [99.0, 97.5, 95.0]
# Entries in a falling market, so that three candles make a story.
EAGER: dict[str, Any] = {"regime_filter": False, "cost_gate": 0.0, "oversold": 45.0, "stop_share": 0.05}


def started(desk: Desk, *bots: tuple[str, str]) -> list[Bot]:
    made = [desk.bot(key, symbol=symbol, **EAGER) for key, symbol in bots]
    desk.history(quiet)
    return made


def test_every_bar_of_every_bot_leaves_a_decision_with_its_reason(desk: Desk) -> None:
    started(desk, ("FIRST", "BTC/USDT"), ("SECOND", "ETH/USDT"))
    desk.close_bars([100.0])

    done = jobs.advance_account(account_id=desk.account.pk, clock=clock)

    assert (done.bots_stepped, done.bars) == (2, 2)
    rows = DecisionRecord.objects.all()
    assert [row.bar_closed_at for row in rows] == [desk.market_at] * 2
    assert {row.action for row in rows} == {"hold"}
    assert all(row.reason and row.facts["close"] == 100.0 for row in rows)
    assert {row.strategy_hash for row in rows} == {registry.definition("mean_reversion").source_hash}
    assert due_bots_done(desk.account.pk, desk.market_at)


def viewed(field: str, cell: int) -> str:
    """Name a plotted field as the stored view does: `coins.fast` of the first market is `coins.0.fast`."""
    record, dot, name = field.rpartition(".")
    return f"{record}.{cell}.{name}" if dot else name


@pytest.mark.parametrize("strategy", [name for name in registry.shipped_names() if registry.definition(name).symbols_least == 1])
def test_the_chart_shows_the_numbers_a_bot_decided_from(desk: Desk, strategy: str) -> None:
    bot = desk.bot("FIRST", strategy=strategy)
    warmup = registry.definition(strategy).warmup_bars(registry.make_params(strategy, {}, "5m"))
    desk.history(quiet, bars=max(2000, warmup + 100))
    desk.close_bars([100.0, 99.5])
    jobs.advance_account(account_id=desk.account.pk, clock=clock)
    memory = remembered(bot)
    bot.refresh_from_db()

    seen = indicators(bot, bars=50)

    assert seen.opened_at[-1] == desk.market_at - FIVE_MINUTES
    lines = {viewed(plot.field, plot.cell): line for plot, line in seen.lines.items() if not plot.spread}
    single = {field: line for field, line in lines.items() if field in memory}
    assert single
    for field, line in single.items():
        assert len(line) == 50
        assert line[-1] == pytest.approx(memory[field], rel=1e-6), field


@pytest.mark.fault("R03")
def test_a_duplicate_doorbell_changes_nothing(desk: Desk) -> None:
    started(desk, ("FIRST", "BTC/USDT"))
    desk.close_bars([100.0])
    jobs.advance_account(account_id=desk.account.pk, clock=clock)
    before = BotState.objects.get()

    again = jobs.advance_account(account_id=desk.account.pk, clock=clock)

    assert again == jobs.Advance()
    assert DecisionRecord.objects.count() == 1
    assert BotState.objects.get().data == before.data


def test_a_bot_waits_for_a_late_candle_and_then_steps(desk: Desk) -> None:
    started(desk, ("FIRST", "BTC/USDT"))
    desk.late_bars([100.0])

    early = jobs.advance_account(account_id=desk.account.pk, clock=clock)

    assert early.bots_stepped == 0
    assert not due_bots_done(desk.account.pk, desk.market_at)
    desk.market_at -= FIVE_MINUTES
    desk.close_bars([100.0])
    assert jobs.advance_account(account_id=desk.account.pk, clock=clock).bots_stepped == 1
    assert due_bots_done(desk.account.pk, desk.market_at)


def test_a_bot_waits_for_the_history_that_warms_it_up(desk: Desk) -> None:
    desk.bot("FIRST")
    desk.close_bars([100.0])

    assert jobs.advance_account(account_id=desk.account.pk, clock=clock).bots_stepped == 0

    end, desk.market_at = desk.market_at, desk.market_at - FIVE_MINUTES
    desk.history(quiet)
    desk.market_at = end
    assert jobs.advance_account(account_id=desk.account.pk, clock=clock).bots_stepped == 1


def test_a_bot_of_two_markets_decides_about_each_with_one_book(desk: Desk) -> None:
    bot = desk.bot("BOTH", strategy="momentum", symbol="BTC/USDT,ETH/USDT", mode="donchian", channel=20, exit_channel=10)
    desk.history(quiet)
    desk.close_bars([100.0, 130.0])

    done = jobs.advance_account(account_id=desk.account.pk, clock=clock)

    assert (done.bots_stepped, done.bars) == (1, 2)
    rows = DecisionRecord.objects.filter(bar_closed_at=desk.market_at).order_by("id")
    assert [row.instrument.symbol for row in rows if row.instrument] == ["BTC/USDT", "ETH/USDT"]
    assert [(row.action, row.reason) for row in rows] == [("enter", "SIGNAL_ENTRY_BREAKOUT")] * 2
    entries = Order.objects.filter(intent__book=bot.book)
    assert {order.instrument.symbol for order in entries} == {"BTC/USDT", "ETH/USDT"}
    assert remembered(bot)["coins.1.asked"] == 1


def test_a_bot_of_two_markets_holds_in_the_one_whose_candle_is_missing(desk: Desk) -> None:
    desk.bot("BOTH", strategy="momentum", symbol="BTC/USDT,ETH/USDT", mode="donchian", channel=20, exit_channel=10)
    desk.history(quiet)
    desk.close_bars([100.0])
    missing = DecisionRecord.objects.count()
    desk.close_bars([130.0], only="ETH/USDT")

    jobs.advance_account(account_id=desk.account.pk, clock=clock)

    rows = DecisionRecord.objects.filter(bar_closed_at=desk.market_at).order_by("id")
    assert missing == 0
    assert [row.reason for row in rows] == ["DATA_GAP", "SIGNAL_ENTRY_BREAKOUT"]


@pytest.mark.fault("M02")
def test_a_candle_that_does_not_exist_is_a_gap_and_no_reason_to_act(desk: Desk) -> None:
    started(desk, ("FIRST", "BTC/USDT"))
    desk.close_bars([100.0], missing=True)

    jobs.advance_account(account_id=desk.account.pk, clock=clock)

    row = DecisionRecord.objects.get()
    assert (row.action, row.reason) == ("hold", "DATA_GAP")


def crash(desk: Desk) -> list[DecisionRecord]:
    """Let the market fall until the bots want to enter, one candle at a time."""
    for close in CRASH:
        desk.close_bars([close])
        jobs.advance_account(account_id=desk.account.pk, clock=clock)
        wishes = list(DecisionRecord.objects.filter(action="enter").order_by("book__bot__rank"))
        if wishes:
            return wishes
    raise AssertionError(DecisionRecord.objects.values("reason", "facts"))


def test_an_entry_becomes_a_ready_order_within_the_bots_cap(desk: Desk) -> None:
    (bot,) = started(desk, ("FIRST", "BTC/USDT"))

    (wish,) = crash(desk)

    order = Order.objects.get()
    assert wish.outcome == "accepted"
    assert (order.status, order.side, order.type, order.time_in_force) == ("ready", "buy", "LIMIT", "IOC")
    assert order.book_id == bot.book_id
    # A tenth of 1,976.46, at a price that may be one hundredth above the one it was sized for.
    assert order.quantity * order.price <= bot_allocation(bot) * 10 / 100 * 102 / 100


def bot_allocation(bot: Bot) -> Any:
    bot.book.refresh_from_db()
    return bot.book.base_equity


def test_a_paused_bot_steps_but_does_not_enter(desk: Desk) -> None:
    (bot,) = started(desk, ("FIRST", "BTC/USDT"))
    services.pause_bot(bot_id=bot.pk, by=None, now=clock())

    (wish,) = crash(desk)

    assert (wish.outcome, wish.denial) == ("denied", "MODE_BOT_PAUSED")
    assert not Order.objects.exists()


def test_missed_candles_are_stepped_in_order_and_enter_nothing(desk: Desk) -> None:
    started(desk, ("FIRST", "BTC/USDT"))
    desk.close_bars([*CRASH, 95.2])

    done = jobs.advance_account(account_id=desk.account.pk, clock=clock)

    assert done.bars == 4
    older = DecisionRecord.objects.filter(bar_closed_at__lt=desk.market_at)
    assert older.count() >= 3
    wishes = older.exclude(action="hold")
    assert wishes
    assert {row.denial for row in wishes} == {"DATA_STALE"}


def test_candles_from_before_the_start_are_caught_up_with_in_silence(desk: Desk) -> None:
    (bot,) = started(desk, ("FIRST", "BTC/USDT"))
    desk.close_bars([100.0])
    jobs.advance_account(account_id=desk.account.pk, clock=clock)
    services.stop_bot(bot_id=bot.pk, by=None, now=clock())
    desk.close_bars(CRASH)
    jobs.advance_account(account_id=desk.account.pk, clock=clock)
    services.start_bot(bot_id=bot.pk, by=None, now=clock())
    desk.close_bars([95.1])

    done = jobs.advance_account(account_id=desk.account.pk, clock=clock)

    assert done.bars == 4
    assert sorted({row.bar_closed_at for row in DecisionRecord.objects.all()}) == [
        desk.market_at - FIVE_MINUTES * 4,
        desk.market_at,
    ]


def test_stepping_bar_by_bar_equals_stepping_all_at_once(desk: Desk) -> None:
    patient, hasty = started(desk, ("FIRST", "BTC/USDT"), ("SECOND", "BTC/USDT"))
    desk.close_bars([100.1])
    jobs.advance_account(account_id=desk.account.pk, clock=clock)
    services.stop_bot(bot_id=hasty.pk, by=None, now=clock())
    for close in (100.0, 99.8, 99.9):
        desk.close_bars([close])
        jobs.advance_account(account_id=desk.account.pk, clock=clock)
    services.start_bot(bot_id=hasty.pk, by=None, now=clock())
    jobs.advance_account(account_id=desk.account.pk, clock=clock)

    first, second = BotState.objects.get(bot=patient), BotState.objects.get(bot=hasty)

    assert first.bar_closed_at == second.bar_closed_at
    assert bytes(first.data) == bytes(second.data)


def test_a_strategy_error_halts_only_that_bot(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    broken, sound = started(desk, ("BROKEN", "BTC/USDT"), ("SOUND", "ETH/USDT"))
    desk.close_bars([100.0])
    real_step = live_step.run_step
    calls: list[int] = []

    def failing_first(*words: Any) -> Any:
        calls.append(1)
        if len(calls) == 1:
            raise ZeroDivisionError("no volume")
        return real_step(*words)

    monkeypatch.setattr("bots.jobs.stepping.live_step.run_step", failing_first)

    done = jobs.advance_account(account_id=desk.account.pk, clock=clock)

    broken.refresh_from_db()
    sound.refresh_from_db()
    assert (done.bots_stepped, done.bots_halted) == (1, 1)
    assert broken.status == Bot.Status.HALTED
    assert broken.status_reason == "STRATEGY_ERROR: ZeroDivisionError: no volume"
    assert (sound.status, sound.bar_closed_at) == (Bot.Status.RUNNING, desk.market_at)
    assert AuditEntry.objects.filter(action="bot.halt", subject=f"bot:{broken.pk}").exists()
    # The halted bot holds nobody up.
    assert due_bots_done(desk.account.pk, desk.market_at)


@pytest.mark.fault("O09")
def test_a_changed_strategy_is_refused_until_the_bot_is_started_again(desk: Desk) -> None:
    (bot,) = started(desk, ("FIRST", "BTC/USDT"))
    Bot.objects.filter(pk=bot.pk).update(strategy_hash="of yesterday's file")
    desk.close_bars([100.0])

    jobs.advance_account(account_id=desk.account.pk, clock=clock)

    bot.refresh_from_db()
    assert bot.status == Bot.Status.HALTED
    assert bot.status_reason.startswith("STRATEGY_CHANGED")
    restarted = services.start_bot(bot_id=bot.pk, by=None, now=clock())
    assert restarted.strategy_hash == registry.definition("mean_reversion").source_hash
    desk.close_bars([100.0])
    assert jobs.advance_account(account_id=desk.account.pk, clock=clock).bots_stepped == 1


def test_a_state_of_another_layout_halts_the_bot_and_a_start_warms_it_up_anew(desk: Desk) -> None:
    (bot,) = started(desk, ("FIRST", "BTC/USDT"))
    desk.close_bars([100.0])
    jobs.advance_account(account_id=desk.account.pk, clock=clock)
    BotState.objects.update(data=b"something older")
    desk.close_bars([100.0])

    jobs.advance_account(account_id=desk.account.pk, clock=clock)

    bot.refresh_from_db()
    assert bot.status_reason.startswith("STATE_CHANGED")
    services.start_bot(bot_id=bot.pk, by=None, now=clock())
    assert not BotState.objects.exists()
    desk.close_bars([100.0])
    assert jobs.advance_account(account_id=desk.account.pk, clock=clock).bots_stepped == 1


def test_an_account_that_changes_between_reading_and_writing_is_stepped_again(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    started(desk, ("FIRST", "BTC/USDT"))
    desk.close_bars([100.0])
    real_step_all = step_all
    rounds: list[int] = []

    def with_a_neighbour(*words: Any) -> Any:
        rounds.append(1)
        if len(rounds) == 1:
            account = Account.objects.get(pk=desk.account.pk)
            Account.objects.filter(pk=account.pk).update(version=account.version + 1)
        return real_step_all(*words)

    monkeypatch.setattr("bots.jobs.advance.step_all", with_a_neighbour)

    done = jobs.advance_account(account_id=desk.account.pk, clock=clock)

    assert len(rounds) == 2
    assert done.bots_stepped == 1
    assert DecisionRecord.objects.count() == 1


@pytest.mark.parametrize(("policy", "told"), [(Policy.FLATTEN, 0), (Policy.CARRY, 7)])
def test_fills_that_a_hand_over_hides_are_told_at_the_next_candle(desk: Desk, policy: Policy, told: int) -> None:
    (bot,) = started(desk, ("FIRST", "BTC/USDT"))
    desk.close_bars([100.0])
    (due,) = find_due(desk.account.pk, desk.market_at)
    fill = FillExact(
        fill_id=7,
        instrument_id=due.instrument_ids[0],
        slot=0,
        side="sell",
        intent_kind="exit",
        reason="",
        base_units=100,
        price_units=100,
        fee_units=0,
        traded_at=desk.market_at,
        trade_id=1,
    )
    exact = BookExact(
        book_id=bot.book_id, allocation_units=0, free_units=0, locked_units=0, gained_units=0, last_fill_id=7, fills=(fill,)
    )
    leaving = handover.begin(None, active=frozenset({bot.book_id}), incoming=frozenset(), policy=policy, at=desk.market_at)

    (during,) = step_all([due], {bot.book_id: exact}, desk.market, lambda _: leaving)
    (after,) = step_all([due], {bot.book_id: exact}, desk.market, lambda _: None)

    assert [answer.state.last_fill_id for answer in (during, after) if isinstance(answer, Stepped)] == [told, 7]


def test_a_claim_is_won_once(desk: Desk) -> None:
    (bot,) = started(desk, ("FIRST", "BTC/USDT"))
    claim = writers.Claim(bot.pk, bot.bar_closed_at, desk.market_at + FIVE_MINUTES)

    assert writers.claim_bars([claim]) == {bot.pk}
    assert writers.claim_bars([claim]) == set()


def test_equity_is_drawn_once_for_each_candle(desk: Desk) -> None:
    started(desk, ("FIRST", "BTC/USDT"))
    for close in (100.0, 100.1):
        desk.close_bars([close])
        jobs.advance_account(account_id=desk.account.pk, clock=clock)
        jobs.advance_account(account_id=desk.account.pk, clock=clock)

    points = EquityPoint.objects.filter(book=None).order_by("market_at")
    assert [str(point.equity.normalize()) for point in points] == ["9882.31", "9882.31"]
    assert EquityPoint.objects.exclude(book=None).count() == 2


def test_the_sweep_finds_what_no_doorbell_rang_for(desk: Desk) -> None:
    started(desk, ("FIRST", "BTC/USDT"))
    desk.close_bars([100.0])

    assert jobs.sweep(clock=clock, wait=lambda: None) == [desk.account.pk]
    assert jobs.sweep(clock=clock, wait=lambda: None) == []


def test_the_sweep_leaves_alone_what_somebody_is_at_already(desk: Desk) -> None:
    started(desk, ("FIRST", "BTC/USDT"))
    desk.close_bars([100.0])

    def another_worker() -> None:
        assert jobs.advance_account(account_id=desk.account.pk, clock=clock).bots_stepped == 1
        desk.close_bars([100.1])

    assert jobs.sweep(clock=clock, wait=another_worker) == []


def test_a_disabled_account_is_left_alone(desk: Desk) -> None:
    started(desk, ("FIRST", "BTC/USDT"))
    desk.close_bars([100.0])
    Account.objects.filter(pk=desk.account.pk).update(is_enabled=False)

    assert jobs.advance_account(account_id=desk.account.pk, clock=clock) == jobs.Advance()
