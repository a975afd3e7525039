"""An operator fetches candles from a mirror, watches, stops, goes on, and repairs a gap; switches a source on and off."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone
from playwright.sync_api import Browser, Page, Route, expect
from pytest_django.live_server_helper import LiveServer

from marketdata.history import catalog, jobs
from marketdata.models import HistoryJob, SourceState
from tests.history_fetcher.mirror import Mirror, drips, serving
from tests.history_fetcher.rows import rows_of
from tests.journeys.browser import administrator
from tests.waiting import wait_until

pytestmark = [pytest.mark.slow, pytest.mark.browser, pytest.mark.timeout(300)]
PATIENCE_MS = 60_000
MONTH = "data/spot/monthly/klines/BTCUSDT/1h/BTCUSDT-1h-2024-11.zip"


@pytest.fixture
def mirror() -> Iterator[Mirror]:
    with serving(Mirror()) as found:
        found.put_rows("BTCUSDT/1h", "2024-11", rows_of("2024-11"))
        found.put_rows("BTCUSDT/1h", "2024-12", rows_of("2024-12", without=frozenset({100, 101, 102})))
        yield found


@pytest.fixture
def root(tmp_path: Path, settings: Any) -> Path:
    settings.HISTORY_ROOT = tmp_path / "history"
    return tmp_path / "history"


@pytest.fixture
def worker(transactional_db: None, root: Path) -> Iterator[None]:
    """Do what waits, as a worker's sweep does."""
    stop = threading.Event()

    def work() -> None:
        while not stop.wait(0.05):
            for job_id in jobs.waiting(clock=timezone.now):
                jobs.run_history_job(job_id=job_id, root=root, clock=timezone.now)
        connection.close()

    thread = threading.Thread(target=work)
    thread.start()
    yield
    stop.set()
    thread.join()


@pytest.fixture
def page(worker: None, live_server: LiveServer, browser: Browser) -> Iterator[Page]:
    with administrator(browser, live_server) as found:
        found.set_default_timeout(PATIENCE_MS)
        yield found


def test_candles_are_fetched_stopped_fetched_on_and_repaired(page: Page, mirror: Mirror, root: Path) -> None:
    page.goto("/history/")
    expect(page.locator("main")).to_contain_text("No candles on disk yet")
    fill(page, symbols="BTC/USDT", begin="2024-11", end="2024-12", mirror=mirror.url)

    # A server that drips leaves time to see a job run, and to stop it.
    mirror.troubles[MONTH] = [drips(60.0)]
    page.get_by_role("button", name="Fetch", exact=True).click()
    running = page.locator('.history-job[data-state="running"]')
    expect(running).to_contain_text("rows", timeout=PATIENCE_MS)
    expect(running.locator("progress")).to_have_attribute("max", "100")
    running.get_by_role("button", name="Stop").click()
    page.locator("#confirm-yes").click()
    expect(page.locator('.history-job[data-state="cancelled"]')).to_be_visible(timeout=PATIENCE_MS)
    assert HistoryJob.objects.get().state == "cancelled"

    # The same again goes on; what is missing at the source is a gap, in red.
    mirror.troubles.clear()
    fill(page, symbols="BTC/USDT", begin="2024-11", end="2024-12", mirror=mirror.url)
    page.get_by_role("button", name="Fetch", exact=True).click()
    row = page.locator("tr", has_text="BTCUSDT")
    expect(row.locator('[data-name="Rows"]')).to_have_text("1461", timeout=PATIENCE_MS)
    expect(row.locator('[data-name="Missing"]')).to_have_text("3")
    expect(row.locator('[data-name="Gaps"]')).to_have_class("n loss")
    expect(page.locator("#history-calendar .plotly").first).to_be_visible(timeout=PATIENCE_MS)
    [series] = catalog.series(root)
    assert (series.rows, series.missing) == (30 * 24 + 31 * 24 - 3, 3)

    # The site has mended its archive: the repair finds it.
    mirror.put_rows("BTCUSDT/1h", "2024-12", rows_of("2024-12"))
    page.locator('[name="base_url"]').fill(mirror.url)
    page.get_by_role("button", name="Repair").click()
    expect(row.locator('[data-name="Missing"]')).to_have_text("0", timeout=PATIENCE_MS)
    assert [job.state for job in HistoryJob.objects.order_by("id")] == ["cancelled", "done", "done"]


