"""Matching, drawn as stories: candles on the left, what they must bring on the right."""

from __future__ import annotations

import pytest

from tests.venue.worlds import START, World, draw, money
from venue.errors import ApiError
from venue.journal import UserEvent
from venue.market.bars import MINUTE_MS
from venue.matching.terms import Terms
from venue.orders import Order
from venue.payloads import order_row

FLAT = ("100", "100", "100", "100", "1000")

# The first candle is walked after the order was sent at its open; fills as side quantity@price.
RESTING = """
    order                        open  high  low    close  volume  fills
    BUY LIMIT 1 @ 99             100   101   99     100    1000    -
    BUY LIMIT 1 @ 99             100   101   98.99  100    1000    BUY 1@99
    SELL LIMIT 1 @ 101           100   101   99     100    1000    -
    SELL LIMIT 1 @ 101           100   101.01 99    100    1000    SELL 1@101
    BUY LIMIT 30 @ 99            100   101   98     100    100     BUY 10@99
    BUY LIMIT 5 @ 99             100   101   98     100    0       -
    SELL STOP_LOSS 1 ! 98        100   101   98.01  100    1000    -
    SELL STOP_LOSS 1 ! 98        100   101   98     100    1000    SELL 1@97.99
    BUY STOP_LOSS 1 ! 102        100   102   99     100    1000    BUY 1@102.01
    SELL TAKE_PROFIT 1 ! 102     100   102   99     100    1000    SELL 1@101.99
    BUY TAKE_PROFIT 1 ! 98       100   101   98     100    1000    BUY 1@98.01
    SELL STOP_LOSS_LIMIT 1 @ 98 ! 98   100 101 97   97     1000    -
    SELL STOP_LOSS_LIMIT 1 @ 97.9 ! 98 100 101 97   97     1000    SELL 1@97.99
    SELL STOP_LOSS_LIMIT 1 @ 98 ! 98   100 103 97   98.5   1000    SELL 1@98
"""


def _stories(table: str, columns: int) -> list[tuple[str, list[str]]]:
    rows = []
    for line in table.strip().splitlines()[1:]:
        words = line.split()
        tail = next(i for i in range(len(words)) if i >= 5 and len(words) - i == _tail_length(words, columns))
        rows.append((" ".join(words[:tail]), words[tail:]))
    return rows


def _tail_length(words: list[str], columns: int) -> int:
    return columns if words[-1] == "-" else columns + 1


def _send(world: World, text: str) -> None:
    words = text.split()
    wishes = {"quantity": words[2]}
    for mark, name in (("@", "price"), ("!", "stop")):
        if mark in words:
            wishes[name] = words[words.index(mark) + 1]
    world.order(words[0], words[1], **wishes)


@pytest.mark.parametrize(("order", "row"), _stories(RESTING, 6))
@pytest.mark.parametrize("parts", [1, 8, 80])
def test_what_a_candle_brings_to_a_waiting_order(order: str, row: list[str], parts: int) -> None:
    """However finely the path is walked, the fills are the same."""
    open_, high, low, close, volume = row[:5]
    world = draw([(open_, high, low, close, volume), (close, close, close, close, "1000")])
    _send(world, order)

    while world.clock.position.progress < 240:
        world.clock.walk(parts)

    fills = [f"{trade.side} {money(trade.quantity)}@{money(trade.price)}" for trade in world.engine.journal.trades]
    assert fills == ([] if row[5:] == ["-"] else [" ".join(row[5:])])


GAPS = """
    order                        next open   fill
    SELL STOP_LOSS 1 ! 98        90          SELL 1@89.99
    SELL STOP_LOSS 1 ! 98        98          SELL 1@97.99
    BUY LIMIT 1 @ 99             90          BUY 1@99
    SELL LIMIT 1 @ 101           120         SELL 1@101
    BUY STOP_LOSS 1 ! 102        110         BUY 1@110.01
"""


