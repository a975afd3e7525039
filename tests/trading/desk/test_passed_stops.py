"""A stop that the exchange refuses, for the price is through it already, becomes a sale at the market at once (E22)."""

from __future__ import annotations

from decimal import Decimal

import pytest

from exchange.errors import Outcome
from tests.trading.desk.test_protection import end, flatten, start_up, stops
from tests.trading.desk.world import NOW, World, build
from trading.desk import claims, reports
from trading.desk.answers import Answer, apply_answers
from trading.desk.plain import Order
from trading.desk.prevention import EXPIRE_TAKER, SELF_TRADE_PREVENTION, prevention_of
from trading.desk.rows import STOP_WOULD_TRIGGER
from trading.orders import ExchangeStatus
from trading.strategy import Reason

D = Decimal
pytestmark = pytest.mark.fault("E22")


@pytest.fixture
def world() -> World:
    """A book that holds 0.0038 BTC, with a stop at 49,000 that is written and not sent."""
    world = build()
    world.decide(world.propose("enter", lots=380, limit_price=D("50505"), stop_price=D("49000")))
    world.fill(world.send(world.order("enter")), "0.0038", "50000")
    return world


def refuse(world: World, stop: Order | None = None, code: str = STOP_WOULD_TRIGGER) -> Order:
    """Have the exchange refuse the newest stop; return what is the newest order of a stop's intent then."""
    stop = stop or world.order("stop")
    assert world.claim(stop, claims.sending(epoch=1, now=NOW))
    end(world, reports.mark_rejected, stop.pk, code, "Stop price would trigger immediately.")
    return world.order("stop")


def test_the_exchange_the_rules_and_the_strategies_have_one_word_for_it() -> None:
    """Three floors that may not import each other upward."""
    assert Outcome.STOP_WOULD_TRIGGER.value == STOP_WOULD_TRIGGER == Reason.STOP_WOULD_TRIGGER.name
    assert Outcome.STOP_WOULD_TRIGGER.name == STOP_WOULD_TRIGGER


def test_what_it_was_to_guard_is_sold_at_the_market(world: World) -> None:
    """A new intent of the same decision, the coins reserved once, and the position marked until they are sold."""
    stop = world.order("stop")
    sale = refuse(world)
    assert (world.now(stop).status, world.now(stop).reservation.remaining) == ("rejected", D(0))
    assert (sale.type, sale.side, sale.quantity, sale.status) == ("MARKET", "sell", D("0.0038"), "ready")
    assert (sale.stop_price, sale.price, sale.reservation.remaining) == (None, None, D("0.0038"))
    assert (sale.intent.reason, sale.intent.stop_price, sale.intent.lots) == (STOP_WOULD_TRIGGER, D(49000), 380)
    assert (sale.intent.parent, sale.intent.decision) == (stop.intent, stop.intent.decision)
    assert prevention_of(sale.intent.kind, sale.instrument.filters) == "EXPIRE_MAKER"
    assert world.position().is_unprotected
    assert world.memory.tables.audits[-1] == (
        "stop.sell_instead",
        f"order:{stop.client_order_id}",
        {},
        {"stop_price": "49000", "sale": sale.intent.seq, "refusal": ""},
    )

    world.fill(world.send(sale), "0.0038", "48900")
    assert (world.position().quantity, world.position().is_unprotected, world.position().stop_price) == (D(0), False, None)
    assert (world.now(sale).status, stops(world)) == ("filled", 2)
    assert world.agrees()


def test_a_stop_that_is_refused_for_another_reason_is_no_sale(world: World) -> None:
    """Whatever else is wrong with it says nothing about the price."""
    stop = world.order("stop")
    assert refuse(world, code="REJECTED_FILTER").pk == stop.pk
    assert world.position().is_unprotected


def test_an_entry_that_is_refused_in_these_words_is_no_sale() -> None:
    """Only a protective stop has something to sell."""
    world = build()
    world.decide(world.propose("enter", lots=380, limit_price=D("50505"), stop_price=D("49000")))
    entry = world.order("enter")
    assert world.claim(entry, claims.sending(epoch=1, now=NOW))
    end(world, reports.mark_rejected, entry.pk, STOP_WOULD_TRIGGER, "Stop price would trigger immediately.")
    assert len(world.memory.tables.orders) == 1


def test_a_stop_that_somebody_wanted_gone_is_no_sale(world: World) -> None:
    """A person's cancel met the refusal: the position says that it is bare, and nothing is sold behind the person's back."""
    stop = world.order("stop")
    assert world.claim(stop, claims.sending(epoch=1, now=NOW))
    end(world, reports.request_cancels)
    end(world, reports.mark_rejected, stop.pk, STOP_WOULD_TRIGGER, "Stop price would trigger immediately.")
    assert world.order("stop").pk == stop.pk
    assert world.position().is_unprotected


