"""Prices that happen elsewhere: what is told is what trades, and nobody trades while nothing is told."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from tests.venue.processes import VenueProcess
from venue.amounts import UNIT, parse
from venue.config import read_options
from venue.errors import ApiError
from venue.exchange import Exchange
from venue.market.bars import MINUTE_MS
from venue.market.live import bar_of, read_upstream
from venue.market.source import UnusableMarket
from venue.mirror import MirrorClock
from venue.orders import OrderRequest

BEGIN = 1_767_225_600_000
BTC: dict[str, str] = {
    "symbol": "BTCUSDT",
    "tick": "0.01000000",
    "step": "0.00001000",
    "min_quantity": "0.00001000",
    "max_quantity": "9000.00000000",
    "min_notional": "5.00000000",
}


def describe(path: Path, **changes: Any) -> Path:
    facts: dict[str, Any] = {"exchange": "binance", "title": "Binance", "market_ms": BEGIN + 30_000, "listings": [BTC]}
    path.write_text(json.dumps(facts | changes))
    return path


class Hall:
    """The exchange in process, with one rich account."""

    def __init__(self, folder: Path) -> None:
        words = ["--data-dir", str(folder / "books"), "--market", "live", "--upstream", str(describe(folder / "upstream.json"))]
        self.exchange = Exchange(read_options(words))
        self.clock = cast("MirrorClock", self.exchange.clock)
        self.account = self.exchange.open_account("demo", {"USDT": 1_000_000 * UNIT, "BTC": 10 * UNIT})
        self.number = 0

    def begin(self, minute: int = BEGIN) -> None:
        """Tell two minutes of history and go to the next one."""
        bars = [bar_of(minute - back * MINUTE_MS, (100, 110, 90, 100, 50), UNIT // 100) for back in (2, 1)]
        self.clock.source.learn("BTCUSDT", MINUTE_MS, bars)
        self.clock.open_at(minute)

    def quote(self, bid: str, ask: str) -> None:
        self.clock.quote("BTCUSDT", parse(bid), parse(ask))

    def trade(self, price: str, quantity: str = "1", after: int = 0) -> None:
        at = self.clock.position.bar_open + after
        self.clock.pass_time(at)
        self.clock.trade("BTCUSDT", parse(price), parse(quantity), at, buyer_is_maker=False)

    def order(self, side: str, kind: str, quantity: str, *, price: str = "0", stop: str = "0") -> Any:
        self.number += 1
        request = OrderRequest(
            symbol="BTCUSDT",
            side=side,
            type=kind,
            client_order_id=f"o{self.number}",
            quantity=parse(quantity),
            price=parse(price),
            stop_price=parse(stop),
        )
        return self.exchange.engine.place(self.account, request)[0]


@pytest.fixture
def hall(tmp_path: Path) -> Iterator[Hall]:
    made = Hall(tmp_path)
    yield made
    made.exchange.close()


def test_takers_get_the_quote_that_is_told(hall: Hall) -> None:
    hall.begin()
    hall.quote("99.50", "100.50")

    assert hall.order("BUY", "MARKET", "1").executed_quote == parse("100.50")
    assert hall.order("SELL", "MARKET", "1").executed_quote == parse("99.50")
    hall.quote("101", "101.20")
    assert hall.order("BUY", "MARKET", "1").executed_quote == parse("101.20")


def test_nothing_trades_before_the_first_quote_and_after_the_last(hall: Hall) -> None:
    with pytest.raises(ApiError, match="closed"):
        hall.order("BUY", "MARKET", "1")
    hall.begin()
    with pytest.raises(ApiError, match="closed"):
        hall.order("BUY", "MARKET", "1")
    hall.quote("99", "101")
    waiting = hall.order("BUY", "LIMIT", "1", price="95")
    hall.clock.darken(["BTCUSDT"])
    hall.trade("90", "100")

    assert waiting.executed == 0
    assert (hall.exchange.engine.books["BTCUSDT"].bid, hall.exchange.engine.books["BTCUSDT"].ask) == (0, 0)
    with pytest.raises(ApiError, match="closed"):
        hall.order("SELL", "MARKET", "1")
    hall.quote("94", "94.50")
    assert waiting.executed == 0
    hall.trade("94.50", "100")
    assert waiting.executed == parse("1")


def test_who_waits_is_filled_when_a_trade_goes_through_and_gets_a_tenth_of_the_volume(hall: Hall) -> None:
    hall.begin()
    hall.quote("99", "101")
    waiting = hall.order("BUY", "LIMIT", "3", price="98")
    hall.trade("98", "100")
    assert waiting.executed == 0
    hall.clock.close_minute(BEGIN, {"BTCUSDT": bar_of(BEGIN, (100, 100, 98, 98, 100), UNIT // 100)})

    hall.trade("97.99", "10")
    assert (waiting.executed, waiting.executed_quote) == (parse("1"), parse("98"))
    hall.trade("97", "5")
    assert waiting.executed == parse("1.5")
    hall.trade("97", "100")
    assert waiting.executed == parse("3")


def test_a_stop_is_met_by_a_trade_and_sells_at_the_bid(hall: Hall) -> None:
    hall.begin()
    hall.quote("99", "101")
    hall.trade("100")
    stop = hall.order("SELL", "STOP_LOSS", "1", stop="95")
    hall.quote("79.90", "80.10")
    assert stop.executed == 0
    hall.trade("80")

    assert (stop.executed, stop.executed_quote) == (parse("1"), parse("79.90"))


def test_a_minute_stays_the_current_one_until_it_is_told_closed(hall: Hall) -> None:
    hall.begin()
    hall.quote("99", "101")
    hall.trade("100", "2", after=59_000)
    hall.trade("105", "3", after=61_000)

    assert hall.clock.now == BEGIN + MINUTE_MS - 1
    forming = hall.clock.partial("BTCUSDT")
    assert forming is not None
    assert (forming.high, forming.volume) == (parse("100"), parse("2"))
    assert len(hall.clock.source.closed("BTCUSDT", MINUTE_MS, first=BEGIN, last=BEGIN, limit=9, forward=True)) == 0

    hall.clock.close_minute(BEGIN, {"BTCUSDT": bar_of(BEGIN, (100, 101, 99, 100, 7), UNIT // 100)})
    assert hall.clock.now == BEGIN + MINUTE_MS
    [closed] = hall.clock.source.closed("BTCUSDT", MINUTE_MS, first=BEGIN, last=BEGIN, limit=9, forward=True).bars()
    assert (closed.high, closed.volume) == (parse("101"), parse("7"))
    following = hall.clock.partial("BTCUSDT")
    assert following is not None
    assert (following.open_time, following.open, following.volume) == (BEGIN + MINUTE_MS, parse("105"), parse("3"))
    with pytest.raises(ApiError):
        hall.clock.close_minute(BEGIN, {})


def test_coarser_candles_reach_further_back_and_are_never_counted_twice(hall: Hall) -> None:
    hour, day = 60 * MINUTE_MS, 1440 * MINUTE_MS
    candle = (100, 110, 90, 100, 1)
    source = hall.clock.source
    source.learn("BTCUSDT", MINUTE_MS, [bar_of(BEGIN + n * MINUTE_MS, candle, UNIT) for n in range(120)])
    source.learn("BTCUSDT", hour, [bar_of(BEGIN + n * hour, candle, UNIT) for n in range(-48, 1)])
    source.learn("BTCUSDT", day, [bar_of(BEGIN + n * day, candle, UNIT) for n in range(-9, 0)])

    hours = source.closed("BTCUSDT", hour, first=0, last=2**60, limit=999, forward=True)
    assert hours.times.tolist() == [BEGIN + n * hour for n in range(-48, 2)]
    assert [bar.volume // UNIT for bar in hours.bars()] == [1] * 48 + [60, 60]
    days = source.closed("BTCUSDT", day, first=0, last=2**60, limit=999, forward=True)
    assert days.times.tolist() == [BEGIN + n * day for n in range(-9, 1)]


def test_orders_survive_a_restart_and_miss_what_nobody_saw(tmp_path: Path) -> None:
    hall = Hall(tmp_path)
    hall.begin()
    hall.quote("99", "101")
    hall.order("BUY", "LIMIT", "1", price="95")
    label, epoch = hall.exchange.source.label, hall.exchange.epoch
    hall.exchange.close()

    again = Hall(tmp_path)
    assert (again.exchange.source.label, again.exchange.epoch) == (label, epoch)
    assert label == "Live prices of Binance, paper fills"
    assert not again.clock.is_open
    again.begin(BEGIN + 90 * MINUTE_MS)
    [waiting] = again.account.open_orders.values()
    again.quote("97", "97.50")
    again.trade("97.50", "50")
    assert waiting.executed == 0
    again.trade("94", "50")
    assert waiting.executed == parse("1")
    again.exchange.close()


@pytest.mark.parametrize(
    "changes", [{"listings": []}, {"listings": [BTC | {"tick": "0"}]}, {"listings": [BTC | {"symbol": "X"}]}, {"market_ms": "?"}]
)
def test_a_description_that_is_none_is_refused(tmp_path: Path, changes: dict[str, Any]) -> None:
    with pytest.raises(UnusableMarket, match="does not describe"):
        read_upstream(describe(tmp_path / "upstream.json", **changes))


@pytest.mark.slow
def test_its_control_address_believes_no_nonsense_and_closes_when_nobody_tells(tmp_path: Path) -> None:
    venue = VenueProcess(tmp_path / "books", "--market", "live", "--upstream", str(describe(tmp_path / "upstream.json")))
    venue.start()
    try:
        told = {"session": venue.control("GET", "/control/mirror")["session"]}
        path = "/control/mirror"
        assert venue.control_status("GET", f"{path}/open")[0] == 503
        assert venue.ask("GET", "/api/v3/klines?symbol=BTCUSDT&interval=1m")[0] == 503
        assert venue.control_status("POST", path, told | {"events": []})[0] == 409
        assert venue.control_status("POST", path, {"session": "of another run", "events": []})[0] == 409
        rows = [[BEGIN - MINUTE_MS, 100, 110, 90, 100, 5]]
        history = told | {"symbol": "BTCUSDT", "interval": "1m"}
        for wrong in ([[BEGIN, 100, 90, 110, 100, 5]], [[BEGIN, -1, 1, -1, 1, 1]], [["x", 1, 1, 1, 1, 1]], [[BEGIN, 1, 1]], 7):
            assert venue.control_status("POST", f"{path}/history", history | {"rows": wrong})[0] == 400, wrong
        assert venue.control_status("POST", f"{path}/history", history | {"rows": rows, "interval": "2w"})[0] == 400
        assert venue.control_status("POST", f"{path}/history", history | {"rows": rows})[0] == 200
        assert venue.control_status("POST", f"{path}/open", told | {"minute": BEGIN})[0] == 200
        for nonsense in (["quote", "BTCUSDT", "101", "100"], ["quote", "NOPE", "1", "2"], ["trade", "BTCUSDT"], ["?"], [], 5):
            assert venue.control_status("POST", path, told | {"events": [nonsense]})[0] == 400, nonsense
        assert venue.control("POST", path, told | {"events": [["quote", "BTCUSDT", "99.5", "100.5"]]})["dark"] == []
        assert venue.ask("GET", "/api/v3/ticker/bookTicker?symbol=BTCUSDT")[1]["askPrice"] == "100.50000000"
        assert venue.control_status("POST", "/control/pause")[0] == 400
        assert venue.control_status("POST", "/control/speed", {"speed": 60})[0] == 400

        deadline = 200
        while not venue.control("GET", path)["dark"] and deadline:
            deadline -= 1
            venue.control("GET", "/control/hold?after=99999999999999&timeout=0.05")
        assert venue.control("GET", path)["dark"] == ["BTCUSDT"]
        assert venue.ask("GET", "/api/v3/ticker/bookTicker?symbol=BTCUSDT")[1]["askPrice"] == "0.00000000"
    finally:
        venue.stop()