@pytest.mark.parametrize("line", GAPS.strip().splitlines()[1:])
def test_a_gap_fills_at_the_open_before_anything_sent_in_the_hold(line: str) -> None:
    order, gap_open, fill = (part.strip() for part in line.split("  ") if part.strip())
    world = draw([FLAT, (gap_open, gap_open, gap_open, gap_open, "1000")])
    _send(world, order)

    trades = world.walk_bar()

    assert [f"{trade.side} {money(trade.quantity)}@{money(trade.price)}" for trade in trades] == [fill]
    assert trades[0].time == START + MINUTE_MS


def test_a_stop_is_met_before_a_limit_that_lies_deeper() -> None:
    world = draw([("100", "100", "95", "96", "1000"), FLAT])
    world.order("BUY", "LIMIT", quantity="1", price="97")
    world.order("SELL", "STOP_LOSS", quantity="1", stop="98")
    world.order("BUY", "LIMIT", quantity="1", price="97.5")

    trades = world.walk_bar()

    assert [trade.order_id for trade in trades] == [2, 3, 1]
    assert [trade.time for trade in trades] == sorted(trade.time for trade in trades)


def test_resting_orders_share_the_volume_best_price_first_then_oldest() -> None:
    world = draw([("100", "100", "90", "100", "30"), FLAT])
    for price in ("98", "99", "99"):
        world.order("BUY", "LIMIT", quantity="2", price=price)

    trades = world.walk_bar()

    assert [(trade.order_id, money(trade.quantity)) for trade in trades] == [(2, "2"), (3, "1")]


def test_the_budget_is_fresh_in_the_next_bar() -> None:
    world = draw([("100", "100", "98", "98", "10"), ("98", "98", "97", "98", "10"), FLAT])
    world.order("BUY", "LIMIT", quantity="1.5", price="99")

    first, second = world.walk_bar(), world.walk_bar()

    # The open of the second bar trades through at once and takes what is left of the order.
    assert [money(trade.quantity) for trade in first] == ["1", "0.5"]
    assert second == []


def test_a_large_market_order_walks_up_the_book() -> None:
    world = draw([("100", "100", "100", "100", "100"), FLAT], terms=Terms(half_spread_ppm=1000, slippage_ppm=500))

    _, trades = world.order("BUY", "MARKET", quantity="25")

    assert [(money(t.quantity), money(t.price)) for t in trades] == [("10", "100.15"), ("10", "100.25"), ("5", "100.35")]


def test_fees_come_out_of_what_is_received() -> None:
    world = draw([FLAT])

    _, bought = world.order("BUY", "MARKET", quantity="0.1234")
    _, sold = world.order("SELL", "MARKET", quantity="0.1234")

    assert (money(bought[0].fee), bought[0].fee_asset) == ("0.0001234", "ETH")
    assert (money(sold[0].fee), sold[0].fee_asset) == ("0.01233876", "USDT")


def test_a_quote_order_spends_at_most_what_it_says_in_whole_lots() -> None:
    world = draw([FLAT])

    order, trades = world.order("BUY", "MARKET", quote="50")

    assert money(order.quantity) == "0.4999"
    assert money(sum(trade.quote for trade in trades)) == "49.994999"
    assert order.status == "FILLED"


def test_a_crossing_limit_takes_at_the_ask_and_an_ioc_does_not_rest() -> None:
    world = draw([FLAT])

    taken, trades = world.order("BUY", "LIMIT", quantity="1", price="105")
    expired, nothing = world.order("BUY", "LIMIT", quantity="1", price="99", in_force="IOC")

    assert (taken.status, money(trades[0].price)) == ("FILLED", "100.01")
    assert (expired.status, nothing) == ("EXPIRED", [])
    assert world.account.balance("USDT").locked == 0


def test_a_fill_or_kill_order_fills_whole_or_not_at_all() -> None:
    world = draw([("100", "100", "100", "100", "10"), FLAT], terms=Terms(half_spread_ppm=1000))

    killed, nothing = world.order("BUY", "LIMIT", quantity="2", price="100.15", in_force="FOK")
    filled, trades = world.order("BUY", "LIMIT", quantity="2", price="100.2", in_force="FOK")

    assert (killed.status, nothing) == ("EXPIRED", [])
    assert (filled.status, len(trades)) == ("FILLED", 2)


