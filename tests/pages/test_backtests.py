"""The pages of backtests: what to do without any, and the report of one."""

from __future__ import annotations

from django.test import Client

from backtests import services
from backtests.models import BacktestReport, BacktestRun
from marketdata.models import Instrument, Market
from tests.backtests.test_backtest_command import NOW, folder, instrument, make_spec
from tests.backtests.test_reports import run

__all__ = ["folder", "instrument", "run"]


def test_without_backtests_the_page_says_how_to_make_one(browser: Client) -> None:
    page = browser.get("/backtests/").content.decode()

    assert "No backtest yet" in page
    assert "manage.py backtest run" in page
    assert "mean_reversion" in page


def test_a_report_shows_figures_beside_intervals_and_what_they_rest_on(browser: Client, run: BacktestRun) -> None:
    page = browser.get(f"/backtests/{run.pk}/").content.decode()

    for words in (
        "Deepest falls",
        "Beside holding",
        "Best trades",
        "Under these conditions",
        "break-even",
        "it takes 30",
        "In R",
        "Orders filled",
    ):
        assert words in page, words
    assert run.fingerprint[:12] in page
    assert "1 backtests and 0 trials" in page
    assert "no promise" in page
    assert f"/api/v1/backtests/{run.pk}/file" in page
    assert 'id="report-data"' in page
    assert "Synthetic prices" not in page
    assert f"/backtests/{run.pk}/" in browser.get("/backtests/").content.decode()


def test_prices_that_were_made_up_are_called_so(browser: Client, run: BacktestRun) -> None:
    Market.objects.update(is_synthetic=True)
    assert "Synthetic prices" not in browser.get(f"/backtests/{run.pk}/").content.decode()

    BacktestRun.objects.update(folder="")

    assert "Synthetic prices" in browser.get(f"/backtests/{run.pk}/").content.decode()


def test_a_page_without_a_report_says_what_comes_next(browser: Client, folder: object, instrument: Instrument) -> None:
    asked = services.record_backtest(spec=make_spec(folder), by=None, now=NOW)  # type: ignore[arg-type]
    address = f"/backtests/{asked.pk}/"

    assert "hx-trigger" in browser.get(address).content.decode().split('id="backtest-body"')[1]
    BacktestRun.objects.update(state="running", bars=2000, bars_done=500, started_at=NOW)
    page = browser.get(address).content.decode()
    assert "500 of 2000 candles" in page
    assert f"/api/v1/backtests/{asked.pk}/cancel" in page
    BacktestRun.objects.update(state="cancelled")
    assert "It was cancelled" in browser.get(address).content.decode()
    BacktestRun.objects.update(state="failed", error="No 5m candles")
    assert "No 5m candles" in browser.get(address).content.decode()
    BacktestRun.objects.update(state="done", error="")
    page = browser.get(address).content.decode()
    assert "before reports were kept" in page
    assert "hx-trigger" not in page.split('id="backtest-body"')[1]
    assert not BacktestReport.objects.exists()
    assert browser.get("/backtests/4711/").status_code == 404
