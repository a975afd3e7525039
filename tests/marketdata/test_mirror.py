"""The local venue shows the prices of another exchange over real sockets: a second local venue stands for the real one."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from exchange.connect import market_port
from marketdata.feed.watch import QuoteWatch
from tests.marketdata.street import Memory
from tests.venue.processes import ROOT, VenueProcess
from tests.venue.signed import Signer

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]
SYMBOLS = ("BTCUSDT", "ETHUSDT")
MINUTE = 60_000


class Mirrored:
    """A market that stands for a real exchange, its reader, and the venue that shows it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.real = VenueProcess(folder / "real", "--speed", "60", "--symbols", ",".join(SYMBOLS))
        self.upstream = folder / "upstream.json"
        self.venue = VenueProcess(folder / "paper", "--market", "live", "--upstream", str(self.upstream))
        self.reader: subprocess.Popen[bytes] | None = None

    def words(self, action: str) -> list[str]:
        address = ["--rest-url", f"http://{self.real.address}", "--stream-url", f"ws://{self.real.address}"]
        return [sys.executable, "-m", "marketdata.mirror", action, "--exchange", "binance", *address]

    def learn(self) -> subprocess.CompletedProcess[str]:
        words = [*self.words("learn"), "--out", str(self.upstream)]
        return subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)

    def start_reader(self) -> None:
        control = f"http://127.0.0.1:{self.venue.control_port}"
        with (self.folder / "reader.log").open("ab") as log:
            self.reader = subprocess.Popen([*self.words("tell"), "--control-url", control], cwd=ROOT, stdout=log, stderr=log)

    def stop_reader(self, number: signal.Signals = signal.SIGTERM) -> int:
        if self.reader is None:
            return 0
        self.reader.send_signal(number)
        code, self.reader = self.reader.wait(10), None
        return code

    def state(self) -> Any:
        return self.venue.control("GET", "/control/mirror")

    def wait(self, done: Callable[[], bool], what: str, seconds: float = 30.0) -> float:
        """Wait for something and return how long it took."""
        began = time.monotonic()
        while not done():
            log = (self.folder / "reader.log").read_text()[-3000:]
            assert time.monotonic() - began < seconds, f"{what} did not come\n{self.state()}\n{log}"
            time.sleep(0.05)
        return time.monotonic() - began

    def is_lit(self) -> bool:
        state = self.state()
        return state["open"] and not state["dark"]

    def candles(self, venue: VenueProcess, symbol: str, interval: str, first: int, last: int) -> list[list[Any]]:
        query = f"symbol={symbol}&interval={interval}&startTime={first}&endTime={last}&limit=1000"
        status, rows = venue.ask("GET", f"/api/v3/klines?{query}")
        assert status == 200, rows
        return [[row[0], *map(float, row[1:6])] for row in rows]


@pytest.fixture(scope="module")
def mirrored(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mirrored]:
    made = Mirrored(tmp_path_factory.mktemp("mirrored"))
    with contextlib.ExitStack() as stack:
        made.real.start()
        stack.callback(made.real.kill)
        learned = made.learn()
        assert learned.returncode == 0, learned.stderr
        made.venue.start()
        stack.callback(made.venue.kill)
        made.start_reader()
        stack.callback(made.stop_reader, signal.SIGKILL)
        made.wait(made.is_lit, "the first price", 60)
        yield made


@pytest.fixture
def trader(mirrored: Mirrored) -> Signer:
    return Signer(mirrored.venue, mirrored.venue.open_account("demo", USDT="1000000", BTC="10"))


def buy(trader: Signer) -> tuple[int, Any]:
    return trader.send("POST", "/api/v3/order", symbol="BTCUSDT", side="BUY", type="MARKET", quantity="0.001")


def bought(mirrored: Mirrored, trader: Signer) -> Any:
    """Buy as soon as the market is open: on a busy machine a price may be in doubt for a moment."""
    answers: list[tuple[int, Any]] = []

    def try_it() -> bool:
        answers.append(buy(trader))
        return answers[-1][0] == 200

    mirrored.wait(try_it, "a fill")
    return answers[-1][1]


