"""An operator looks at all accounts together, moves money with a preview, sets shares and sends what is proposed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.db import transaction
from django.utils import timezone
from playwright.sync_api import Browser, Page, expect
from pytest_django.live_server_helper import LiveServer

from portfolio import services
from portfolio.models import Account, AccountTransfer, Heartbeat
from portfolio.writers import transfers
from tests.journeys.browser import administrator
from tests.portfolio.test_transfers import end, let_move, new_sub
from tests.portfolio.world import NOW, D, World, build

pytestmark = [pytest.mark.slow, pytest.mark.browser, pytest.mark.timeout(300), pytest.mark.nightly]


@pytest.fixture
def world(browser: Browser, transactional_db: None) -> World:
    """Return a master of which a part is nobody's, with two empty sub-accounts."""
    made = build(percent="10")
    let_move(made.account_id)
    services.set_transfer_limits(account_id=made.account_id, per_transfer=D(1000), per_day=D(3000), by=None, now=NOW)
    for name in ("second account", "third account"):
        with transaction.atomic():
            sub = new_sub(made, name)
        services.set_limits(
            account_id=sub.pk, changes={"order_value_max": D(500)}, reason="funded", may_raise=True, by=None, now=NOW
        )
    for account in Account.objects.all():
        # Far ahead: a slow machine looks at the page long after it was made.
        Heartbeat.objects.update_or_create(
            process=f"trader {account.pk}", defaults={"beat_at": timezone.now().replace(year=2100)}
        )
    return made


@pytest.fixture
def page(world: World, live_server: LiveServer, browser: Browser, request: pytest.FixtureRequest) -> Iterator[Page]:
    with administrator(browser, live_server, width=request.param) as found:
        yield found


@pytest.mark.parametrize("page", [1440, 390], indirect=True)
def test_money_is_moved_and_shares_are_evened_out(page: Page, world: World) -> None:
    page.goto("/subaccounts/")
    fits_in_width(page)
    expect(page.locator("#family")).to_contain_text("9,882.31")
    form = page.locator("#transfer-form")

    # Too much is refused in words before anything is asked for.
    form.locator("[name=amount]").fill("1000.01")
    form.locator("button").click()
    expect(page.locator("#transfer-error")).to_contain_text("more than the 1000 of one transfer")

    form.locator("[name=amount]").fill("250.5")
    form.locator("button").click()
    expect(page.locator("#transfer-dialog-facts")).to_contain_text("then 250.50")
    page.locator("#transfer-dialog-yes").click()
    expect(page.locator("#family")).to_contain_text("1 transfer under way")
    row = AccountTransfer.objects.get()
    transfers.claim(row.pk, now=NOW)
    end(row, AccountTransfer.State.DONE)

    # What a field shows is what it sends.
    page.reload()
    page.locator("#transfer-limits [name=per_day]").fill("2900")
    page.locator("#transfer-limits button").click()
    expect(page.get_by_text("The limits are set.")).to_be_visible()
    assert Account.objects.get(pk=world.account_id).transfer_max == 1000

    # Shares move nothing; what they come to is proposed, and goes at one click.
    targets = page.locator("#targets-form .target")
    targets.nth(0).fill("8")
    targets.nth(1).fill("5")
    expect(page.locator("#targets-sum")).to_have_text("87 % stays with the master")
    page.locator("#targets-form button").click()
    expect(page.locator("#proposals")).to_contain_text("540.08")
    expect(page.locator("#proposals")).to_contain_text("494.11")
    page.locator("#move-all").click()
    fits_in_width(page)
    page.locator("#transfer-dialog-yes").click()
    expect(page.locator("#family")).to_contain_text("2 transfers under way")
    assert AccountTransfer.objects.filter(state="recorded").count() == 2
    fits_in_width(page)


def fits_in_width(page: Page) -> None:
    """See to it that nothing sticks out to the side."""
    wide = page.evaluate("[document.documentElement.scrollWidth, document.documentElement.clientWidth]")
    assert wide[0] <= wide[1], wide
