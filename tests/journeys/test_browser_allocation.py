"""An operator sets percentages: previews the effect, confirms, sees what waits, and rolls back; on a screen and on a phone."""

from __future__ import annotations

import time
from collections.abc import Iterator
from decimal import Decimal

import pytest
from playwright.sync_api import Browser, Page, expect
from pytest_django.live_server_helper import LiveServer

from portfolio.models import Account, AllocationVersion, RiskLimits
from portfolio.selectors import book_numbers
from portfolio.selectors.deficits import deficits
from tests.journeys.browser import PASSWORD, administrator
from tests.portfolio.deficit import deposit, oversold
from tests.portfolio.world import World, build
from trading.orders import ExchangeStatus

pytestmark = [pytest.mark.slow, pytest.mark.browser, pytest.mark.timeout(300)]


@pytest.fixture
def world(browser: Browser, transactional_db: None) -> World:
    """Return five books at 20 %, one of which holds coins."""
    made = build()
    RiskLimits.objects.update(fall_percent=1)
    made.decide(made.propose("enter", 0, lots=300, limit_price=Decimal(50505)))
    order = made.send(made.order(kind="enter"))
    made.fill(order, "0.003", "50000", fee="0", fee_asset="BTC")
    made.end(order, ExchangeStatus.FILLED)
    return made


@pytest.fixture
def page(world: World, live_server: LiveServer, browser: Browser, request: pytest.FixtureRequest) -> Iterator[Page]:
    with administrator(browser, live_server, width=request.param) as found:
        yield found


@pytest.mark.parametrize("page", [1440, 390], indirect=True)
def test_percentages_are_previewed_set_and_rolled_back(page: Page, world: World) -> None:
    page.goto("/allocation/")
    first, second = (page.locator(f'tr[data-book="{book.pk}"]') for book in world.books[:2])
    fits_in_width(page)

    # Too much is refused with shares that fit, and one click takes them.
    first.locator(".share").fill("60")
    page.locator("#allocation-preview").click()
    expect(page.locator("#allocation-error")).to_contain_text("140 percent; 100 is all there is")
    page.locator("#allocation-even").click()
    expect(first.locator(".share")).to_have_value("42.8572")

    # The preview says in quote what moves and what waits for capital in use; nothing has changed yet.
    first.locator(".share").fill("0")
    second.locator(".share").fill("40")
    expect(page.locator("#allocation-apply")).to_be_disabled()
    page.locator("#allocation-preview").click()
    expect(first.locator(".preview-moved")).to_have_text("\N{MINUS SIGN}1,826.46")
    expect(first.locator(".preview-pending")).to_have_text("\N{MINUS SIGN}150.00 when free")
    assert AllocationVersion.objects.count() == 1

    took = set_shares(page)
    numbers = book_numbers(world.account_id)
    assert [row.percent for row in numbers][:2] == [0, 40]
    expect(page.locator("#versions")).to_contain_text("Book 2 20 % 40 %")
    print(f"click to effect at {page.viewport_size}: {took * 1000:.0f} ms")

    # Going back is looked at first, too, and is a version of its own.
    page.locator('.roll-back[data-version="1"]').click()
    expect(page.locator("#allocation-told")).to_contain_text("going back to version 1")
    expect(second.locator(".preview-moved")).to_contain_text("\N{MINUS SIGN}")
    expect(page.locator("#allocation-apply")).to_have_text("Roll back to version 1")
    set_shares(page)
    assert [row.percent for row in book_numbers(world.account_id)] == [20] * 5
    expect(page.locator("#versions")).to_contain_text("rollback to 1")
    fits_in_width(page)
    assert world.verify() == []


@pytest.mark.parametrize("page", [390], indirect=True)
def test_the_coordinator_tells_who_holds_what_and_why_a_bot_waits(page: Page, world: World) -> None:
    world.decide(world.propose("place", 1, side="buy", lots=200, limit_price=Decimal(49000), slot=1))
    page.goto("/coordinator/")

    expect(page.get_by_role("heading", name="Reserved capital")).to_be_visible()
    expect(page.locator("#exposure-chart .bars path, #exposure-chart .points path").first).to_be_attached(timeout=20_000)
    page.get_by_role("button", name="Cancel", exact=True).first.click()
    page.locator("#confirm-reason").fill("drill")
    page.locator("#confirm-yes").click()
    expect(page.get_by_text("No live order holds capital.")).to_be_visible()
    fits_in_width(page)

    # What a book owes, because it sold what it no longer had, is bought from what belongs to nobody.
    deposit(world, "BTC", "0.01")
    world.fill(oversold(world, book=1), "0.0038", "50200")
    page.reload()
    page.get_by_role("button", name="Cover 0.0038 from Unallocated").click()
    expect(page.locator("#confirm-effect")).to_contain_text("Book 2 buys 0.0038 BTC from Unallocated")
    page.locator("#confirm-reason").fill("sold twice")
    page.locator("#confirm-yes").click()
    expect(page.get_by_text("Book 2 owes 0.0038")).to_have_count(0)
    fits_in_width(page)
    assert deficits(Account.objects.get(pk=world.account_id)) == []
    assert world.verify() == []


def set_shares(page: Page) -> float:
    """Press the button, prove who it is if asked, and wait until the page shows the new version."""
    was = int(page.locator("#allocation-form").get_attribute("data-version") or 0)
    began = time.monotonic()
    page.locator("#allocation-apply").click()
    shown = page.locator(f'#allocation-form[data-version="{was + 1}"]')
    proof = page.locator("#prove[open] #prove-proof")
    expect(shown.or_(proof)).to_be_attached(timeout=20_000)
    if proof.count():
        proof.fill(PASSWORD)
        began = time.monotonic()
        page.locator("#prove-yes").click()
    expect(shown).to_be_attached(timeout=20_000)
    return time.monotonic() - began


def fits_in_width(page: Page) -> None:
    """Nothing is wider than the screen."""
    wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert wide <= 0, f"{wide} px too wide"
