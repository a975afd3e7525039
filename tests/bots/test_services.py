from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from bots import jobs, services
from bots.models import Bot
from bots.services import UnableToOperate
from bots.services.operating import HISTORY_BARS_MIN
from marketdata.models import Subscription
from portfolio.models import Account, AuditEntry, Book, Order
from strategies import registry
from tests.bots.conftest import FIVE_MINUTES, MARKET_START, NOW, Desk, clock, quiet
from tests.bots.test_advance import crash, started
from trading.instruments import UnknownSymbol


def test_a_new_bot_gets_a_book_a_share_and_its_candles(desk: Desk) -> None:
    bot = desk.bot("FIRST")

    bot.book.refresh_from_db()
    assert bot.book.base_equity == Decimal("1976.46")
    assert bot.book.position_cap_percent == 10
    assert bot.status == Bot.Status.RUNNING
    assert bot.strategy_hash == registry.definition("mean_reversion").source_hash
    assert Subscription.objects.get().history_bars >= HISTORY_BARS_MIN
    assert (bot.bar_closed_at, bot.started_at) == (MARKET_START, MARKET_START)
    warmup = registry.definition("mean_reversion").warmup_bars(registry.make_params("mean_reversion", interval="5m"))
    assert bot.anchor_at == MARKET_START - FIVE_MINUTES * warmup


@pytest.mark.fault("O12")
def test_creating_a_bot_twice_makes_one(desk: Desk) -> None:
    planned = desk.plan("FIRST")

    first = services.create_bot(account_id=desk.account.pk, planned=planned, by=None, now=NOW)
    again = services.create_bot(account_id=desk.account.pk, planned=planned, by=None, now=NOW)

    assert first.pk == again.pk
    assert Book.objects.count() == 1


@pytest.mark.fault("G06")
def test_a_bot_on_an_unknown_symbol_is_refused_and_leaves_nothing(desk: Desk) -> None:
    planned = desk.plan("FIRST", symbol="BTC/USTD")

    with pytest.raises(UnknownSymbol, match="Did you mean BTC/USDT"):
        services.create_bot(account_id=desk.account.pk, planned=planned, by=None, now=NOW)

    assert not Bot.objects.exists()
    assert not Book.objects.exists()


@pytest.mark.parametrize(
    ("strategy", "symbol", "code"),
    [
        ("arbitrage", "BTC/USDT,ETH/USDT", "STRATEGY_NEEDS_PAIR"),
        ("grid", "BTC/USDT,ETH/USDT", "SYMBOL_COUNT"),
        ("momentum", "BTC/USDT,BTC/USDT", "SYMBOL_TWICE"),
    ],
)
def test_a_strategy_that_cannot_trade_what_is_asked_is_refused_and_leaves_nothing(
    desk: Desk, strategy: str, symbol: str, code: str
) -> None:
    planned = desk.plan("FIRST", strategy=strategy, symbol=symbol)

    with pytest.raises(UnableToOperate) as refused:
        services.create_bot(account_id=desk.account.pk, planned=planned, by=None, now=NOW)

    assert refused.value.code == code
    assert not Bot.objects.exists()
    assert not Book.objects.exists()


def test_a_bot_with_a_wrong_parameter_is_refused(desk: Desk) -> None:
    planned = replace(desk.plan("FIRST"), params={"oversoled": 30})

    with pytest.raises(registry.BadParameter, match="oversold"):
        services.create_bot(account_id=desk.account.pk, planned=planned, by=None, now=NOW)


def test_a_bot_without_a_market_time_cannot_start(desk: Desk) -> None:
    bot = services.create_bot(account_id=desk.account.pk, planned=desk.plan("FIRST"), by=None, now=NOW)

    with pytest.raises(UnableToOperate, match="Is the feed running"):
        services.start_bot(bot_id=bot.pk, by=None, now=NOW)