def same_candles(mirrored: Mirrored, first: int, last: int) -> None:
    for symbol in SYMBOLS:
        real = mirrored.candles(mirrored.real, symbol, "1m", first, last)
        shown = mirrored.candles(mirrored.venue, symbol, "1m", first, last)
        assert [row[0] for row in shown] == [row[0] for row in real]
        for told, said in zip(shown, real, strict=True):
            assert told == pytest.approx(said, rel=1e-9)


def test_it_says_whose_prices_it_shows_with_its_filters_and_its_history(mirrored: Mirrored) -> None:
    clock = mirrored.venue.control("GET", "/control/clock")
    assert (clock["market"], clock["label"], clock["speed"]) == ("live", "Live prices of Binance, paper fills", 1.0)
    for path in ("/api/v3/exchangeInfo",):
        shown, real = (venue.ask("GET", path)[1]["symbols"] for venue in (mirrored.venue, mirrored.real))
        for name in ("PRICE_FILTER", "LOT_SIZE"):
            assert [_steps(row, name) for row in shown] == [_steps(row, name) for row in real]
    minute = mirrored.state()["minute"]
    same_candles(mirrored, minute - 900 * MINUTE, minute - MINUTE)
    hour = minute // (60 * MINUTE) * 60 * MINUTE
    for interval, length in (("1h", 60 * MINUTE), ("5m", 5 * MINUTE)):
        span = (hour - 300 * length, hour - length)
        shown, real = (mirrored.candles(venue, "ETHUSDT", interval, *span) for venue in (mirrored.venue, mirrored.real))
        assert len(real) == 300
        assert [row[:5] for row in shown] == [row[:5] for row in real]


def test_every_minute_closes_as_the_real_one_did_and_orders_fill_at_its_quotes(mirrored: Mirrored, trader: Signer) -> None:
    begin = mirrored.state()["minute"]
    seen: set[tuple[str, str]] = set()

    def meet() -> bool:
        quotes = [venue.ask("GET", "/api/v3/ticker/bookTicker?symbol=BTCUSDT")[1] for venue in (mirrored.real, mirrored.venue)]
        shown = {(quote["bidPrice"], quote["askPrice"]) for quote in quotes}
        seen.update(shown if len(shown) == 1 else ())
        return len(seen) >= 5

    mirrored.wait(meet, "the same best bid and offer, five times")
    order = bought(mirrored, trader)
    assert order["status"] == "FILLED"
    real = mirrored.real.ask("GET", "/api/v3/ticker/price?symbol=BTCUSDT")[1]
    assert float(order["fills"][0]["price"]) == pytest.approx(float(real["price"]), rel=0.01)
    mirrored.wait(lambda: mirrored.state()["minute"] >= begin + 10 * MINUTE, "ten minutes")
    same_candles(mirrored, begin, begin + 9 * MINUTE)
    assert mirrored.venue.ask("GET", "/api/v3/trades?symbol=BTCUSDT&limit=5")[1]


def test_silence_of_the_streams_stops_fills_and_ends_with_it(mirrored: Mirrored, trader: Signer) -> None:
    rule = {"id": "M01", "action": "silence", "match": {"stream": ".*@.*"}, "with": {"seconds": 600}, "times": 0}
    mirrored.real.control("POST", "/control/faults", {"rules": [rule]})
    mirrored.wait(lambda: bool(mirrored.state()["dark"]), "the doubt")
    status, refused = buy(trader)
    assert (status, refused["msg"]) == (400, "Market is closed.")
    mirrored.real.control("DELETE", "/control/faults")
    mirrored.wait(mirrored.is_lit, "prices after the silence", 45)
    bought(mirrored, trader)


