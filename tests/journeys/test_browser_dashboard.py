"""An operator opens the dashboard, watches it move, stops a bot, starts it again, and changes a share in the admin."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.journeys.browser import ask, chromium, hurried, sign_in
from tests.tradeapp.test_up import System
from tests.waiting import wait_until
from tradeapp.pages import formats

pytestmark = [pytest.mark.slow, pytest.mark.browser, pytest.mark.timeout(900)]
SHOWN = ("equity", "pnl", "realised", "unrealised", "fees")
# Notes every version the page shows, with its figures, at the moment it shows them.
RECORD = """() => {
  window.seen = {};
  window.notReloaded = true;
  new MutationObserver(() => {
    const figures = {};
    for (const element of document.querySelectorAll("[data-figure]")) figures[element.dataset.figure] = element.textContent;
    window.seen[document.documentElement.dataset.seqportfolio] = figures;
  }).observe(document.documentElement, { attributes: true, attributeFilter: ["data-seqportfolio"] });
}"""


@pytest.fixture(scope="module")
def system() -> Iterator[System]:
    with hurried() as running:
        yield running


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as started:
        yield started


@pytest.fixture(scope="module")
def signed_in(system: System, browser: Browser) -> tuple[Page, list[str]]:
    link = re.search(r"Sign in once.*?(http://\S+)", system.output())
    assert link is not None
    return sign_in(browser, link=link.group(1))


@pytest.fixture
def page(signed_in: tuple[Page, list[str]], system: System) -> Iterator[Page]:
    page, complaints = signed_in
    complaints.clear()
    page.goto(f"http://127.0.0.1:{system.port}/")
    yield page
    assert complaints == []


def test_profit_moves_without_reload_and_equals_the_api_at_the_same_seq(page: Page) -> None:
    page.evaluate(RECORD)
    compared: set[str] = set()
    deadline = time.monotonic() + 90
    while len(compared) < 3 and time.monotonic() < deadline:
        told = ask(page, "pnl")
        page.wait_for_timeout(400)
        shown = page.evaluate("seq => window.seen[seq]", str(told["seq"]))
        if shown is not None:
            assert {name: shown[name] for name in expected(told) if name in shown} == expected(told)
            compared.add(shown["account.equity"])

    assert len(compared) == 3
    assert page.evaluate("window.notReloaded")
    assert page.locator("#stream-state").text_content() == "up to date"


def test_a_bot_stops_by_its_button_decides_nothing_more_and_starts_again(page: Page) -> None:
    bot = next(bot for bot in ask(page, "bots")["items"] if bot["key"] == "GRID_TRADING")
    status = page.locator(f'article [data-figure="bot.{bot["id"]}.status"]')
    expect(status).to_have_text("Running")

    press(page, f"#stop-{bot['id']}", "Stop GridTrading?", "Stop GridTrading")
    expect(status).to_have_text("Stopped")
    stopped_at = ask(page, f"bots/{bot['id']}")["bar_closed_at"]
    wait_until(lambda: bars_of_others(page, bot["id"]) > stopped_at)
    passed = bars_of_others(page, bot["id"])
    wait_until(lambda: bars_of_others(page, bot["id"]) > passed)
    assert ask(page, f"bots/{bot['id']}")["bar_closed_at"] == stopped_at

    press(page, f"#start-{bot['id']}", "Start GridTrading?", "Start GridTrading")
    expect(status).to_have_text("Running")
    wait_until(lambda: ask(page, f"bots/{bot['id']}")["bar_closed_at"] > passed)


def test_a_share_edited_in_the_admin_sizes_the_next_order(page: Page, system: System) -> None:
    bot = next(bot for bot in ask(page, "bots")["items"] if bot["key"] == "TRIPLE_EMA")
    account, book = bot["account"], bot["book"]
    page.goto(f"http://127.0.0.1:{system.port}/admin/portfolio/account/{account}/change/")
    page.locator(f'[name="percent_{book}"]').fill("10")
    page.locator('[name="_save"]').first.click()
    page.wait_for_url("**/admin/portfolio/account/")
    page.goto(f"http://127.0.0.1:{system.port}/")
    share = next(share for share in ask(page, "allocations")["shares"] if share["book"] == book)
    assert Decimal(share["percent"]) == 10
    seen = newest_entry(page, book)

    wait_until(lambda: newest_entry(page, book) != seen, seconds=400)

    entry = newest_entry(page, book)
    assert entry is not None
    cost = Decimal(entry["quantity"]) * Decimal(entry["price"])
    assert Decimal(share["target"]) * Decimal("0.05") < cost < Decimal(share["target"]) * Decimal("0.102")


@pytest.mark.parametrize(("width", "height"), [(1440, 900), (390, 844)])
def test_no_page_is_wider_than_its_screen(page: Page, system: System, width: int, height: int) -> None:
    bot = ask(page, "bots")["items"][0]["id"]
    page.set_viewport_size({"width": width, "height": height})
    for path in ("/", f"/bots/{bot}/", "/orders/", "/allocation/", "/reconcile/", "/system/"):
        page.goto(f"http://127.0.0.1:{system.port}{path}")
        page.wait_for_timeout(1500)
        assert page.evaluate("document.documentElement.scrollWidth") <= width, path
    page.set_viewport_size({"width": 1440, "height": 900})


SCREENS = pytest.mark.parametrize("width", [1440, 390])


@SCREENS
def test_the_stop_dialog_asks_why_and_stops_everything(page: Page, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 900})
    if width > 720:
        page.keyboard.press("Shift+Escape")
    else:
        page.locator(".health .stop").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_be_visible()
    dialog.get_by_label("Reason").fill("a drill")
    began = time.monotonic()
    dialog.get_by_role("button", name="Stop everything").click()
    wait_until(lambda: ask(page, "kill")["items"][0]["is_killed"])
    print(f"\neverything stopped {time.monotonic() - began:.2f} s after the click at {width} px")
    expect(page.locator('[data-figure="health.state"]')).to_have_text("Stopped by kill switch", timeout=60_000)
    assert ask(page, "kill")["items"][0]["killed_reason"] == "a drill"

    page.get_by_role("button", name="RELEASE").click()
    dialog.get_by_label("Reason").fill("the drill is over")
    dialog.get_by_role("button", name="Release").click()
    expect(page.locator('[data-figure="health.state"]')).to_have_text("Active")


@SCREENS
def test_a_slot_is_dragged_and_then_a_bot_trades_alone(page: Page, system: System, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 900})
    page.goto(f"http://127.0.0.1:{system.port}/modes/")
    page.get_by_label("Bots in turns").check()
    slots = page.locator("#week .slot")
    expect(slots).to_have_count(35)
    first = slots.first
    first.scroll_into_view_if_needed()
    # Where another drag has left it.
    ends = re.compile(r"^daily 00:00-(\d\d:\d\d) ", re.MULTILINE)
    text = page.locator("#week-text")
    expect(text).to_have_value(ends)
    (began_at,) = ends.findall(text.input_value())
    box = first.bounding_box()
    assert box is not None
    edge, middle = box["x"] + box["width"] - 3, box["y"] + box["height"] / 2
    page.mouse.move(edge, middle)
    page.mouse.down()
    page.mouse.move(edge + box["width"] / 2, middle, steps=8)
    page.mouse.up()
    # The server has read what the drag wrote.
    expect(text).to_have_value(re.compile(rf"^daily 00:00-(?!{began_at})", re.MULTILINE))
    (ended_at,) = ends.findall(text.input_value())
    assert ended_at > began_at
    assert f"daily {ended_at}-" in text.input_value(), "the next slot begins where this one ends"
    page.locator("#mode-form").get_by_label("Reason").fill("a longer night")
    page.get_by_role("button", name="Preview and switch").click()
    expect(page.locator("#mode-dialog-who")).to_contain_text("may enter now")
    began = time.monotonic()
    switch(page)
    wait_until(lambda: ask(page, "mode")["mode"] == "rotation")
    print(f"\nrotation in force {time.monotonic() - began:.2f} s after the click at {width} px")
    assert len(ask(page, "mode")["switches"]) == 5

    page.get_by_label("One bot alone").check()
    page.locator("#mode-form select[name=bot]").select_option("GRID_TRADING")
    page.get_by_role("button", name="Preview and switch").click()
    began = time.monotonic()
    switch(page)
    wait_until(lambda: ask(page, "mode")["active"] == ["GridTrading"])
    print(f"one bot alone {time.monotonic() - began:.2f} s after the click at {width} px")
    page.goto(f"http://127.0.0.1:{system.port}/modes/")
    expect(page.locator("#mode-active")).to_have_text("GridTrading")
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def expected(told: dict[str, Any]) -> dict[str, str]:
    """Return what the page must show of an API answer."""
    found = {}
    rows = [("account", told["account"])] + [(f"book.{book['book']}", book) for book in told["bots"]]
    for name, row in rows:
        for figure in SHOWN if name == "account" else ("equity", "pnl"):
            write = formats.quote if figure in ("equity", "fees") else formats.gain
            found[f"{name}.{figure}"] = write(Decimal(row[figure]))
    return found


def press(page: Page, selector: str, title: str, confirm: str) -> None:
    """Press a button and confirm in the dialog that names object and effect."""
    page.locator(selector).click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_role("heading")).to_have_text(title)
    dialog.get_by_role("button", name=confirm).click()
    expect(dialog).not_to_be_visible()


def switch(page: Page) -> None:
    """Confirm another mode, and wait for the reload by which the page shows it: going elsewhere meanwhile fails."""
    with page.expect_navigation(url="**/modes/"):
        page.locator("#mode-dialog-yes").click()


def bars_of_others(page: Page, bot_id: int) -> str:
    """Return the newest candle that another bot has stepped."""
    return max(bot["bar_closed_at"] or "" for bot in ask(page, "bots")["items"] if bot["id"] != bot_id)


def newest_entry(page: Page, book: int) -> dict[str, Any] | None:
    """Return a book's newest entry order."""
    orders = ask(page, f"orders?book={book}&limit=50")["items"]
    return next((order for order in orders if order["intent"] == "enter"), None)
