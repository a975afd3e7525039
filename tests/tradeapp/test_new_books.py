"""Books of an exchange that began anew: closed as they were, followed by new ones, nothing reconciled across the two."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from cryptography.fernet import Fernet
from django.db import connections

from bots.lineups import load
from bots.models import Bot
from bots.services.creating import create_lineup
from bots.services.modes import Wish, switch_mode
from bots.services.operating import start_bot
from bots.services.shares import set_shares
from exchange.ports import KeyPermissions
from portfolio import services
from portfolio.jobs import verify
from portfolio.models import (
    Account,
    AuditEntry,
    Book,
    Credential,
    HistoryCursor,
    LedgerAccount,
    Order,
    Reconciliation,
)
from portfolio.selectors.gates import account_gates, state_remedy
from portfolio.selectors.modes import active_books
from portfolio.selectors.risk import limits_in_force
from portfolio.services.credentials import store_credential
from portfolio.services.resets import EXCHANGE_RESET
from portfolio.trader import keys, records
from tests.portfolio.trader.lagging import LaggingPort
from tests.portfolio.world import MARKET_AT, NOW, World, build
from tradeapp.backups import new_books
from tradeapp.backups.earlier_lives import UnableToReopen
from trading.orders import raise_deploy

D = Decimal
RIGHTS = KeyPermissions(can_read=True, can_trade=True, can_withdraw=False, can_transfer=False, is_ip_restricted=True)


def later() -> datetime:
    """Return a time at which the trades of the world are too old to be merely invisible."""
    return NOW + timedelta(hours=1)


@pytest.fixture
def world(transactional_db: None, monkeypatch: pytest.MonkeyPatch, settings: Any, tmp_path: Path) -> Iterator[World]:
    """Have a bot's coin, its stop, a resting bid, five bots in single mode and a limit of the operator's."""
    settings.MASTER_KEY_FILE = tmp_path / "master.key"
    settings.MASTER_KEY_FILE.write_text(Fernet.generate_key().decode())
    made = build(percent="10")
    bots = create_lineup(account_id=made.account_id, plan=load(), by=None, now=NOW)
    set_shares(account_id=made.account_id, percents={bot.pk: D(8) for bot in bots}, by=None, now=NOW, market_at=MARKET_AT)
    for bot in bots[:2]:
        start_bot(bot_id=bot.pk, by=None, now=NOW, market_at=MARKET_AT)
    made.decide(made.propose("enter", lots=180, limit_price=D("50505"), stop_price=D("49000")))
    made.fill(made.send(made.order(kind="enter")), "0.0018", "50000", fee="0.0000018", fee_asset="BTC")
    made.send(made.order(kind="stop"))
    made.decide(made.propose("place", 1, side="buy", lots=100, limit_price=D("45000")))
    made.send(made.order(kind="place", book=1))
    limits = {"order_value_max": D(777)}
    services.set_limits(account_id=made.account_id, changes=limits, reason="mine", may_raise=True, by=None, now=NOW)
    store_credential(account=Account.objects.get(id=made.account_id), key="key-1234", secret="words", now=NOW, rights=RIGHTS)
    monkeypatch.setattr(keys, "open_port", lambda *_words: LaggingPort(made))
    yield made
    # What was read beside the event loop has a connection of its own.
    asyncio.run(sync_to_async(connections.close_all)())


def forget(world: World) -> None:
    """Have the exchange begin anew."""
    world.exchange.trades.clear()
    world.exchange.orders.clear()
    world.exchange.free.clear()
    world.exchange.locked.clear()
    world.exchange.free |= {"USDT": D(5000), "BTC": D("0.01")}


def reopen(world: World) -> new_books.NewBooks:
    """Close and open as the command does."""
    Account.objects.filter(id=world.account_id).update(state="halted", state_reason=EXCHANGE_RESET)
    return new_books.open_new_books(account_id=world.account_id, reason="monthly", clock=later)


@pytest.mark.fault("E45")
def test_both_ledgers_are_exact_and_nothing_is_left_over(world: World) -> None:
    """I-02, I-03, I-08, I-10: what was is kept as it was, what is begins with what the exchange holds."""
    before = records.ledger_totals(world.account_id)
    forget(world)
    done = reopen(world)

    assert (done.residuals, done.balances) == ({}, {"BTC": "0.01", "USDT": "5000"})
    closed, account = Account.objects.get(id=world.account_id), Account.objects.get(name="demo")
    assert (closed.name, closed.is_enabled, closed.state_reason) == ("demo until 2026-01-05", False, "BOOKS_CLOSED")
    assert records.ledger_totals(closed.pk) == before
    assert not LedgerAccount.objects.filter(account=closed, kind="reserved").exclude(balance=0).exists()
    assert set(Order.objects.filter(account=closed).values_list("status", flat=True)) == {"filled", "canceled"}
    assert (verify.verify(closed.pk), verify.verify(account.pk)) == ([], [])
    assert not LedgerAccount.objects.filter(kind="suspense").exclude(balance=0).exists()
    assert list(Reconciliation.objects.values_list("account", "cause", "outcome")) == [(account.pk, "reopen", "exact")]
    assert set(AuditEntry.objects.values_list("action", flat=True)) >= {"account.close", "account.follow", "credential.move"}
    assert account_gates(closed, now=NOW)[0].remedy.startswith("Its exchange was reset")


@pytest.mark.fault("E45")
def test_bots_shares_limits_keys_and_a_kill_come_along(world: World) -> None:
    services.kill(world.account_id, by=None, reason="a storm", now=NOW)
    forget(world)
    done = reopen(world)

    account = Account.objects.get(name="demo")
    assert (account.is_killed, account.killed_reason) == (True, "a storm")
    assert account.deploy == done.deploy == raise_deploy("t1")
    bots = list(Bot.objects.filter(book__account=account).order_by("rank"))
    assert [bot.status for bot in bots] == ["running"] * 2 + ["stopped"] * 3
    assert not Bot.objects.filter(book__account=world.account_id, status="running").exists()
    # 8 % of 5,000 USDT and 500 in BTC.
    assert set(Book.objects.filter(account=account).values_list("base_equity", flat=True)) == {D(440)}
    limits, _ = limits_in_force(account.pk)
    assert limits is not None
    assert limits.order_value_max == 777
    assert list(Credential.objects.values_list("account", flat=True)) == [account.pk]
    assert keys.account_and_key(account.pk)[1:] == ("key-1234", "words")


@pytest.mark.fault("E45")
def test_who_trades_alone_trades_alone_in_the_new_books_too(world: World) -> None:
    """I-33."""
    chosen = Bot.objects.filter(book__account=world.account_id, status="running").latest("rank")
    switch_mode(
        account_id=world.account_id, wish=Wish(mode="single", bot=chosen.key), by=None, now=NOW, market_at=world.market_at
    )
    forget(world)
    reopen(world)
    account = Account.objects.get(name="demo")
    assert account.allocation_mode == "single"
    assert [Book.objects.get(pk=book).bot.key for book in active_books(account)] == [chosen.key]


@pytest.mark.fault("E45")
def test_trades_of_after_the_reset_are_in_the_balances_already(world: World) -> None:
    """I-20, I-23: a person traded before the books were opened; the new cursor stands behind it."""
    forget(world)
    Account.objects.filter(id=world.account_id).update(state="active", state_reason="")
    world.decide(world.propose("enter", 2, lots=100, limit_price=D("50505")))
    order = world.order(kind="enter", book=2)
    world.exchange.accept(order)
    trade = world.exchange.fill(order.client_order_id, quantity=D("0.001"), price=D(50000), fee=D(0), fee_asset="USDT")
    done = reopen(world)
    assert done.is_open
    cursor = HistoryCursor.objects.get(account=done.account)
    assert (cursor.symbol, cursor.trade_id) == ("BTCUSDT", trade.trade_id)


@pytest.mark.fault("E45")
def test_books_are_not_closed_while_the_exchange_knows_their_trades(world: World) -> None:
    with pytest.raises(UnableToReopen) as refused:
        reopen(world)
    assert refused.value.code == "NOT_RESET"
    assert "resume" in str(refused.value)
    account = Account.objects.get(id=world.account_id)
    assert "manage.py reopen --account 'demo' --confirm 'demo'" in state_remedy(account)
    services.resume_trading(account.pk, by=None, reason="it knows them", now=NOW)
    with pytest.raises(UnableToReopen) as refused:
        new_books.open_new_books(account_id=account.pk, reason="again", clock=later)
    assert refused.value.code == "NOT_RESET"


@pytest.mark.fault("E44", "E45")
def test_books_are_not_opened_beside_another_installation(world: World) -> None:
    forget(world)
    world.decide(world.propose("place", 2, side="buy", lots=100, limit_price=D("45000")))
    world.exchange.accept(world.order(kind="place", book=2))
    with pytest.raises(UnableToReopen) as refused:
        reopen(world)
    assert refused.value.code == "SECOND_INSTANCE"
    assert Account.objects.get().name == "demo"
