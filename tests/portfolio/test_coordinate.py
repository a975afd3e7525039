"""What the coordinator refuses, in which order it decides, and what it costs."""

from __future__ import annotations

from decimal import Decimal

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from portfolio import selectors, services
from portfolio.jobs import coordinate
from portfolio.models import Account, Book, Intent, Order, RiskLimits
from portfolio.writers import orders
from tests.portfolio.world import NOW, World, build
from trading import sizing
from trading.ledger import floor_to
from trading.orders import ExchangeStatus
from trading.proposals import COLLAR, Outcome

D = Decimal
LIMIT = D("50505")


def codes(outcomes: list[Outcome]) -> list[str]:
    """Return the answers."""
    return [outcome.code if not outcome.is_accepted else "accepted" for outcome in outcomes]


def enter(world: World, book: int = 0, *, lots: int = 380, limit: Decimal = LIMIT) -> str:
    """Ask for an entry and return the answer."""
    return codes(world.decide(world.propose("enter", book, lots=lots, limit_price=limit)))[0]


def test_the_collar_is_the_one_that_sizing_uses() -> None:
    """Sizing floats it, the position cap accounts with it."""
    assert str(sizing.COLLAR) == str(COLLAR)


def test_a_killed_account_takes_no_entry_but_lets_exits_pass(world: World) -> None:
    """KILL_ACTIVE, and I-45: an order written before the kill is not sent after it."""
    assert enter(world) == "accepted"
    order = world.send(world.order(kind="enter"))
    world.fill(order, "0.0038", "50000", fee="0", fee_asset="BTC")
    services.kill(world.account_id, by=None, reason="test", now=NOW)

    outcomes = world.decide(
        world.propose("enter", 1, lots=380, limit_price=LIMIT),
        world.propose("place", 2, "ETH/USDT", side="buy", lots=500, limit_price=D("2400")),
        world.propose("exit", 0),
    )
    assert codes(outcomes) == ["KILL_ACTIVE", "KILL_ACTIVE", "accepted"]

    services.release_kill(world.account_id, by=None, reason="done", now=NOW)
    assert enter(world, 1) == "accepted"


@pytest.mark.parametrize(
    ("account_fields", "book_fields", "code"),
    [
        ({"state": "entries_halted", "state_reason": "RECONCILE_RESIDUAL"}, {}, "RECONCILE_RESIDUAL"),
        ({"state": "halted", "state_reason": "KEY_INVALID"}, {}, "KEY_INVALID"),
        ({}, {"is_halted": True, "halt_reason": "ORDER_ADOPTED"}, "ORDER_ADOPTED"),
        ({}, {"is_active": False}, "MODE_BOT_NOT_ACTIVE"),
        ({}, {"orders_per_minute": 0}, "RISK_ORDER_RATE"),
        ({}, {"position_cap_percent": D(9)}, "RISK_POSITION_CAP"),
    ],
)
def test_the_state_of_account_and_book_refuses_entries(
    world: World, account_fields: dict[str, str], book_fields: dict[str, object], code: str
) -> None:
    """Every refusal has its reason code."""
    if account_fields:
        Account.objects.filter(id=world.account_id).update(**account_fields)
    if book_fields:
        Book.objects.filter(id=world.books[0].pk).update(**book_fields)
    assert enter(world) == code


@pytest.mark.parametrize(
    ("lots", "limit", "code"),
    [
        (0, LIMIT, "FILTER_LOT_SIZE"),
        (5, LIMIT, "FILTER_MIN_NOTIONAL"),
        (380, D("50505.001"), "FILTER_PRICE"),
        (400, LIMIT, "RISK_POSITION_CAP"),
        (391, D("50505"), "accepted"),
        (396, D("50505"), "RISK_POSITION_CAP"),
    ],
)
@pytest.mark.fault("E23")
def test_filters_and_caps_are_checked_again(world: World, lots: int, limit: Decimal, code: str) -> None:
    """I-16 and the golden cap: 9,882.31 at 20 % is 1,976.46, its position cap 197.65."""
    assert enter(world, lots=lots, limit=limit) == code


def test_the_cap_counts_orders_in_flight_at_full_size(world: World) -> None:
    """I-32."""
    assert [enter(world, lots=200), enter(world, lots=200)] == ["accepted", "RISK_POSITION_CAP"]


def test_the_golden_shares_of_the_first_start(world: World) -> None:
    """9,882.31 USDT in five shares of 20 %: 1,976.46 each, one cent stays with the operator."""
    overview = selectors.account_overview(world.account_id)
    assert {book.base_equity for book in overview.books} == {D("1976.46")}
    assert overview.unallocated == D("0.01")
    assert (overview.equity, overview.pnl, overview.pools_pnl) == (D("9882.31"), D(0), D(0))
    assert floor_to(D("1976.46") * 10 / 100 + D("0.005"), D("0.01")) == D("197.65")


