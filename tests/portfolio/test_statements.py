"""How many statements a step of the order path costs: each is a round trip that the next order waits for."""

from __future__ import annotations

from decimal import Decimal

from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from portfolio.jobs import coordinate
from portfolio.models import Account, Order
from portfolio.trader import records
from portfolio.writers import answers, fills, loading, orders
from tests.portfolio.world import NOW, World
from trading.desk.answers import Answer
from trading.desk.rows import IntentRow, OrderRow, ReservationRow
from trading.desk.store import ORDER_FIELDS
from trading.orders import ExchangeStatus, Side, TradeReport

D = Decimal
# What a decision does not read of an order that lives, and of its intent.
OF_ITS_NEWS = {
    "reservation", "exchange_order_id", "reason", "message", "executed_quantity", "executed_quote", "filled_quote", "filled_fee",
    "acknowledged_at", "closed_at", "market_at",
}  # fmt: skip
OF_ITS_INTENT = {"limit_price", "reason", "drop_reason"}


def entered(world: World, *, stop: Decimal | None = None) -> Order:
    """Have the first book enter and send the order."""
    world.decide(world.propose("enter", lots=380, limit_price=D("50505"), stop_price=stop))
    return world.send(world.order(kind="enter"))


def traded(world: World, order: Order, quantity: str) -> TradeReport:
    """Have the exchange trade, and nobody told yet."""
    return world.exchange.fill(order.client_order_id, quantity=D(quantity), price=D("50000"), fee=D("0.0000018"), fee_asset="BTC")


def attributes_of(protocol: type) -> list[str]:
    """Name what a row must have, without what only writes it."""
    names = [*protocol.__annotations__, *(name for name, value in vars(protocol).items() if isinstance(value, property))]
    return [name for name in names if name not in ("decision", "instrument")]


def statements_of(world: World, trade: TradeReport) -> list[str]:
    """Post a trade and return what was asked of the database after the account's lock."""
    with transaction.atomic():
        account = world.account()
        with CaptureQueriesContext(
            connection,
        ) as seen:
            assert fills.post_fill(account, trade, now=NOW) is not None
    return [query["sql"] for query in seen.captured_queries]


def test_a_fill_costs_at_most_nine_statements(world: World) -> None:
    """It cost eighteen; the first fill of a book also makes its position and its pockets."""
    order = entered(world)
    assert len(statements_of(world, traded(world, order, "0.0018"))) <= 9
    assert len(statements_of(world, traded(world, order, "0.0010"))) <= 7
    last = statements_of(world, traded(world, order, "0.0010"))
    assert len(last) <= 8
    order.refresh_from_db()
    assert order.status == Order.Status.FILLED


def test_a_page_of_trades_costs_what_one_costs(world: World) -> None:
    """Ten thousand missed trades are a hundred pages."""
    order = entered(world)
    trades = [traded(world, order, "0.00003") for _ in range(100)]
    with transaction.atomic():
        account = world.account()
        with CaptureQueriesContext(connection) as seen:
            news, unknown = fills.post_fills(account, trades, now=NOW)
    assert (len(news), unknown) == (100, [])
    assert len(seen) <= 10
    assert world.verify() == []
    with transaction.atomic():
        assert fills.post_fills(world.account(), trades, now=NOW) == ([], [])


def test_a_page_of_trades_reads_no_order_again_when_one_of_them_ends(world: World) -> None:
    """What has ended asks for all that lives, among it the orders of the trades to come: they are here already, whole."""
    world.decide(*(world.propose("enter", book, lots=380, limit_price=D("50505"), stop_price=D(49000)) for book in range(5)))
    ending, *others = [world.send(world.order(kind="enter", book=book)) for book in range(5)]
    trades = [traded(world, ending, "0.0038"), *(traded(world, order, "0.0018") for order in others)]
    with transaction.atomic():
        account = world.account()
        with CaptureQueriesContext(connection) as seen:
            news, unknown = fills.post_fills(account, trades, now=NOW)
    assert (len(news), unknown) == (5, [])
    # Fifty-nine, when the four others were read again column by column.
    assert len(seen) <= 19, [query["sql"][:90] for query in seen.captured_queries]
    assert world.verify() == []


def test_a_page_of_foreign_trades_costs_what_one_costs(world: World) -> None:
    """A person's trades have no order here; they are the operator's all the same."""
    made = TradeReport("BTCUSDT", 0, "77", "web_1", Side.BUY, D(50000), D("0.0001"), D(5), D("0.0000001"), "BTC",
                       is_maker=False, traded_at=world.market_at)  # fmt: skip
    trades = [world.exchange.by_hand(made) for _ in range(50)]
    with transaction.atomic():
        account = world.account()
        with CaptureQueriesContext(connection) as seen:
            news, unknown = fills.post_fills(account, trades, now=NOW)
    assert (len(news), unknown) == (50, [])
    # Seven of them halt entries and raise the alarm: nobody has told of these coins before.
    assert len(seen) <= 16, [query["sql"][:90] for query in seen.captured_queries]
    with transaction.atomic():
        assert fills.post_fills(world.account(), trades, now=NOW) == ([], [])


def test_a_repeated_fill_costs_one_statement(world: World) -> None:
    """Streams and page reads tell the same trade twice every time."""
    order = entered(world)
    trade = traded(world, order, "0.0018")
    world.post(trade)
    with transaction.atomic():
        account = world.account()
        with CaptureQueriesContext(connection) as seen:
            assert fills.post_fill(account, trade, now=NOW) is None
    assert len(seen) <= 1


