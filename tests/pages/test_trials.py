"""The pages of trials: what to do without any, what is in the way, and a plain word where nothing can be told."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from django.test import Client

from bots.models import Bot
from tests.portfolio.world import NOW
from trials.models import Trial
from trials.services import request_trial
from trials.spec import SimulatedTrial

# Two trades, one with a stop, and four orders.
MEASURED = {
    "trips": [[0, 1, "100", "5", "EXIT", "10"], [2, 3, "100", "1", "EXIT", None]],
    "orders": [["BTC/USDT", "ENTRY", 4, 3, "10", "8"], ["BTC/USDT", "STOP", 9, 0, "9", "0"]],
    "prices": {"BTC/USDT": "50000"},
    "exposure": 0.5,
    "regime": "up",
}
BEGIN = datetime(2024, 1, 1, tzinfo=UTC)


def ask(bots: list[Bot]) -> Trial:
    spec = SimulatedTrial(bots=(bots[0].key, bots[1].key), hours=24, begin_at=BEGIN, end_at=BEGIN + timedelta(days=3))
    return request_trial(account_id=bots[0].book.account_id, spec=spec, by=None, now=NOW)


def test_without_trials_the_page_says_how_to_begin_and_what_is_in_the_way(browser: Client, bots: list[Bot]) -> None:
    page = browser.get("/trials/").content.decode()
    assert "No trial yet" in page
    assert "manage.py trial run" in page
    assert "MODE_BOT_NOT_ACTIVE" in page
    assert bots[0].name in page


def test_a_trial_that_waits_can_be_cancelled(browser: Client, bots: list[Bot]) -> None:
    trial = ask(bots)
    page = browser.get(f"/trials/{trial.pk}/").content.decode()
    assert "0 of 6 turns" in page
    assert f"/api/v1/trials/{trial.pk}/cancel" in page
    assert "No turn is finished yet" in page
    assert f"/trials/{trial.pk}/" in browser.get("/trials/").content.decode()


def test_a_thin_sample_is_called_one(browser: Client, bots: list[Bot]) -> None:
    trial = ask(bots)
    outcome = {
        "starting_equity": 1000.0,
        "times": [int(BEGIN.timestamp() * 1000) + 3_600_000],
        "equity": [1001.0],
        "deepest": 0.0,
    }
    trial.legs.filter(number=0).update(state="done", pnl=1, outcome=outcome | {"trips": [], "exposure": 0.5, "regime": "up"})
    Trial.objects.filter(pk=trial.pk).update(state=Trial.State.CANCELLED)
    page = browser.get(f"/trials/{trial.pk}/").content.decode()
    assert "This sample supports no choice" in page
    assert "Apply all the same" in page
    assert "older than this figure" in page, "such turns were stored before R was measured"
    trial.legs.filter(number=0).update(outcome=outcome | MEASURED)
    page = browser.get(f"/trials/{trial.pk}/").content.decode()
    assert "older than this figure" not in page
    assert "+0.50 R" in page
    assert "1 without a stop" in page
    assert "75.0 %" in page
    assert "80.0 % by quantity" in page
    assert "hx-trigger" not in page.split('id="trial-body"')[1].split(">")[0]


def test_there_is_no_page_for_a_trial_that_never_was(browser: Client, bots: list[Bot]) -> None:
    assert browser.get("/trials/4711/").status_code == 404