def test_what_a_sale_on_its_way_has_left_is_asked_a_stop_for_when_it_ends(world: World) -> None:
    """Refused beside an exit of a part, a stop is left to that exit; what it does not sell is not left bare behind it."""
    world.decide(world.propose("exit", lots=180))
    sale = world.send(world.order("exit"))
    world.decide(world.propose("move_stop", stop_price=D(49500)))
    refused = world.order("stop")
    assert refuse(world).pk == refused.pk
    world.fill(sale, "0.0018", "49400")

    again = world.order("stop")
    assert (again.type, again.quantity, again.stop_price, again.intent.parent) == (
        "STOP_LOSS",
        D("0.0020"),
        D(49500),
        refused.intent,
    )
    assert refuse(world).type == "MARKET"
    world.fill(world.send(world.order("stop")), "0.0020", "49300")
    assert (world.position().quantity, world.position().is_unprotected) == (D(0), False)
    assert world.agrees()


def test_the_refusal_and_the_end_of_that_sale_may_be_told_in_one_transaction(world: World) -> None:
    """The row of the refused stop still says that it is being sent: what counts is what this transaction has made of it."""
    world.decide(world.propose("exit", lots=180))
    sale = world.send(world.order("exit"))
    world.decide(world.propose("move_stop", stop_price=D(49500)))
    refused = world.order("stop")
    assert world.claim(refused, claims.sending(epoch=1, now=NOW))
    trade = world.exchange.fill(sale.client_order_id, quantity=D("0.0018"), price=D(49400), fee=D(0), fee_asset="USDT")
    with world.at_desk(epoch=1) as desk:
        told = Answer(sale.pk, world.exchange.report(sale.client_order_id), trades=(trade,))
        apply_answers(desk, [Answer(refused.pk, None, is_refused=True, code=STOP_WOULD_TRIGGER, message="Stop price."), told])

    again = world.order("stop")
    assert (again.type, again.quantity, again.stop_price, again.intent.parent) == (
        "STOP_LOSS",
        D("0.0020"),
        D(49500),
        refused.intent,
    )


def test_a_second_stop_that_was_left_to_a_sale_is_not_forgotten_when_that_sells_nothing(world: World) -> None:
    """The sale in the first one's place is not repeated, but nobody has tried to sell in the second one's place."""
    sale = world.send(refuse(world))
    world.decide(world.propose("enter", lots=200, limit_price=D("50505"), stop_price=D("49500")))
    world.fill(world.send(world.order("enter")), "0.0020", "50000")
    second = world.order("stop")
    assert (second.type, second.quantity) == ("STOP_LOSS", D("0.0020"))
    assert refuse(world, second).pk == second.pk
    end(world, reports.mark_rejected, sale.pk, "REJECTED_TIME", "Timestamp for this request is outside of the recvWindow.")

    again = world.order("stop")
    assert (again.type, again.quantity, again.intent.parent) == ("STOP_LOSS", D("0.0058"), second.intent)
    assert refuse(world).quantity == D("0.0058")


@pytest.mark.parametrize("kind", ["exit", "move_stop"])
def test_what_waits_for_the_end_of_a_stop_takes_its_place(world: World, kind: str) -> None:
    """An exit sells; another stop, nearer or further, is asked for, and the exchange says whether it may stand."""
    stop = world.order("stop")
    assert world.claim(stop, claims.sending(epoch=1, now=NOW))
    world.decide(world.propose(kind, stop_price=D(48000) if kind == "move_stop" else None))
    end(world, reports.mark_rejected, stop.pk, STOP_WOULD_TRIGGER, "Stop price would trigger immediately.")
    sales = [row for row in world.memory.tables.orders.values() if row.status == "ready"]
    assert [(row.intent.kind, row.type) for row in sales] == [
        ("exit", "MARKET") if kind == "exit" else ("stop", "STOP_LOSS"),
    ]
    assert not world.position().is_unprotected


def test_a_sale_of_unknown_fate_stays_unknown_and_nothing_is_sold_twice(world: World) -> None:
    """Its coins stay reserved; proven absent, a stop is asked for, for the price may have come back."""
    sale = refuse(world)
    assert world.claim(sale, claims.sending(epoch=1, now=NOW))
    assert world.claim(sale, claims.unknown("TIMEOUT", "no answer"))
    start_up(world)
    assert (world.order("stop").pk, world.now(sale).status, world.now(sale).reservation.remaining) == (
        sale.pk,
        "unknown",
        D("0.0038"),
    )
    assert world.position().is_unprotected

    end(world, reports.mark_absent, sale.pk)
    again = world.order("stop")
    assert (again.type, again.stop_price, again.intent.reason) == ("STOP_LOSS", D(49000), "STOP_ABSENT")
    assert (again.quantity, world.position().is_unprotected) == (D("0.0038"), False)
    # Still through: the exchange says so again.
    assert refuse(world).type == "MARKET"
    assert world.agrees()


