"""Before limits are set a person sees whom they would shut out or sell out; what is foreseen is what then happens."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from django.db import transaction

from portfolio import services
from portfolio.jobs import risk
from portfolio.jobs.risk_preview import Forecast
from portfolio.models import Account, AuditEntry, RiskLimits
from portfolio.services import UnableToLimit
from tests.portfolio.test_coordinate import enter
from tests.portfolio.test_risk import hold, limit, price
from tests.portfolio.world import NOW, World
from trading.risk import HARD_STOP

D = Decimal


@pytest.fixture
def trading(world: World) -> World:
    """Return books of which the first two hold BTC."""
    hold(world, 0, lots=100)
    hold(world, 1, lots=100)
    Account.objects.filter(pk=world.account_id).update(synced_through_at=world.market_at)
    return world


def foreseen(world: World, book: int | None = None, **changes: Any) -> Forecast:
    key = None if book is None else world.books[book].pk
    return services.preview_limits(account_id=world.account_id, changes={key: changes}, now=NOW)


def sentences(forecast: Forecast) -> list[str]:
    return [row.sentence for row in forecast.rows if row.sentence]


def test_what_changes_nothing_says_nothing_and_nothing_is_written(trading: World) -> None:
    before = (RiskLimits.objects.count(), AuditEntry.objects.count(), trading.account().ledger_seq, trading.account().intent_seq)
    found = foreseen(trading, orders_per_minute=599)
    assert (sentences(found), found.raised) == ([], {})
    after = (RiskLimits.objects.count(), AuditEntry.objects.count(), trading.account().ledger_seq, trading.account().intent_seq)
    assert after == before


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"order_value_max": D(4)}, "RISK_ORDER_VALUE"),
        ({"orders_per_minute": 0}, "RISK_ORDER_RATE"),
        ({"volume_day_min": D(1)}, "RISK_LIQUIDITY"),
        ({"soft_loss_percent": D("0.0001")}, "RISK_DAILY_LOSS_CAP"),
    ],
)
def test_who_could_not_enter_is_named_and_is_then_refused(trading: World, changes: dict[str, Any], code: str) -> None:
    """The gate itself was asked, so what it says later is what was foreseen."""
    assert sentences(foreseen(trading, 0, **changes)) == [f"Book 1 could not enter ({code})."]
    limit(trading, 0, **changes)
    assert [enter(trading, lots=20), enter(trading, 1, lots=20)] == [code, "accepted"]


def test_limits_of_the_account_hold_for_every_book_that_has_none_of_its_own(trading: World) -> None:
    limit(trading, 1, order_value_max=D(100))
    found = foreseen(trading, order_value_max=D(4))
    shut = {row.name for row in found.rows if row.sentence}
    assert {"Book 1"} <= shut
    assert "Book 2" not in shut


def test_who_would_be_sold_out_is_named_and_then_is(trading: World) -> None:
    """A loss of half a percent is nothing now, and beyond a cap of a tenth."""
    price(trading, "40000")
    with transaction.atomic():
        risk.act(trading.account(), now=NOW)
    found = foreseen(trading, 0, soft_loss_percent=D("0.1"), hard_loss_percent=D("0.2"))
    assert sentences(found) == ["Book 1 would be sold out and shut: its loss of today is beyond its hard cap."]
    row = next(row for row in found.rows if row.name == "Book 1")
    assert (row.is_sold_now, row.is_sold_then) == (False, True)
    assert row.left_then == 0 < row.left_now

    limit(trading, 0, soft_loss_percent=D("0.1"), hard_loss_percent=D("0.2"))
    with transaction.atomic():
        found_now = risk.act(trading.account(), now=NOW)
    assert found_now.beyond == [trading.books[0].pk]
    assert trading.order(kind="flatten").book_id == trading.books[0].pk
    assert foreseen(trading, 0, soft_loss_percent=D(5), hard_loss_percent=D(7)).rows[1].refused_then == {"BTC/USDT": HARD_STOP}


def test_a_raise_is_called_one_and_says_who_could_enter_again(trading: World) -> None:
    limit(trading, 0, order_value_max=D(4))
    found = foreseen(trading, 0, order_value_max=D(50))
    assert found.raised == {trading.books[0].pk: ["order_value_max"]}
    assert sentences(found) == ["Book 1 could enter again in BTC/USDT."]


def test_what_contradicts_itself_is_refused_like_the_real_thing(trading: World) -> None:
    with pytest.raises(UnableToLimit) as refused:
        foreseen(trading, soft_loss_percent=D(8))
    assert refused.value.code == "LIMIT_INVALID"
    with pytest.raises(UnableToLimit) as refused:
        services.preview_limits(account_id=trading.account_id, changes={10**6: {}}, now=NOW)
    assert refused.value.code == "BOOK_UNKNOWN"