def test_the_last_fill_of_a_protected_entry_writes_its_stop_in_the_same_breath(world: World) -> None:
    """The stop's intent, order, reservation and doorbell join the statements of the fill."""
    order = entered(world, stop=D("49000"))
    assert len(statements_of(world, traded(world, order, "0.0038"))) <= 19
    assert world.order(kind="stop").status == Order.Status.READY


def test_an_answer_that_changes_nothing_writes_one_row(world: World) -> None:
    """The report of a resting order."""
    order = entered(world)
    report = world.exchange.report(order.client_order_id)
    with transaction.atomic():
        account = world.account()
        with CaptureQueriesContext(connection) as seen:
            orders.apply_report(account, order.pk, report, now=NOW)
    assert len(seen) <= 2


def test_twenty_answers_cost_what_one_costs(world: World) -> None:
    """A kill's cancels come back in hundreds: each must not load what is live."""
    proposals = [world.propose("place", n % 5, side="buy", slot=n, lots=20, limit_price=D("49000") - n) for n in range(20)]
    world.decide(*proposals)
    placed = [world.send(order) for order in Order.objects.order_by("id")]
    told = [Answer(order.pk, world.exchange.end(order.client_order_id, ExchangeStatus.CANCELED)) for order in placed]
    with transaction.atomic():
        account = world.account()
        with CaptureQueriesContext(connection) as seen:
            given = answers.apply_answers(account, told, now=NOW)
    assert {order.status for order in given.orders.values()} == {"canceled"}
    assert len(seen) <= 8, [query["sql"][:90] for query in seen.captured_queries]
    assert world.verify() == []


def test_coordinating_costs_the_same_for_one_bot_and_for_five(world: World) -> None:
    """Reads and writes are per account, not per bot; what risk must know is six reads of the twenty-three."""
    world.decide(world.propose("place", 0, side="buy", lots=20, limit_price=D("49000")))
    for count in (1, 5):
        proposals = [world.propose("enter", book, lots=100, limit_price=D("50505")) for book in range(count)]
        world.market_at = world.market_at.replace(hour=count)
        with transaction.atomic():
            account = world.account()
            with CaptureQueriesContext(connection) as seen:
                outcomes = coordinate.coordinate(account, proposals, market_at=world.market_at, now=NOW)
        assert all(outcome.is_accepted for outcome in outcomes)
        assert len(seen) <= 23, [query["sql"][:90] for query in seen.captured_queries]


def test_holding_costs_three_statements(world: World) -> None:
    """Most candles change nothing: the decisions, the books and the account are written, nothing is read."""
    with transaction.atomic():
        account = world.account()
        with CaptureQueriesContext(connection) as seen:
            coordinate.coordinate(account, [world.propose("hold", book) for book in range(5)], market_at=world.market_at, now=NOW)
    assert len(seen) == 3


def test_all_live_orders_come_with_what_decisions_read_in_two_statements(world: World) -> None:
    """Every decision asks for them, and there may be hundreds: what only their own news is about stays where it is."""
    entered(world, stop=D(49000))
    world.decide(
        *(
            world.propose("place", book, side="buy", lots=20, limit_price=D(49000), slot=slot)
            for book in (1, 2)
            for slot in (0, 1)
        )
    )
    with transaction.atomic():
        account = world.account()
        with CaptureQueriesContext(connection) as seen:
            live = loading.live_orders(account)
            assert len(live) == 5
            for order in live:
                assert all(hasattr(order, name) for name in attributes_of(OrderRow) if name not in OF_ITS_NEWS)
                assert all(hasattr(order.intent, name) for name in attributes_of(IntentRow) if name not in OF_ITS_INTENT)
                assert order.intent.decision_id is not None
                # What was never sent may be withdrawn at once, a hundred of them.
                assert order.status != "ready" or all(hasattr(order.reservation, name) for name in attributes_of(ReservationRow))
        assert len(seen) == 2
        assert {order.status for order in live} == {"ready", "open"}
        assert len({id(order.instrument) for order in live}) == 1
        # The rest is there for whoever asks after all.
        assert all(hasattr(order, name) for order in live for name in ORDER_FIELDS)
        assert all(order.reservation.remaining > 0 for order in live)


def test_what_must_go_out_is_looked_at_in_one_statement(world: World) -> None:
    """The trader looks with every stir: at what waits to be sent, at wanted cancels, and at a kill."""
    resting = entered(world)
    world.decide(world.propose("place", 1, side="buy", lots=20, limit_price=D(45000)))
    Order.objects.filter(pk=resting.pk).update(cancel_requested_at=NOW)
    with CaptureQueriesContext(connection) as seen:
        agenda = records.agenda(world.account_id)
    assert len(seen) == 1
    (outgoing,) = agenda.ready
    assert (outgoing.ticket.symbol, outgoing.ticket.quantity, outgoing.is_entry) == ("BTCUSDT", D("0.0002"), True)
    assert [(order.order_id, sent_at) for order, sent_at in agenda.cancels] == [(resting.pk, None)]
    assert not agenda.is_kill_pending
    Account.objects.update(is_killed=True, killed_at=NOW)
    assert records.agenda(world.account_id).is_kill_pending
