"""What became of pairs: their legs, what was undone, and what they brought."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from bots.models import Bot
from portfolio.models import Order
from portfolio.selectors.pairs import LEG_REASONS, TradedPair, newest_pairs, pairs_of
from portfolio.writers import accounts, orders
from strategies import registry
from tests.bots.conftest import NOW
from tests.bots.pair_of_bots import APART, LEVEL, Two, two

__all__ = ["two"]


@pytest.fixture
def ordered(two: Two) -> Two:
    """Return a stocked pair of bots that has just ordered both legs of its first pair."""
    two.started()
    two.stock()
    two.close(LEVEL, APART)
    return two


def books() -> list[int]:
    return list(Bot.objects.values_list("book", flat=True))


def told(pair: TradedPair) -> tuple[Any, ...]:
    return pair.state, pair.residual, pair.result


def ready(side: str) -> Order:
    return Order.objects.select_related("instrument", "intent").get(status=Order.Status.READY, side=side)


def withdraw(order: Order) -> None:
    with transaction.atomic():
        assert orders.withdraw(accounts.lock(order.account_id), order.pk, "ENTRY_STALE", now=NOW)


def test_a_pair_is_on_its_way_while_an_order_lives_and_then_both_legs(ordered: Two) -> None:
    (waiting,) = pairs_of(books(), limit=10).items
    assert (waiting.number, told(waiting)) == (1, ("on its way", 0, 0))
    ordered.fill({ordered.near.account.pk: "40000", ordered.far.account.pk: "40400"})

    (pair,) = pairs_of(books(), limit=10).items
    bought, sold = pair.legs
    assert (pair.state, pair.market_at, pair.mends) == ("both legs", ordered.near.market_at, ())
    assert [(leg.account, leg.symbol, leg.side, leg.status) for leg in pair.legs] == [
        ("demo", "BTC/USDT", "buy", "filled"),
        ("far", "BTC/USDT", "sell", "filled"),
    ]
    assert [leg.average_price for leg in pair.legs] == [Decimal(40_000), Decimal(40_400)]
    assert bought.quantity == bought.filled
    assert pair.residual == bought.filled - sold.filled
    assert pair.result == sold.filled * 40_400 - bought.filled * 40_000 + pair.residual * 40_000


def test_fees_in_the_coin_are_missing_coins_and_fees_in_quote_are_missing_money(ordered: Two) -> None:
    ordered.trade(ready("buy"), "40000", fee="0.00001", fee_asset="BTC")
    ordered.trade(ready("sell"), "40400", fee="7.5", fee_asset="USDT")

    (pair,) = pairs_of(books(), limit=10).items
    bought, sold = pair.legs
    assert [leg.coin_fees for leg in pair.legs] == [Decimal("0.00001"), Decimal(0)]
    assert [leg.fees for leg in pair.legs] == [Decimal(0), Decimal("7.5")]
    assert pair.residual == bought.filled - sold.filled - Decimal("0.00001")
    assert pair.result == sold.filled * 40_400 - Decimal("7.5") - bought.filled * 40_000 + pair.residual * 40_000


def test_a_leg_that_was_filled_in_part_is_partial_and_its_rest_is_valued_at_the_purchase(ordered: Two) -> None:
    ordered.trade(ready("buy"), "40000")
    sale = ready("sell")
    ordered.trade(sale, "40400", part="0.5")

    (pair,) = pairs_of(books(), limit=10).items
    assert pair.state == "partial"
    assert pair.residual == pair.legs[0].filled - sale.quantity / 2
    # Only what was bought and sold brought something.
    assert pair.result == sale.quantity / 2 * 400


def test_what_one_leg_left_over_and_its_mend_belong_to_the_pair(ordered: Two) -> None:
    withdraw(ready("sell"))
    ordered.trade(ready("buy"), "40000")
    (alone,) = pairs_of(books(), limit=10).items
    assert told(alone) == ("one leg", alone.legs[0].filled, 0)

    ordered.close(LEVEL, LEVEL)
    assert pairs_of(books(), limit=10).items[0].state == "on its way"
    ordered.trade(ready("sell"), "39900")
    (pair,) = pairs_of(books(), limit=10).items
    (mend,) = pair.mends
    assert (mend.reason, mend.side, mend.filled) == ("SIGNAL_EXIT_RESIDUAL", "sell", pair.legs[0].filled)
    assert told(pair) == ("one leg", 0, mend.filled * -100)


def test_a_sale_alone_is_valued_at_its_own_price(ordered: Two) -> None:
    withdraw(ready("buy"))
    ordered.trade(ready("sell"), "40400", fee="1.5")

    (pair,) = pairs_of(books(), limit=10).items
    assert told(pair) == ("one leg", -pair.legs[1].filled, Decimal("-1.5"))


def test_a_pair_of_which_nothing_was_filled_brought_nothing(ordered: Two) -> None:
    withdraw(ready("buy"))
    withdraw(ready("sell"))

    (pair,) = pairs_of(books(), limit=10).items
    assert told(pair) == ("neither", 0, 0)
    assert [leg.average_price for leg in pair.legs] == [None, None]


def test_pairs_come_newest_first_in_pages_and_in_as_many_statements_however_many(ordered: Two) -> None:
    prices = {ordered.near.account.pk: "40000", ordered.far.account.pk: "40400"}
    ordered.fill(prices)
    both = books()
    with CaptureQueriesContext(connection) as one:
        pairs_of(both, limit=10)
    # The other way round, and back again.
    for near, far in ((APART, LEVEL), (LEVEL, APART)):
        ordered.close(near, far)
        ordered.fill({ordered.near.account.pk: str(near[0]), ordered.far.account.pk: str(far[0])})

    with CaptureQueriesContext(connection) as three:
        found = pairs_of(both, limit=10)
    assert [pair.number for pair in found.items] == [3, 2, 1]
    assert (len(one), len(three), found.next_cursor) == (3, 3, None)
    first = pairs_of(both, limit=2)
    assert [pair.number for pair in first.items] == [3, 2]
    assert first.next_cursor is not None
    rest = pairs_of(both, cursor=int(first.next_cursor), limit=2)
    assert ([pair.number for pair in rest.items], rest.next_cursor) == ([1], None)
    # Either side's book tells the same.
    assert all(pairs_of([book], limit=10) == found for book in both)
    assert newest_pairs([both], limit=2) == [first.items]
    assert (newest_pairs([], limit=2), list(pairs_of([], limit=2).items)) == ([], [])


def test_the_legs_of_every_strategy_are_known_as_legs() -> None:
    assert {reason.name for name in registry.shipped_names() for reason in registry.definition(name).leg_reasons} == set(
        LEG_REASONS
    )
