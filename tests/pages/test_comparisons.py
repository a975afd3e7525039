"""The pages of comparisons: what to do without any, and every plan beside buying and holding."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.test import Client

from backtests import jobs, services
from backtests.comparison_spec import PlanAsked
from backtests.models import PlanComparison
from marketdata.models import Instrument
from tests.backtests.documents import carried
from tests.backtests.test_account_command import folder
from tests.backtests.test_backtest_command import instrument
from tests.backtests.test_comparisons import NOW, comparison, content, make_spec

__all__ = ["comparison", "folder", "instrument"]


def test_without_comparisons_the_page_says_how_to_make_one(browser: Client) -> None:
    page = browser.get("/comparisons/").content.decode()

    assert "No comparison yet" in page
    assert "manage.py backtest account" in page
    assert "line-up A" in page
    # What an account of sub-accounts would do is not simulated, so it is not offered.
    assert "<option>rotation</option>" in page
    assert "subaccounts</option>" not in page


def test_a_comparison_that_has_not_begun_can_be_cancelled(browser: Client, comparison: PlanComparison) -> None:
    page = browser.get(f"/comparisons/{comparison.pk}/").content.decode()

    assert "0 of 3456 candles" in page
    assert f"/api/v1/simulations/{comparison.pk}/cancel" in page
    assert "No plan is done yet" in page
    assert "not read yet" in page


@pytest.mark.usefixtures("folder")
def test_plans_stand_beside_buying_and_holding(browser: Client, comparison: PlanComparison, tmp_path: Path) -> None:
    file = f"/api/v1/simulations/{comparison.pk}/file"
    assert browser.get(file).status_code == 404
    jobs.run_comparison_plan(comparison_id=comparison.pk, clock=lambda: NOW)
    half = browser.get(f"/comparisons/{comparison.pk}/").content.decode()
    jobs.run_comparison_plan(comparison_id=comparison.pk, clock=lambda: NOW)
    page = browser.get(f"/comparisons/{comparison.pk}/").content.decode()

    assert "1 of 2 plans" in half
    assert "hx-trigger" in half.split('id="comparison-progress"')[1].split(">")[0]
    assert "hx-trigger" not in page.split('id="comparison-progress"')[1].split(">")[0]
    assert 'id="comparison-plot"' in page
    assert "Buy and hold ETH/USDT" in page
    assert "2 plans were tried" in page
    assert "not a promise" in page
    assert f"/comparisons/{comparison.pk}/" in browser.get("/comparisons/").content.decode()

    assert f'href="{file}" download' in page
    answer = browser.get(file)
    assert answer["Content-Disposition"] == f'attachment; filename="comparison-{comparison.pk}.html"'
    text = answer.content.decode()
    assert [item["name"] for item in carried(text, "comparison-data")] == [
        "plan, percentage",
        "plan, single",
        "Buy and hold ETH/USDT",
    ]
    # The same words as on the page: what it was asked with, every figure, and what each plan said.
    for words in (
        conditions(page),
        "Side by side",
        "Mean in R",
        "SQN",
        "Orders filled",
        "by quantity",
        "Buy and hold ETH/USDT",
        "&quot;position_cap_percent&quot;",
        "Written 2",
    ):
        assert words in text


def conditions(page: str) -> str:
    """Return the line below the title."""
    return page.split("<h1>Comparison")[1].split('<p class="under">')[1].split("</p>", maxsplit=1)[0]


def test_there_is_no_page_for_a_comparison_that_never_was(browser: Client) -> None:
    assert browser.get("/comparisons/4711/").status_code == 404


def test_money_in_and_out_is_told_apart_from_returns(browser: Client, folder: Path, instrument: Instrument) -> None:
    flows = [{"at": "2024-01-09T00:00:00Z", "amount": "-1000"}, {"at": "2024-01-10T00:00:00Z", "amount": "-99999"}]
    asked = make_spec(folder, PlanAsked(content=content(folder, flows=flows)))
    found = services.record_comparison(spec=asked, by=None, now=NOW)
    jobs.run_comparison_plan(comparison_id=found.pk, clock=lambda: NOW)
    page = browser.get(f"/comparisons/{found.pk}/").content.decode()

    shown = page.split("Money in and out")[1].split("Refused, by reason")[0]
    assert '<td class="n" data-name="Paid out">1,000.00</td>' in shown
    assert "99,999.00 at 2024-01-10 00:00: <code>CAPITAL_INSUFFICIENT</code>" in shown
    assert "Buy and hold ETH/USDT, flows of plan, percentage" in page