def test_nonsense_is_told_beside_the_form(page: Page) -> None:
    page.goto("/history/")
    fill(page, symbols="../etc", begin="2024-11", end="2024-12", mirror="http://127.0.0.1:9")
    page.get_by_role("button", name="Fetch", exact=True).click()
    expect(page.locator("#history-error")).to_contain_text("no symbol")
    assert not HistoryJob.objects.exists()


def test_candles_of_freqtrade_come_in_and_go_out(page: Page, root: Path) -> None:
    """A person's files are imported from the folder the page names, and the series is saved as a file again."""
    page.goto("/history/")
    expect(page.locator("#import-form")).to_contain_text(str(root / "imports"))
    (root / "imports").mkdir(parents=True)
    cells = [row.split(",") for row in rows_of("2024-11")]
    rows = [[int(row[0]), *(float(cell) for cell in row[1:6])] for row in cells]
    (root / "imports" / "BTC_USDT-1h.json").write_text(json.dumps(rows), encoding="utf-8")
    (root / "imports" / "notes.csv").write_text("nothing,of,use\n", encoding="utf-8")

    page.reload()
    page.get_by_role("button", name="Import").click()
    expect(page.locator("#import-form .error")).to_have_text("Choose at least one file.")
    page.locator('[value="notes.csv"]').check()
    page.get_by_role("button", name="Import").click()
    expect(page.locator("#import-form .error")).to_contain_text("notes.csv does not say whose candles it holds")
    page.locator('[value="notes.csv"]').uncheck()
    page.locator('[value="BTC_USDT-1h.json"]').check()
    # The list is first looked at when the job has ended already.
    page.route("**/parts/history_jobs/", once_done)
    page.get_by_role("button", name="Import").click()
    expect(page.locator(".history-job")).to_contain_text("720 rows, 0 refused", timeout=PATIENCE_MS)

    # It is there once the page has loaded itself anew, and works once that is done.
    form = page.locator("#export-form")
    expect(form).to_be_visible(timeout=PATIENCE_MS)
    page.wait_for_load_state()
    form.locator('[name="symbol"]').fill("BTC/USDT")
    form.locator('[name="format"]').select_option("json")
    form.get_by_role("button", name="Export").click()
    with page.expect_download() as download:
        page.get_by_role("link", name="Download BTC_USDT-1h.json").click(timeout=PATIENCE_MS)
    assert json.loads(download.value.path().read_text()) == rows


def test_a_source_is_switched_on_and_off(page: Page) -> None:
    page.goto("/sources/")
    expect(page.locator("main")).to_contain_text("No source is asked")
    page.locator("#on-fear-and-greed").click()
    expect(page.locator("#confirm-effect")).to_contain_text("asks it every 1 hour")
    page.locator("#confirm-yes").click()
    off = page.locator("#off-fear-and-greed")
    expect(off).to_be_visible()
    assert SourceState.objects.get(name="fear-and-greed").is_enabled
    off.click()
    page.locator("#confirm-yes").click()
    expect(page.locator("#on-fear-and-greed")).to_be_visible()
    assert not SourceState.objects.get(name="fear-and-greed").is_enabled


def once_done(route: Route) -> None:
    """Answer for the jobs when none is under way."""
    wait_until(lambda: not HistoryJob.objects.exclude(state="done").exists())
    route.continue_()


def fill(page: Page, *, symbols: str, begin: str, end: str, mirror: str) -> None:
    form = page.locator("#history-form")
    for name, value in {"symbols": symbols, "begin": begin, "end": end, "base_url": mirror}.items():
        form.locator(f'[name="{name}"]').fill(value)
    form.locator('[name="interval"]').select_option("1h")
