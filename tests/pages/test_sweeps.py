"""The pages of sweeps: what to do without any, and the trial count beside what was found."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from django.test import Client

from backtests import jobs, services
from backtests.models import Sweep
from tests.backtests.test_backtest_command import folder
from tests.backtests.test_sweeps import make_spec

__all__ = ["folder"]
NOW = datetime(2024, 6, 1, tzinfo=UTC)


@pytest.fixture
def sweep(db: None, folder: Path) -> Sweep:
    return services.record_sweep(spec=make_spec(folder), by=None, now=NOW)


def test_without_sweeps_the_page_says_how_to_make_one(browser: Client) -> None:
    page = browser.get("/sweeps/").content.decode()

    assert "No sweep yet" in page
    assert "manage.py sweep run" in page
    assert "bollinger_reversal" in page


def test_a_sweep_that_has_not_begun_can_be_cancelled(browser: Client, sweep: Sweep) -> None:
    page = browser.get(f"/sweeps/{sweep.pk}/").content.decode()

    assert "0 of 220 trials" in page
    assert f"/api/v1/sweeps/{sweep.pk}/cancel" in page
    assert "No trial is finished yet" in page


def test_what_was_found_is_shown_beside_the_number_of_trials(browser: Client, sweep: Sweep) -> None:
    while jobs.run_sweep_chunk(sweep_id=sweep.pk, clock=lambda: NOW):
        pass

    page = browser.get(f"/sweeps/{sweep.pk}/").content.decode()

    assert "162 trials were made to find these" in page
    assert "not a promise" in page
    assert 'id="sweep-map"' in page
    # Ten days are too few for a Sharpe ratio: nothing is made up.
    assert "it takes 30 days" in page
    assert "hx-trigger" not in page.split('id="sweep-progress"')[1].split(">")[0]
    assert f"/sweeps/{sweep.pk}/" in browser.get("/sweeps/").content.decode()


def test_there_is_no_page_for_a_sweep_that_never_was(browser: Client) -> None:
    assert browser.get("/sweeps/4711/").status_code == 404