def test_what_a_sale_leaves_gets_its_stop_again(world: World) -> None:
    """A thin market took a part; each turn sells something, so there is an end to it."""
    sale = world.send(refuse(world))
    world.fill(sale, "0.0015", "48900")
    assert world.position().is_unprotected
    world.end(sale, ExchangeStatus.EXPIRED)
    again = world.order("stop")
    assert (again.type, again.quantity, again.stop_price, again.intent.reason) == (
        "STOP_LOSS",
        D("0.0023"),
        D(49000),
        "STOP_PROTECTIVE",
    )
    assert not world.position().is_unprotected
    assert world.agrees()


@pytest.mark.parametrize("status", [ExchangeStatus.EXPIRED, ExchangeStatus.REJECTED])
def test_a_sale_that_sold_nothing_leaves_the_position_marked(world: World, status: ExchangeStatus) -> None:
    """Asked again at once, stop and sale would chase each other for ever: the bot acts on its next candle."""
    sale = world.send(refuse(world))
    world.end(sale, status)
    assert (world.order("stop").pk, world.position().is_unprotected) == (sale.pk, True)
    start_up(world)
    assert (world.order("stop").pk, world.position().is_unprotected) == (sale.pk, True)


def test_what_the_exchange_would_not_take_is_not_sold_until_a_trader_begins(world: World) -> None:
    """Too little at the price of now: marked and told. Who begins asks for a stop; the price may be another then."""
    stop = world.order("stop")
    world.memory.marks[1] = D(1300)
    assert refuse(world).pk == stop.pk
    newest = list(world.memory.tables.intents.values())[-1]
    assert (newest.state, newest.drop_reason) == ("dropped", "FILTER_MIN_NOTIONAL")
    assert world.memory.tables.audits[-1].after["refusal"] == "FILTER_MIN_NOTIONAL"
    assert world.position().is_unprotected
    start_up(world)
    again = world.order("stop")
    assert (again.type, again.stop_price, again.pk > stop.pk) == ("STOP_LOSS", D(49000), True)
    assert not world.position().is_unprotected


def test_words_that_prove_nothing_are_no_refusal(world: World) -> None:
    """An answer that nobody can read for certain leaves the stop unknown; proven absent, it is asked for again."""
    stop = world.order("stop")
    assert world.claim(stop, claims.sending(epoch=1, now=NOW))
    assert world.claim(stop, claims.unknown(STOP_WOULD_TRIGGER, "Stop price would trigger immediately."))
    end(world, reports.mark_absent, stop.pk)
    assert (world.order("stop").type, world.order("stop").intent.reason) == ("STOP_LOSS", "STOP_ABSENT")


@pytest.mark.parametrize(("book", "slot"), [(1, 1), (2, 1)])
def test_where_takers_give_way_it_stays_above_the_bids_of_the_account(world: World, book: int, slot: int) -> None:
    """I-39: own bids and those of others are not met; nobody is sold to who is ourselves."""
    world.memory.tables.instruments[1].filters = {SELF_TRADE_PREVENTION: {"modes": [EXPIRE_TAKER]}}
    world.decide(world.propose("place", book, side="buy", lots=100, limit_price=D(48500), slot=slot))
    world.send(world.order("place", book=book))
    sale = refuse(world)
    assert (sale.type, sale.time_in_force, sale.price) == ("LIMIT", "IOC", D("48500.01"))


def test_a_flatten_takes_the_place_of_a_sale_that_is_not_sent(world: World) -> None:
    sale = refuse(world)
    assert flatten(world) == 1
    assert (world.now(sale).status, world.order("flatten").quantity) == ("withdrawn", D("0.0038"))
    start_up(world)
    assert world.order("stop").pk == sale.pk


def test_a_flatten_does_not_wait_for_a_sale_of_unknown_fate(world: World) -> None:
    """What it gives back later is sold then."""
    sale = refuse(world)
    assert world.claim(sale, claims.sending(epoch=1, now=NOW))
    assert world.claim(sale, claims.unknown("TIMEOUT", "no answer"))
    assert flatten(world) == 1
    end(world, reports.mark_absent, sale.pk)
    late = world.order("flatten")
    assert (late.quantity, late.status) == (D("0.0038"), "ready")
    assert world.order("stop").pk == sale.pk


def test_a_bot_that_leaves_meanwhile_sells_once(world: World) -> None:
    """Its exit calls the sale off, which was not sent, and sells the same coins."""
    sale = refuse(world)
    (outcome,) = world.decide(world.propose("exit"))
    assert (outcome.is_accepted, world.now(sale).status) == (True, "withdrawn")
    assert (world.order("exit").quantity, world.order("exit").status) == (D("0.0038"), "ready")
    assert world.agrees()
