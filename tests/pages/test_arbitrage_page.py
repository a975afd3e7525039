"""The page of arbitrage: what to do without a pair, both sides and what they traded, and the pages of their bots."""

from __future__ import annotations

import re

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from bots import services
from bots.gates import checklists
from bots.models import Bot
from portfolio.models import Account, Heartbeat, Lease
from tests.bots.conftest import NOW, open_desk
from tests.bots.pair_of_bots import APART, LEVEL, Two, two
from tests.portfolio.world import World

__all__ = ["two"]


def page(browser: Client, path: str = "/arbitrage/") -> str:
    answer = browser.get(path)
    assert answer.status_code == 200, path
    return re.sub(r"\s+", " ", answer.content.decode())


def trade(two: Two, near: list[float], far: list[float]) -> None:
    two.close(near, far)
    two.fill({two.near.account.pk: str(near[0]), two.far.account.pk: str(far[0])})


def test_without_an_account_the_page_says_how_to_get_one(browser: Client) -> None:
    assert "No account yet" in page(browser)


def test_with_accounts_on_one_market_a_second_exchange_is_asked_for(browser: Client, world: World) -> None:
    text = page(browser)
    assert "A second exchange's account is needed" in text
    assert "--second" in text
    assert "pair-form" not in text


@pytest.mark.parametrize("changes", [{"quote_asset": "USDC"}, {"is_enabled": False}])
def test_accounts_between_which_no_pair_can_be_made_are_not_offered(
    browser: Client, two: Two, changes: dict[str, object]
) -> None:
    Account.objects.filter(pk=two.far.account.pk).update(**changes)
    open_desk(name="play", epoch="play", deploy="p1", mode="testnet")
    assert "pair-form" not in page(browser)


def test_two_accounts_without_a_pair_are_offered_the_form(browser: Client, two: Two) -> None:
    text = page(browser)
    assert "Make a pair of bots" in text
    for name in ("share", "profit_least", "trade_part"):
        assert f'data-param="{name}"' in text
    for desk in two.sides:
        assert f'<option value="{desk.account.pk}" selected>' in text
    assert "no promise" in text


def test_both_sides_stand_beside_each_other_with_what_they_traded(browser: Client, two: Two) -> None:
    two.started()
    two.stock()
    trade(two, LEVEL, APART)
    trade(two, APART, LEVEL)

    for path in ("/arbitrage/", "/parts/pairs/"):
        text = page(browser, path)
        assert text.count('class="synthetic">Test market') >= 2
        assert "decides for both" in text
        assert text.count('<span class="chip good">both legs</span>') == 2
        assert "Buy on demo, sell on far" in text
        assert "+0.130 %" in text, "what is needed"
        assert 'data-command="/api/v1/bots/' in text
    leader = Bot.objects.get(leader=None)
    assert f'<script id="pair-rows-{leader.pk}" type="application/json">' in text
    assert "No pair yet" not in text


def test_a_pair_without_shares_says_where_to_give_them(browser: Client, two: Two) -> None:
    services.create_pair(planned=two.planned(), by=None, now=NOW)
    text = page(browser)

    assert "Without a share there is no money to trade with" in text
    for desk in two.sides:
        assert f"/allocation/?account={desk.account.pk}" in text
    assert "No pair yet" in text


def test_the_page_takes_as_many_statements_however_many_pairs_were_traded(browser: Client, two: Two) -> None:
    def count() -> int:
        with CaptureQueriesContext(connection) as seen:
            page(browser, "/parts/pairs/")
        return len(seen)

    two.started()
    two.stock()
    trade(two, LEVEL, APART)
    once = count()
    trade(two, APART, LEVEL)
    trade(two, LEVEL, APART)
    assert count() == once


def test_the_page_of_a_side_leads_to_the_other_one(browser: Client, two: Two) -> None:
    leader, follower = two.started()
    assert f'it decides for <a href="/bots/{follower.pk}/">Arbitrage on far</a>' in page(browser, f"/bots/{leader.pk}/")
    assert f'<a href="/bots/{leader.pk}/">Arbitrage on demo</a> decides for it' in page(browser, f"/bots/{follower.pk}/")
    alone = two.near.bot("ALONE")
    assert "One side of a pair" not in page(browser, f"/bots/{alone.pk}/")


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({}, ""),
        ({"is_enabled": False}, "ACCOUNT_DISABLED"),
        ({"is_killed": True, "killed_reason": "x"}, "KILL_ACTIVE"),
        ({"state": "entries_halted", "state_reason": "RECONCILE_RESIDUAL"}, "RECONCILE_RESIDUAL"),
    ],
)
def test_a_gate_says_whether_the_other_side_could_send_its_leg(two: Two, changes: dict[str, object], code: str) -> None:
    leader, _ = two.started()
    alone = two.near.bot("ALONE")
    now = timezone.now()
    Heartbeat.objects.create(process=f"trader {two.far.account.pk}", beat_at=now)
    Lease.objects.update(expires_at=now.replace(year=2100))
    Account.objects.filter(pk=two.far.account.pk).update(**changes)
    gates = {one.bot.pk: {gate.name: gate for gate in one.gates} for one in checklists(two.near.account.pk, now=now)}

    gate = gates[leader.pk]["other side"]
    assert (gate.is_open, gate.code, gate.facts["account"]) == (not code, code, "far")
    assert gate.remedy.startswith("On far: ") == bool(code)
    assert "other side" not in gates[alone.pk]


def test_a_gate_says_that_the_other_sides_trader_is_away(two: Two) -> None:
    two.started()
    now = timezone.now()
    Lease.objects.update(expires_at=now)

    def code() -> str:
        (mine,) = checklists(two.near.account.pk, now=now)
        return next(gate.code for gate in mine.gates if gate.name == "other side")

    assert code() == "TRADER_AWAY"
    # It shows signs of life, and has lost the right to send.
    Heartbeat.objects.create(process=f"trader {two.far.account.pk}", beat_at=now)
    assert code() == "PAIR_TRADER_AWAY"