def test_no_book_spends_what_another_book_has(world: World) -> None:
    """Promise 3: capital is the book's own."""
    Book.objects.update(position_cap_percent=200)
    RiskLimits.objects.update(fall_percent=1)
    outcomes = world.decide(
        world.propose("place", 0, side="buy", lots=3900, limit_price=D("50000")),
        world.propose("place", 0, side="buy", lots=100, limit_price=D("50000")),
    )
    assert codes(outcomes) == ["accepted", "CAPITAL_INSUFFICIENT"]
    assert codes(world.decide(world.propose("place", 0, side="sell", lots=100, limit_price=D("60000")))) == [
        "CAPITAL_INSUFFICIENT"
    ]


def test_orders_of_different_books_never_cross(world: World) -> None:
    """I-39, with the two readings the glossary fixes: takers do not meet, an untriggered stop does not rest."""
    Book.objects.update(position_cap_percent=100)
    holder = 0
    assert enter(world, holder) == "accepted"
    world.fill(world.send(world.order(kind="enter")), "0.0038", "50000", fee="0", fee_asset="BTC")
    asked = world.propose("place", holder, side="sell", lots=180, limit_price=D("50400"))
    assert codes(world.decide(asked)) == ["accepted"]
    world.send(world.order(kind="place"))

    # Sized for 50,495 and so without a fill below the rival's 50,400.
    assert enter(world, 1, limit=D("51000")) == "CONFLICT_WOULD_CROSS"
    # Sized for 50,004.95: one tick inside the rival it still fills.
    assert enter(world, 1, limit=D("50505")) == "accepted"
    assert world.order(kind="enter", book=1).price == D("50399.99")
    outcomes = world.decide(
        world.propose("place", 2, side="buy", lots=180, limit_price=D("50400")),
        world.propose("place", 2, side="buy", lots=180, limit_price=D("50399.99")),
    )
    assert codes(outcomes) == ["CONFLICT_WOULD_CROSS", "accepted"]
    # Its own orders may stand where they like: the book's own cancels put them right.
    assert enter(world, holder) == "accepted"


def test_an_untriggered_stop_is_not_in_the_way(world: World) -> None:
    """A protective stop of one book does not stop another from buying above it."""
    outcome = world.decide(world.propose("enter", 0, lots=380, limit_price=LIMIT, stop_price=D("49000")))
    assert codes(outcome) == ["accepted"]
    world.fill(world.send(world.order(kind="enter")), "0.0038", "50000", fee="0", fee_asset="BTC")
    world.send(world.order(kind="stop"))
    assert enter(world, 1) == "accepted"


def test_an_exit_stays_above_another_books_bid(world: World) -> None:
    """An exit is never refused: it goes out as a limit one tick above the bid that it could reach."""
    assert enter(world, 0) == "accepted"
    world.fill(world.send(world.order(kind="enter")), "0.0038", "50000", fee="0", fee_asset="BTC")
    assert codes(world.decide(world.propose("place", 1, side="buy", lots=180, limit_price=D("49500")))) == ["accepted"]
    assert codes(world.decide(world.propose("exit", 0))) == ["accepted"]

    sell = world.order(kind="exit")
    assert (sell.type, sell.time_in_force, sell.price) == ("LIMIT", "IOC", D("49500.01"))


def test_a_resting_bid_is_refused_while_a_market_sell_is_in_flight(world: World) -> None:
    """The market order could reach it."""
    assert enter(world, 0) == "accepted"
    world.fill(world.send(world.order(kind="enter")), "0.0038", "50000", fee="0", fee_asset="BTC")
    outcomes = world.decide(
        world.propose("place", 1, side="buy", lots=180, limit_price=D("49500")),
        world.propose("exit", 0),
        world.propose("enter", 2, lots=380, limit_price=LIMIT),
    )
    assert codes(outcomes) == ["CONFLICT_WOULD_CROSS", "accepted", "accepted"]


def test_exits_come_before_entries_whatever_their_rank(world: World) -> None:
    """Deterministic arbitration: exits, then ranks, never arrival."""
    assert enter(world, 4) == "accepted"
    world.fill(world.send(world.order(kind="enter", book=4)), "0.0038", "50000", fee="0", fee_asset="BTC")
    world.decide(
        world.propose("enter", 3, lots=380, limit_price=LIMIT),
        world.propose("enter", 1, lots=380, limit_price=LIMIT),
        world.propose("exit", 4),
    )
    newest = Intent.objects.order_by("-seq")[:3]
    assert [(intent.kind, intent.book.number) for intent in newest] == [("enter", 4), ("enter", 2), ("exit", 5)]


