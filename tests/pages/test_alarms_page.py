"""The page of alarms, their number in the health bar, and the reconcile page that names asset and interval."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import transaction
from django.test import Client

from bots.models import Bot
from portfolio.jobs import reconcile
from portfolio.models import Account, Alarm, LedgerAccount
from portfolio.services.alarms import acknowledge_alarm
from portfolio.writers import accounts
from tests.portfolio.world import NOW


def halt(bots: list[Bot]) -> Alarm:
    with transaction.atomic():
        account = accounts.lock(bots[0].book.account_id)
        accounts.halt_entries(account, "LEDGER_BROKEN", now=NOW)
    return Alarm.objects.get()


def figure(browser: Client) -> str:
    """Return the number of alarms as the health bar of a page shows it."""
    text = browser.get("/risk/").content.decode()
    return text[text.index('data-figure="health.alarms"') :][:200]


@pytest.mark.fault("O13")
def test_the_shell_of_every_page_counts_what_waits_for_somebody(browser: Client, bots: list[Bot]) -> None:
    assert "none" in figure(browser)
    assert "Nothing waits for you" in browser.get("/alarms/").content.decode()
    alarm = halt(bots)
    assert ">1<" in figure(browser)
    text = browser.get("/alarms/").content.decode()
    assert f"/api/v1/alarms/{alarm.pk}/acknowledge" in text
    assert "Ledger broken" in text

    acknowledge_alarm(alarm_id=alarm.pk, by=None, reason="a <b>disk</b>", now=NOW)
    assert "Nothing waits for you" in browser.get("/parts/alarms/").content.decode()
    everything = browser.get("/parts/alarms/?all=1&cursor=9999999").content.decode()
    assert "a &lt;b&gt;disk&lt;/b&gt;" in everything
    assert "data-command" not in everything


def test_an_empty_installation_has_an_empty_page(browser: Client) -> None:
    assert "Nothing waits for you" in browser.get("/alarms/").content.decode()
    assert "There was never an alarm" in browser.get("/alarms/?all=1").content.decode()


@pytest.mark.fault("E42")
def test_the_reconcile_page_names_asset_and_interval_of_a_difference(browser: Client, bots: list[Bot]) -> None:
    """One unit of one asset, and between which two looks it came (I-03)."""
    account = Account.objects.get(id=bots[0].book.account_id)
    pockets = LedgerAccount.objects.filter(account=account).exclude(kind__startswith="external")
    totals: dict[str, Decimal] = {}
    for pocket in pockets:
        totals[pocket.asset] = totals.get(pocket.asset, Decimal(0)) + pocket.balance
    compare: dict[str, Any] = {"account_id": account.pk, "cause": "test", "market_at": None, "duration_ms": 1}
    reconcile.compare(totals=totals, now=NOW, **compare)
    reconcile.compare(totals=totals | {"ETH": Decimal("0.00000001")}, now=NOW + timedelta(seconds=30), **compare)
    text = browser.get("/parts/reconciliations/").content.decode()
    assert "0.00000001" in text
    assert f"last agreed at {NOW:%Y-%m-%d %H:%M:%S}" in text
    assert f"found at {NOW + timedelta(seconds=30):%Y-%m-%d %H:%M:%S}" in text
    assert "Reconcile residual" in text