@pytest.mark.parametrize(
    ("prevention", "taker", "maker", "fills"),
    [
        ("NONE", "FILLED", "NEW", 1),
        ("EXPIRE_TAKER", "EXPIRED_IN_MATCH", "NEW", 0),
        ("EXPIRE_MAKER", "FILLED", "EXPIRED_IN_MATCH", 1),
        ("EXPIRE_BOTH", "EXPIRED_IN_MATCH", "EXPIRED_IN_MATCH", 0),
    ],
)
def test_self_trades_are_prevented_as_asked(prevention: str, taker: str, maker: str, fills: int) -> None:
    world = draw([FLAT], terms=Terms(half_spread_ppm=1000))
    resting, _ = world.order("SELL", "LIMIT", quantity="1", price="100.05")

    crossing, trades = world.order("BUY", "MARKET", quantity="1", prevention=prevention)

    assert (crossing.status, resting.status, len(trades)) == (taker, maker, fills)
    assert world.account.balance("ETH").locked == resting.locked


REFUSALS = [
    ("BUY", "LIMIT", {"quantity": "1", "price": "99.001"}, -1013, "Filter failure: PRICE_FILTER"),
    ("BUY", "LIMIT", {"quantity": "0.00001", "price": "99"}, -1013, "Filter failure: LOT_SIZE"),
    ("BUY", "LIMIT", {"quantity": "0.01", "price": "99"}, -1013, "Filter failure: NOTIONAL"),
    ("BUY", "LIMIT", {"quantity": "1", "price": "19.99"}, -1013, "Filter failure: PERCENT_PRICE_BY_SIDE"),
    ("SELL", "LIMIT", {"quantity": "1", "price": "500.01"}, -1013, "Filter failure: PERCENT_PRICE_BY_SIDE"),
    ("SELL", "MARKET", {"quantity": "2200.0001"}, -1013, "Filter failure: MARKET_LOT_SIZE"),
    ("SELL", "MARKET", {"quantity": "0.04"}, -1013, "Filter failure: NOTIONAL"),
    ("BUY", "MARKET", {"quote": "4.99"}, -1013, "Filter failure: NOTIONAL"),
    ("BUY", "LIMIT", {"quantity": "11", "price": "99"}, -2010, "Account has insufficient balance for requested action."),
    ("BUY", "MARKET", {"quantity": "10"}, -2010, "Account has insufficient balance for requested action."),
    ("SELL", "LIMIT", {"quantity": "11", "price": "101"}, -2010, "Account has insufficient balance for requested action."),
    ("BUY", "LIMIT_MAKER", {"quantity": "1", "price": "100.01"}, -2010, "Order would immediately match and take."),
    ("SELL", "STOP_LOSS", {"quantity": "1", "stop": "100"}, -2010, "Stop price would trigger immediately."),
    ("BUY", "STOP_LOSS", {"quantity": "1", "stop": "100"}, -2010, "Stop price would trigger immediately."),
]


@pytest.mark.parametrize(("side", "kind", "wishes", "code", "message"), REFUSALS)
def test_refusals_use_the_official_words(side: str, kind: str, wishes: dict[str, str], code: int, message: str) -> None:
    world = draw([FLAT], balances={"USDT": "1000", "ETH": "10"})
    if wishes.get("quantity") == "2200.0001":
        world.account.balance("ETH").free *= 1000

    with pytest.raises(ApiError) as refusal:
        world.order(side, kind, **wishes)

    assert (refusal.value.code, refusal.value.message) == (code, message)
    assert world.engine.journal.orders == {}


def test_a_client_id_is_unique_among_open_orders_only() -> None:
    world = draw([FLAT])
    world.order("BUY", "LIMIT", quantity="1", price="99", client="mine")

    with pytest.raises(ApiError, match="Duplicate order sent"):
        world.order("BUY", "LIMIT", quantity="1", price="98", client="mine")

    world.engine.cancel(world.account, "ETHUSDT", order_id=1, client_order_id=None, new_client_id="c")
    again, _ = world.order("BUY", "LIMIT", quantity="1", price="98", client="mine")
    assert again.order_id == 2