@pytest.mark.parametrize("operation", [services.stop_bot, services.pause_bot])
def test_stopping_and_pausing_withdraw_entries_that_were_not_sent(desk: Desk, operation: object) -> None:
    (bot,) = started(desk, ("FIRST", "BTC/USDT"))
    crash(desk)
    assert Order.objects.get().status == Order.Status.READY

    operation(bot_id=bot.pk, by=None, now=NOW)  # type: ignore[operator]

    assert Order.objects.get().status == Order.Status.WITHDRAWN


def test_a_stopped_bot_is_not_stepped(desk: Desk) -> None:
    (bot,) = started(desk, ("FIRST", "BTC/USDT"))
    services.stop_bot(bot_id=bot.pk, by=None, now=NOW)
    desk.close_bars([100.0])

    assert jobs.advance_account(account_id=desk.account.pk, clock=clock).bots_stepped == 0


def test_every_operation_leaves_an_audit_entry_and_may_be_repeated(desk: Desk) -> None:
    (bot,) = started(desk, ("FIRST", "BTC/USDT"))
    desk.close_bars([100.0])
    before = AuditEntry.objects.latest("id").pk

    for operation in (services.pause_bot, services.resume_bot, services.stop_bot, services.start_bot):
        operation(bot_id=bot.pk, by=None, now=NOW, request_id="r-1")
        operation(bot_id=bot.pk, by=None, now=NOW, request_id="r-1")

    entries = AuditEntry.objects.filter(subject=f"bot:{bot.pk}", id__gt=before).order_by("id")
    assert [entry.action for entry in entries] == ["bot.pause", "bot.resume", "bot.stop", "bot.start"]
    assert {entry.request_id for entry in entries} == {"r-1"}
    assert [entry.after["status"] for entry in entries] == ["paused", "running", "stopped", "running"]


def test_only_a_running_bot_can_be_paused(desk: Desk) -> None:
    (bot,) = started(desk, ("FIRST", "BTC/USDT"))
    services.stop_bot(bot_id=bot.pk, by=None, now=NOW)

    with pytest.raises(UnableToOperate, match="only a running bot"):
        services.pause_bot(bot_id=bot.pk, by=None, now=NOW)
    with pytest.raises(UnableToOperate, match="start it instead"):
        services.resume_bot(bot_id=bot.pk, by=None, now=NOW)


def test_flattening_stops_the_bot(desk: Desk) -> None:
    (bot,) = started(desk, ("FIRST", "BTC/USDT"))
    desk.close_bars([100.0])

    services.flatten_bot(bot_id=bot.pk, by=None, now=NOW)

    bot.refresh_from_db()
    assert (bot.status, bot.status_reason) == (Bot.Status.STOPPED, "Flattened by the operator")


def test_shares_are_read_and_refused(desk: Desk) -> None:
    desk.bot("FIRST")
    desk.bot("SECOND")
    bots = list(Bot.objects.order_by("rank"))

    assert services.read_shares(["first=12.5", "SECOND=30%"], bots, {}) == {
        bots[0].pk: Decimal("12.5"),
        bots[1].pk: Decimal(30),
    }
    for words, why in (
        (["FIRST"], "Write BOT=PERCENT"),
        (["FIRST=1", "first=2"], "named twice"),
        (["THIRD=1"], "Unknown bot"),
        (["FIRST=60", "SECOND=50"], "past 100"),
    ):
        with pytest.raises(ValueError, match=why):
            services.read_shares(words, bots, {})


def test_a_share_takes_effect_on_the_book(desk: Desk) -> None:
    (bot,) = started(desk, ("FIRST", "BTC/USDT"))
    desk.history(quiet)

    services.set_shares(account_id=desk.account.pk, percents={bot.pk: Decimal(10)}, by=None, now=NOW)

    bot.book.refresh_from_db()
    assert bot.book.base_equity == Decimal("988.23")
    assert Account.objects.get().version > desk.account.version
