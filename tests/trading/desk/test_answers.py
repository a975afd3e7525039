"""What the exchange tells of many orders at once: everything is taken in, in its order, and loaded in one go."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from decimal import Decimal

import pytest

from tests.trading.desk.test_placing import ask
from tests.trading.desk.world import NOW, World, build
from trading.desk import claims
from trading.desk.answers import Answer, apply_answers, apply_news
from trading.desk.fills import Posted
from trading.desk.memory import MemoryStore
from trading.desk.plain import Order
from trading.orders import OrderReport, TradeReport

D = Decimal


@pytest.fixture
def world() -> World:
    """Two books, each with a bid for 0.001 BTC at 50,000 that the exchange has."""
    world = build()
    for book in (1, 2):
        ask(world, "place", book, side="buy", lots=100, limit_price=D(50000))
        world.send(world.order("place", book=book))
    return world


@pytest.fixture
def loaded() -> Iterator[list[Sequence[TradeReport]]]:
    """Note which trades are loaded together."""
    asked: list[Sequence[TradeReport]] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(MemoryStore, "prefetch_trades", lambda _store, trades: asked.append(list(trades)))
        yield asked


def trade(world: World, order: Order, quantity: str, price: str = "50000", *, fee: str = "0", asset: str = "USDT") -> TradeReport:
    """Have the exchange trade and tell nobody yet."""
    return world.exchange.fill(order.client_order_id, quantity=D(quantity), price=D(price), fee=D(fee), fee_asset=asset)


def hear(world: World, *news: OrderReport | TradeReport) -> Posted:
    """Take in what the stream tells."""
    with world.at_desk(epoch=1) as desk:
        return apply_news(desk, news)


def answer(world: World, *answers: Answer) -> Posted:
    """Take in what came back for orders."""
    with world.at_desk(epoch=1) as desk:
        return apply_answers(desk, answers)


def test_the_stream_is_taken_in_to_its_end(world: World, loaded: list[Sequence[TradeReport]]) -> None:
    """A trade, the state of its order, a trade of another: each counts; what belongs to nobody is passed over."""
    first, second = world.order("place", book=1), world.order("place", book=2)
    trades = [trade(world, first, "0.0004"), trade(world, first, "0.0003"), trade(world, second, "0.001")]
    report = world.exchange.report(first.client_order_id)
    stranger = replace(report, client_order_id="somebody-elses")
    posted = hear(world, trades[0], trades[1], report, stranger, trades[2])
    assert [row.trade_id for row in posted.fills] == [row.trade_id for row in trades]
    assert (world.now(first).executed_quantity, world.now(first).filled_quantity) == (D("0.0007"), D("0.0007"))
    assert world.now(second).status == "filled"
    assert loaded[0] == trades, "all of them in one go"
    assert world.agrees()


def test_a_state_alone_is_taken_in(world: World, loaded: list[Sequence[TradeReport]]) -> None:
    order = world.order("place")
    hear(world, world.exchange.end(order.client_order_id))
    assert world.now(order).status == "canceled"
    assert not any(loaded)


def test_an_answer_brings_its_trades_before_its_state(world: World, loaded: list[Sequence[TradeReport]]) -> None:
    first, second = world.order("place", book=1), world.order("place", book=2)
    mine, others = trade(world, first, "0.0004"), trade(world, second, "0.001")
    posted = answer(
        world,
        Answer(first.pk, world.exchange.end(first.client_order_id), (mine,)),
        Answer(second.pk, world.exchange.report(second.client_order_id), (others,)),
    )
    assert [row.trade_id for row in posted.fills] == [mine.trade_id, others.trade_id]
    assert loaded[0] == [mine, others], "all of them in one go"
    assert [world.now(row).status for row in (first, second)] == ["canceled", "filled"]
    assert world.agrees()


def test_a_refusal_ends_an_order_and_silence_does_not(world: World) -> None:
    """Nobody knows of the second whether it lives: it keeps its money."""
    orders = []
    for book in (1, 2):
        ask(world, "place", book, slot=1, side="buy", lots=100, limit_price=D(49000))
        orders.append(world.order("place", book=book))
        assert world.claim(orders[-1], claims.sending(epoch=1, now=NOW))
    assert world.claim(orders[1], claims.unknown("TIMEOUT", "no answer"))
    refused = Answer(orders[0].pk, None, is_refused=True, code="FILTER", message="too small")
    answer(world, Answer(orders[1].pk, None, code="TIMEOUT"), refused)
    rows = [world.now(row) for row in orders]
    assert [(row.status, row.reason, row.message) for row in rows] == [
        ("rejected", "FILTER", "too small"),
        ("unknown", "TIMEOUT", "no answer"),
    ]


def test_a_trade_without_a_name_waits_until_its_order_is_read(world: World) -> None:
    """Two orders on their way have no number of the exchange yet: either could be meant, and the next trade is posted."""
    ask(world, "place", 3, side="buy", lots=100, limit_price=D(50000))
    unanswered = world.order("place", book=3)
    assert world.claim(unanswered, claims.sending(epoch=1, now=NOW))
    world.exchange.accept(unanswered)
    nameless = replace(trade(world, unanswered, "0.0004"), client_order_id=None)
    named = trade(world, world.order("place", book=2), "0.001")
    posted = hear(world, nameless, named)
    assert (posted.unknown, [row.trade_id for row in posted.fills]) == ([nameless], [named.trade_id])


@pytest.mark.parametrize("arrivals", [[[5, 4, 3, 2, 1, 0]], [[5, 0, 2, 4, 1, 3]], [[5], [1, 2, 0, 4, 3]], [[0, 4, 5], [1, 2, 3]]])
def test_trades_are_folded_in_their_own_order_whatever_answer_brings_them(arrivals: list[list[int]]) -> None:
    """I-21: together or in two transactions, each book's position and gains are those of all having come in time."""
    assert after_answers(arrivals) == after_answers([[0, 1, 2, 3, 4, 5]])


def after_answers(arrivals: list[list[int]]) -> object:
    """Tell of six trades of two books, one answer each, in this order; return what fills and positions say."""
    world = build()
    orders = []
    for slot, price in enumerate((50000, 49900, 49800)):
        for book in (1, 2):
            ask(world, "place", book, slot=slot, side="buy", lots=100, limit_price=D(price))
            orders.append(world.send(world.order("place", book=book)))
    ask(world, "enter", 1, lots=200, limit_price=D("50505"))
    world.fill(world.send(world.order("enter")), "0.002", "50400")
    ask(world, "exit", 1, lots=100)
    sale = world.send(world.order("exit"))
    first, second, third, fourth, fifth, _ = orders
    told = [
        (first, trade(world, first, "0.001", fee="0.000001", asset="BTC")),
        (second, trade(world, second, "0.001")),
        (sale, trade(world, sale, "0.001", "50300", fee="0.01")),
        (fourth, trade(world, fourth, "0.001", "49900")),
        (third, trade(world, third, "0.001", "49900", fee="0.000002", asset="BTC")),
        (fifth, trade(world, fifth, "0.001", "49800")),
    ]
    answers = [Answer(order.pk, world.exchange.report(order.client_order_id), (row,)) for order, row in told]
    for batch in arrivals:
        answer(world, *(answers[n] for n in batch))
    assert world.agrees()
    fills = sorted((row.trade_id, row.realised) for row in world.memory.tables.fills.values())
    return fills, [(row.quantity, row.cost, row.realised, row.fees) for row in (world.position(1), world.position(2))]