def test_only_five_stops_may_wait() -> None:
    world = draw([FLAT])
    for number in range(5):
        world.order("SELL", "STOP_LOSS", quantity="1", stop="90", client=f"s{number}")

    with pytest.raises(ApiError, match="MAX_NUM_ALGO_ORDERS"):
        world.order("SELL", "STOP_LOSS", quantity="1", stop="90", client="s6")


def test_nothing_trades_while_the_recording_has_a_gap() -> None:
    world = draw([FLAT, ("-", "", "", "", ""), FLAT])

    world.walk_bar()

    assert world.engine.now == START + 2 * MINUTE_MS
    assert world.engine.books["ETHUSDT"].is_trading


@pytest.mark.parametrize(
    ("mode", "taker", "maker", "traded"),
    [
        ("NONE", ("FILLED", "0"), ("NEW", "0"), "3"),
        ("EXPIRE_TAKER", ("EXPIRED_IN_MATCH", "3"), ("NEW", "0"), "0"),
        ("EXPIRE_MAKER", ("FILLED", "0"), ("EXPIRED_IN_MATCH", "2"), "3"),
        ("EXPIRE_BOTH", ("EXPIRED_IN_MATCH", "3"), ("EXPIRED_IN_MATCH", "2"), "0"),
        ("DECREMENT", ("FILLED", "2"), ("EXPIRED_IN_MATCH", "2"), "1"),
    ],
)
def test_self_trade_prevention(mode: str, taker: tuple[str, str], maker: tuple[str, str], traded: str) -> None:
    """A sale of two rests at 100; the same account buys three at up to 101, past it."""
    world = draw([FLAT], terms=Terms(half_spread_ppm=5_000))
    resting, _ = world.order("SELL", "LIMIT", quantity="2", price="100", client="maker")
    taking, trades = world.order("BUY", "LIMIT", quantity="3", price="101", client="taker", prevention=mode)

    assert (taking.status, money(taking.prevented)) == taker
    assert (resting.status, money(resting.prevented)) == maker
    assert money(sum(trade.quantity for trade in trades)) == traded
    balances = world.account.balances
    assert balances["USDT"].locked == 0
    assert balances["ETH"].locked == (resting.remaining if resting.is_open else 0)
    told = [event.payload for event in world.engine.journal.events if isinstance(event, UserEvent)]
    prevented = [payload for payload in told if payload.get("x") == "TRADE_PREVENTION"]
    assert {payload["i"] for payload in prevented} == {order.order_id for order in (taking, resting) if order.prevented}
    assert all(payload["A"] == order_row(_of(payload["i"], taking, resting))["preventedQuantity"] for payload in prevented)


@pytest.mark.fault("E37")
@pytest.mark.parametrize(
    ("mode", "stop", "bid", "sold"),
    [("EXPIRE_TAKER", "EXPIRED_IN_MATCH", "NEW", "0"), ("EXPIRE_MAKER", "FILLED", "EXPIRED_IN_MATCH", "1")],
)
def test_a_stop_that_triggers_onto_a_bid_of_the_account_sells_only_if_the_bid_gives_way(
    mode: str, stop: str, bid: str, sold: str
) -> None:
    """Two books share the account: the bid is best when the other book's stop is reached."""
    world = draw([("100", "100", "98", "98", "1000")])
    protecting, _ = world.order("SELL", "STOP_LOSS", quantity="1", stop="98", client="stop", prevention=mode)
    resting, _ = world.order("BUY", "LIMIT", quantity="2", price="97.99", client="bid")

    world.walk_bar()

    assert (protecting.status, resting.status, money(protecting.executed)) == (stop, bid, sold)


def _of(order_id: int, *orders: Order) -> Order:
    return next(order for order in orders if order.order_id == order_id)
