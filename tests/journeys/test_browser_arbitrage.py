"""An operator makes a pair of bots between two local exchanges, gives both sides a share, starts it and watches it trade."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.journeys.browser import SECONDS, ask, chromium, hurried, sign_in
from tests.tradeapp.test_up import System

pytestmark = [pytest.mark.slow, pytest.mark.browser, pytest.mark.timeout(600), pytest.mark.nightly]


@pytest.fixture
def system() -> Iterator[System]:
    with hurried(second=True) as running:
        yield running


# The one of the dashboard's tests lets the database be asked between its steps; here only the page is asked.
@pytest.fixture
def browser() -> Iterator[Browser]:
    with chromium() as started:
        yield started


def test_a_pair_is_made_funded_started_and_seen_trading(system: System, browser: Browser) -> None:
    link = re.search(r"Sign in once.*?(http://\S+)", system.output())
    assert link is not None
    page, complaints = sign_in(browser, link=link.group(1))
    address = f"http://127.0.0.1:{system.port}"
    page.goto(f"{address}/arbitrage/")
    form = page.locator("#pair-form")

    # A mistyped coin is named with what was meant, and nothing is made.
    form.locator("[name=symbol]").fill("BTC/USDC")
    form.get_by_role("button").click()
    expect(page.locator("#pair-error")).to_contain_text("Did you mean BTC/USDT?")
    # The refused request is in the console, as it should be.
    complaints.clear()
    form.locator("[name=symbol]").fill("BTC/USDT")
    form.locator("[name=interval]").select_option("1m")
    form.get_by_role("button").click()
    expect(page.locator("#pairs")).to_contain_text("Without a share there is no money to trade with")

    (pair,) = ask(page, "pairs")["items"]
    for side in ("leader", "follower"):
        give_share(page, pair[side], address)
    page.reload()
    expect(page.locator("#pairs .notice")).to_have_count(0)
    page.locator("#pairs").get_by_role("button", name="Start").click()
    page.get_by_role("button", name="Start both").click()
    expect(page.locator("#pairs .fact-list .chip", has_text="Running")).to_have_count(2)

    # Without a reload: first both sides are stocked, then the two prices part.
    expect(page.locator("#pairs tbody tr").first).to_contain_text("both legs", timeout=3 * SECONDS * 1000)
    expect(page.locator("#pairs .js-plotly-plot")).to_have_count(1)
    (traded,) = ask(page, f"bots/{pair['follower']['bot']}/pairs?limit=1")["items"]
    assert {leg["account_id"] for leg in traded["legs"]} == {pair[side]["account"] for side in ("leader", "follower")}

    page.get_by_role("link", name="Bot", exact=True).last.click()
    expect(page.locator("#other-side")).to_contain_text("decides for it")
    expect(page.locator("#gates")).to_contain_text("Other side")
    assert complaints == []


def give_share(page: Page, side: dict[str, Any], address: str) -> None:
    """Give a side two fifths of its account; where bots have all of it, each of them keeps a tenth."""
    others = [row["book"] for row in ask(page, f"allocations?account={side['account']}")["shares"] if row["book"] != side["book"]]
    shares = [{"book": book, "percent": "10"} for book in others] + [{"book": side["book"], "percent": "40"}]
    token = next(cookie["value"] for cookie in page.context.cookies() if cookie["name"] == "csrftoken")
    answer = page.context.request.put(
        f"{address}/api/v1/allocations",
        data={"account": side["account"], "shares": shares},
        headers={"X-CSRFToken": token, "Referer": f"{address}/"},
    )
    assert answer.ok, answer.text()
