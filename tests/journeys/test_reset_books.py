"""An exchange begins anew: the trader halts, a person closes the books and opens new ones, and both are exact."""

from __future__ import annotations

import asyncio
import io
import json
from datetime import timedelta
from decimal import Decimal

import pytest
from asgiref.sync import sync_to_async
from django.core.management import CommandError, call_command
from django.db import connection, connections
from django.utils import timezone

from bots.lineups import load
from bots.models import Bot
from bots.services.creating import create_lineup
from bots.services.shares import set_shares
from portfolio import services
from portfolio.jobs import verify
from portfolio.models import Account, AuditEntry, Book, Credential, Fill, LedgerAccount, Order, Reconciliation
from portfolio.selectors.gates import state_remedy
from portfolio.selectors.risk import limits_in_force
from portfolio.trader import records
from tests.portfolio.trader.desk import Desk

D = Decimal
# The rules behind it are tested without processes in tests/tradeapp/test_new_books.py.
pytestmark = [pytest.mark.timeout(300), pytest.mark.nightly]
FRESH = {"USDT": "5000", "BTC": "1"}


def reset_exchange(desk: Desk) -> None:
    """Replace every order and balance, as a testnet does once a month."""
    rule = {"id": "E45", "action": "testnet_reset", "with": {"balances": FRESH}}
    desk.stack.control("/control/faults", {"rules": [rule]})


def let_an_hour_pass(desk: Desk) -> None:
    """Have the trades be older than what may be merely invisible; posted fills are append-only, so nothing else can."""
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE portfolio_fill DISABLE TRIGGER USER")
        Fill.objects.filter(account=desk.account_id).update(posted_at=timezone.now() - timedelta(hours=1))
        cursor.execute("ALTER TABLE portfolio_fill ENABLE TRIGGER USER")


def reopen() -> str:
    """Run the command and answer what it printed."""
    printed = io.StringIO()
    try:
        call_command("reopen", account="desk", confirm="desk", json=True, stdout=printed)
    finally:
        # What was read beside the event loop has a connection of its own.
        asyncio.run(sync_to_async(connections.close_all)())
    return printed.getvalue()


def refuse_while_the_exchange_knows_the_trades(desk: Desk) -> None:
    """A halt that was wrong ends by `resume`; books that the exchange knows are never closed."""
    Account.objects.filter(id=desk.account_id).update(state="halted", state_reason="EXCHANGE_RESET")
    with pytest.raises(CommandError, match="NOT_RESET"):
        reopen()
    services.resume_trading(desk.account_id, by=None, reason="it knows them", now=timezone.now())
    assert desk.account().state == "active"


def line_up(desk: Desk) -> None:
    """Give the account bots, shares and a limit of its operator's own."""
    now = timezone.now()
    bots = create_lineup(account_id=desk.account_id, plan=load(), by=None, now=now)
    set_shares(account_id=desk.account_id, percents={bot.pk: D(5) for bot in bots}, by=None, now=now, market_at=desk.market_at())
    services.set_limits(
        account_id=desk.account_id, changes={"order_value_max": D(777)}, reason="mine", may_raise=True, by=None, now=now
    )


@pytest.mark.fault("E45")
def test_forgotten_books_are_closed_and_new_ones_opened_with_nothing_left_over(desk: Desk) -> None:
    line_up(desk)
    desk.start_trader()
    desk.enter()
    desk.place(book=1)
    desk.wait_until_quiet()
    desk.stop_trader()
    before = records.ledger_totals(desk.account_id)
    let_an_hour_pass(desk)
    refuse_while_the_exchange_knows_the_trades(desk)
    reset_exchange(desk)

    desk.start_trader(wait=False)
    assert desk.stack.processes[desk.trader].wait(60) != 0
    old = desk.account()
    assert (old.state, old.state_reason) == ("halted", "EXCHANGE_RESET")
    assert "manage.py reopen --account 'desk' --confirm 'desk'" in state_remedy(old)
    assert "manage.py reopen" in desk.stack.log(desk.trader).read_text()

    done = json.loads(reopen())
    assert (done["residuals"], done["balances"]) == ({}, {"BTC": "1", "USDT": "5000"})

    closed, account = desk.account(), Account.objects.get(name="desk")
    assert (closed.is_enabled, closed.state_reason, closed.name) == (False, "BOOKS_CLOSED", done["closed"])
    # The old books stay as they were, but for what was reserved for orders that nobody knows any more.
    assert records.ledger_totals(closed.pk) == before
    assert not LedgerAccount.objects.filter(account=closed, kind="reserved").exclude(balance=0).exists()
    assert set(Order.objects.filter(account=closed, status="open")) == set()
    assert verify.verify(closed.pk) == []
    assert not LedgerAccount.objects.filter(kind="suspense").exists()
    actions = set(AuditEntry.objects.values_list("action", flat=True))
    assert {"account.close", "account.follow", "credential.move"} <= actions

    # The same bots with their shares, the operator's limits, the one key, and a later name at the exchange.
    assert account.deploy == done["deploy"] != closed.deploy
    names = [
        list(Bot.objects.filter(book__account=row).order_by("rank").values_list("key", flat=True)) for row in (closed, account)
    ]
    assert names[0] == names[1] != []
    assert Book.objects.get(account=account, name=done["bots"][0]).base_equity > 0
    limits, _ = limits_in_force(account.pk)
    assert limits is not None
    assert limits.order_value_max == 777
    assert list(Credential.objects.values_list("account", flat=True)) == [account.pk]
    _trades_on(desk, account)


def _trades_on(desk: Desk, account: Account) -> None:
    """The trader of the new books recovers, trades, and agrees with the exchange to the last unit."""
    desk.account_id, desk.books = account.pk, list(Book.objects.filter(account=account).order_by("number"))
    desk.start_trader()
    desk.enter(quote="100")
    desk.wait_until_quiet()
    desk.check_books()
    assert Fill.objects.filter(account=account).count() >= 1
    assert not Reconciliation.objects.filter(account=account).exclude(outcome="exact").exists()
    with pytest.raises(CommandError, match="nothing to reopen"):
        reopen()
