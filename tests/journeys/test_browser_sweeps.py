"""An operator sweeps five years of real candles: watches it move, loses a worker, goes on, stops it, and looks at the map."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect
from pytest_django.live_server_helper import LiveServer

from backtests import tasks
from backtests.models import Sweep, SweepChunk
from tests.journeys.browser import administrator
from tests.journeys.stack import Stack

pytestmark = [pytest.mark.nightly, pytest.mark.slow, pytest.mark.browser, pytest.mark.timeout(1800)]
# Ten thousand combinations, and as many as a sweep may have.
WHOLE = "fast=2:200:2 slow=204:600:4"
LARGEST = "fast=2:400:2 slow=402:2400:2"
PATIENCE_SECONDS = 600.0


@pytest.fixture
def workers(transactional_db: None, tmp_path: Path) -> Iterator[Stack]:
    """Have a worker of backtests, a process of its own."""
    with Stack(tmp_path / "stack", []) as stack:
        command = [sys.executable, "-m", "celery", "-A", "tradeapp", "--quiet", "worker", "-Q", "backtests", "--pool", "solo"]
        stack.start("worker", [*command, "-n", "backtests@%h", "--without-gossip", "--without-mingle", "-l", "INFO"])
        yield stack


@pytest.fixture
def page(workers: Stack, live_server: LiveServer, browser: Browser) -> Iterator[Page]:
    with administrator(browser, live_server) as found:
        found.set_default_timeout(PATIENCE_SECONDS * 1000)
        yield found


def test_ten_thousand_combinations_are_swept_and_seen(page: Page, shared_data: Path) -> None:
    sweep = ask(page, shared_data, WHOLE)

    expect(page.locator("#sweep-progress h2")).to_contain_text("Done 10000 of 10000", timeout=PATIENCE_SECONDS * 1000)
    expect(page.locator("#sweep-map .hm image")).to_be_visible()
    expect(page.locator("#sweep-best")).to_contain_text("of 10000 trials")
    assert sweep.chunks.count() == sweep.chunks.filter(state=SweepChunk.State.DONE, attempts=1).count() == 5
    asked_at = time.monotonic()
    page.reload()
    expect(page.locator("#sweep-map .hm image")).to_be_visible()
    print(f"\nThe map was there {time.monotonic() - asked_at:.2f} s after its page was asked for.")


def test_a_killed_worker_is_followed_by_another_and_a_person_may_stop_both(page: Page, workers: Stack, shared_data: Path) -> None:
    sweep = ask(page, shared_data, LARGEST)
    workers.wait_until(lambda: done(sweep) > 0, what="the first chunk", seconds=PATIENCE_SECONDS)
    workers.kill("worker")
    lost = done(sweep)
    assert 0 < lost < 100
    expect(page.locator("#sweep-progress h2")).to_contain_text(f"Running {lost * 2000} of 200000")

    workers.restart("worker")
    workers.wait_until(lambda: beats() and done(sweep) > lost, what="another chunk", seconds=PATIENCE_SECONDS)
    page.locator("#cancel-sweep").click()
    page.locator("#confirm-yes").click()
    expect(page.locator("#sweep-progress h2")).to_contain_text("Cancelled", timeout=PATIENCE_SECONDS * 1000)
    # What was found stays, and is shown.
    assert lost < done(sweep) < 100
    expect(page.locator("#sweep-map .hm image")).to_be_visible()


def ask(page: Page, shared_data: Path, grid: str) -> Sweep:
    """Fill in the form and send it."""
    page.goto("/sweeps/")
    words = {"begin": "2019-01-01", "end": "2024-01-01", "grid": grid, "folder": str(shared_data / "ohlcv")}
    for name, text in words.items():
        page.locator(f"#sweep-form [name={name}]").fill(text)
    page.get_by_role("button", name="Start the sweep").click()
    page.wait_for_url("**/sweeps/*/")
    return Sweep.objects.get()


def done(sweep: Sweep) -> int:
    """Count the chunks that are done."""
    return sweep.chunks.filter(state=SweepChunk.State.DONE).count()


def beats() -> bool:
    """Ring for what lost its worker, as beat does."""
    tasks.find_waiting()
    return True