def test_a_second_exit_waits_for_the_first(world: World) -> None:
    """One exit at a time for a position."""
    assert enter(world, 0) == "accepted"
    world.fill(world.send(world.order(kind="enter")), "0.0038", "50000", fee="0", fee_asset="BTC")
    assert codes(world.decide(world.propose("exit", 0))) == ["accepted"]
    assert codes(world.decide(world.propose("exit", 0))) == ["EXIT_PENDING"]


def test_cancels_of_resting_buys_keep_sells_and_stops(world: World) -> None:
    """What a stopped bot leaves behind."""
    Book.objects.update(position_cap_percent=100)
    world.decide(world.propose("enter", 0, lots=380, limit_price=LIMIT, stop_price=D("49000")))
    world.fill(world.send(world.order(kind="enter")), "0.0038", "50000", fee="0", fee_asset="BTC")
    world.decide(
        world.propose("place", 0, side="buy", lots=180, slot=1, limit_price=D("49500")),
        world.propose("place", 0, side="buy", lots=180, slot=2, limit_price=D("49400")),
    )
    sent = world.send(Order.objects.get(slot=1))
    with transaction.atomic():
        count = orders.request_cancels(world.account(), now=NOW, book_ids=[world.books[0].pk], entries_only=True)
    sent.refresh_from_db()
    assert count == 2
    assert sent.cancel_requested_at == NOW
    assert Order.objects.get(slot=2).status == Order.Status.WITHDRAWN
    assert Order.objects.get(type="STOP_LOSS").cancel_requested_at is None
    assert world.verify() == []


def test_flatten_cancels_everything_and_sells_all(world: World) -> None:
    """Flattening needs no strategy."""
    world.decide(world.propose("enter", 0, lots=380, limit_price=LIMIT, stop_price=D("49000")))
    world.fill(world.send(world.order(kind="enter")), "0.0038", "50000", fee="0", fee_asset="BTC")
    stop = world.send(world.order(kind="stop"))
    with transaction.atomic():
        count = coordinate.flatten(
            world.account(), world.books[0].pk, market_at=world.market_at, now=NOW, reason="OPERATOR_FLATTEN"
        )
    assert count == 1
    world.end(stop)
    sell = world.send(world.order(kind="flatten"))
    assert (sell.type, sell.quantity) == ("MARKET", D("0.0038"))
    world.fill(sell, "0.0038", "50000")
    assert world.position().quantity == 0
    assert world.verify() == []


@pytest.mark.django_db
def test_a_batch_of_five_books_is_a_handful_of_statements() -> None:
    """The coordinator's cost does not grow with the number of proposals."""
    world = build()

    def statements(count: int) -> int:
        proposals = [
            world.propose("enter", book, lots=30, limit_price=D("50505"), stop_price=D("49000")) for book in range(count)
        ]
        with CaptureQueriesContext(connection) as captured:
            assert all(outcome.is_accepted for outcome in world.decide(*proposals))
        return len(captured)

    statements(5)
    single, all_five = statements(1), statements(5)
    assert all_five == single
    assert all_five <= 27


def test_a_withdrawn_order_was_never_sent(world: World) -> None:
    """Whoever updates the row first has the order: trader or coordinator, never both."""
    Book.objects.update(position_cap_percent=100)
    world.decide(world.propose("place", 0, side="buy", lots=180, slot=1, limit_price=D("49500")))
    order = Order.objects.get(slot=1)
    world.decide(world.propose("cancel", 0, slot=1))
    assert not orders.mark_sending(order.pk, epoch=1, now=NOW)
    assert codes(world.decide(world.propose("cancel", 0, slot=1))) == ["ORDER_NOT_FOUND"]


def test_an_entry_that_partly_fills_and_expires_keeps_its_part(world: World) -> None:
    """The remainder is free again, the part is protected."""
    world.decide(world.propose("enter", 0, lots=380, limit_price=LIMIT, stop_price=D("49000")))
    order = world.send(world.order(kind="enter"))
    world.fill(order, "0.001", "50000", fee="0.000001", fee_asset="BTC")
    world.end(order, ExchangeStatus.EXPIRED)
    assert world.order(kind="stop").quantity == D("0.00099")
    assert selectors.book_numbers(world.account_id)[0].cash == D("1926.46")
    assert world.verify() == []