async def doubts(mirrored: Mirrored, do: Callable[[], None]) -> dict[int, str]:
    """Let the feed of the product look at the venue's prices while something is done; return what it doubts then."""
    memory = Memory()
    address = mirrored.venue.address
    port = market_port(exchange="binance", rest_url=f"http://{address}", stream_url=f"ws://{address}")
    clock = mirrored.venue.control("GET", "/control/clock")["market_time"]
    watch = QuoteWatch(port=port, store=memory, market_now=lambda: clock, ids={"BTC/USDT": 1, "ETH/USDT": 2})
    tasks = [asyncio.create_task(work) for work in (watch.stream(), watch.flush(), watch.ask())]
    try:
        for _ in range(200):
            await asyncio.sleep(0.1)
            if memory.troubles and not memory.troubles[-1][1] and len(memory.newest) == 2:
                break
        assert memory.troubles[-1][1] == {}
        await asyncio.to_thread(do)
        for _ in range(200):
            await asyncio.sleep(0.1)
            if len(memory.troubles[-1][1]) == 2:
                break
        return memory.troubles[-1][1]
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await port.close()


async def test_a_dead_exchange_closes_the_market_and_its_return_leaves_no_gap(mirrored: Mirrored, trader: Signer) -> None:
    begin = mirrored.state()["minute"]
    found = await doubts(mirrored, mirrored.real.kill)
    # The feed passes this on as the doubt that refuses entries with DATA_STALE.
    assert set(found) == {1, 2}
    await asyncio.to_thread(mirrored.wait, lambda: len(mirrored.state()["dark"]) == 2, "a closed market", 20)
    status, refused = buy(trader)
    assert (status, refused["msg"]) == (400, "Market is closed.")
    before = mirrored.venue.control("GET", "/control/clock")["market_time"]
    await asyncio.sleep(1.5)
    assert mirrored.venue.control("GET", "/control/clock")["market_time"] == before

    await asyncio.to_thread(mirrored.real.start)
    await asyncio.to_thread(mirrored.wait, mirrored.is_lit, "prices after the return", 45)
    await asyncio.to_thread(bought, mirrored, trader)
    end = mirrored.state()["minute"]
    await asyncio.to_thread(mirrored.wait, lambda: mirrored.state()["minute"] >= end + 3 * MINUTE, "three minutes more")
    same_candles(mirrored, begin, end)


def test_a_killed_reader_closes_the_market_and_a_new_one_opens_it(mirrored: Mirrored, trader: Signer) -> None:
    begin = mirrored.state()["minute"]
    mirrored.stop_reader(signal.SIGKILL)
    mirrored.wait(lambda: len(mirrored.state()["dark"]) == 2, "a closed market")
    assert buy(trader)[0] == 400
    mirrored.start_reader()
    mirrored.wait(mirrored.is_lit, "prices after the start", 45)
    bought(mirrored, trader)
    same_candles(mirrored, begin, mirrored.state()["minute"] - MINUTE)


def test_a_venue_that_starts_anew_is_told_its_history_again(mirrored: Mirrored, trader: Signer) -> None:
    status, order = trader.send(
        "POST", "/api/v3/order", symbol="BTCUSDT", side="BUY", type="LIMIT", timeInForce="GTC", quantity="0.001", price="20000"
    )
    assert status == 200, order
    mirrored.venue.kill()
    mirrored.venue.start()
    mirrored.wait(mirrored.is_lit, "prices after the restart", 45)
    [waiting] = trader.send("GET", "/api/v3/openOrders", symbol="BTCUSDT")[1]
    assert waiting["orderId"] == order["orderId"]
    assert trader.send("DELETE", "/api/v3/openOrders", symbol="BTCUSDT")[0] == 200
    minute = mirrored.state()["minute"]
    same_candles(mirrored, minute - 600 * MINUTE, minute - MINUTE)
    assert mirrored.stop_reader() == 0


def test_an_exchange_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    lonely = Mirrored(tmp_path)
    learned = lonely.learn()

    assert learned.returncode == 3
    assert len(learned.stderr.strip().splitlines()[-1]) > 10
    assert "Traceback" not in learned.stderr
    assert not lonely.upstream.exists()


def _steps(row: Any, name: str) -> dict[str, str]:
    found: dict[str, str] = next(filters for filters in row["filters"] if filters["filterType"] == name)
    return {key: found[key] for key in ("tickSize", "minQty", "stepSize") if key in found}


def test_the_description_is_whole(mirrored: Mirrored) -> None:
    facts = json.loads(mirrored.upstream.read_text())
    assert [row["symbol"] for row in facts["listings"]] == list(SYMBOLS)
