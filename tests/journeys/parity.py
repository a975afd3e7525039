"""Trade a strategy alone over the real stack, backtest it in another process, and compare the fills.

python -m tests.journeys.parity --data FOLDER
python -m tests.journeys.parity --data FOLDER --strategy mean_reversion --symbol ETH/USDT --from 2024-03-01 --bars 2000
python -m tests.journeys.parity --data FOLDER --strategy momentum --symbol BTC/USDT,ETH/USDT --from 2024-03-01 --bars 300

Several markets, separated by commas, are traded by one bot with one purse.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from decimal import Decimal
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from plugins.source import FolderSource
from plugins.template import STRATEGY
from strategies import registry, sources
from trading.bars import Candles, interval_milliseconds
from trading.instruments import Instrument
from trading.kernels.backtest import Costs, run_backtest
from trading.kernels.panel_backtest import run_panel_backtest

if TYPE_CHECKING:
    from bots.lineups import PlannedBot
    from portfolio.models import Fill

BASE_MS = 300_000
PAGE = 1000
# The grid has no order that rests as a stop: its floor is decided on closed bars.
FLOORS = ("STOP_RANGE", "STOP_DRAWDOWN")


OWN = "own_average"


class Window(NamedTuple):
    """Which candles to trade on; several markets are separated by commas."""

    symbol: str
    begin: str
    bars: int


# Where each strategy has at least twenty fills, a stop among them, in few bars: found by backtests over 2024.
WINDOWS = {
    "mean_reversion": Window("BTC/USDT", "2024-04-13T12:50", 640),
    "sasha_hybrid": Window("ETH/USDT", "2024-08-05T10:55", 150),
    "grid": Window("ETH/USDT", "2024-03-05T04:50", 190),
    "triple_ema": Window("BTC/USDT", "2024-07-30T22:55", 250),
    "ema_ribbon": Window("ETH/USDT", "2024-05-02T06:55", 260),
    "sma_cross": Window("BTC/USDT,ETH/USDT", "2024-05-01T18:00", 500),
    "scalping": Window("SOL/USDT,DOGE/USDT", "2024-03-01T02:15", 360),
    "momentum": Window("BTC/USDT,ETH/USDT", "2024-03-08T10:40", 250),
    "hedge": Window("BTC/USDT,ETH/USDT", "2024-03-13T18:50", 250),
    # The one that `strategies new` writes, in a process of its own on both sides.
    OWN: Window("ETH/USDT", "2024-05-08T10:20", 150),
}


class Trade(NamedTuple):
    """A fill as both sides tell it."""

    time: int
    side: str
    quantity: Decimal
    price: Decimal
    fee: Decimal
    fee_asset: str
    symbol: str

    def __str__(self) -> str:
        """Write it as a person reads it."""
        moment = np.datetime64(self.time, "ms")
        amounts = f"{self.quantity.normalize():f} at {self.price.normalize():f}, fee {self.fee:f} {self.fee_asset}"
        return f"{moment} {self.symbol} {self.side} {amounts}"


@dataclass(frozen=True, slots=True)
class Story:
    """Everything the backtest is told; plain values, so that another process can read it."""

    strategy: str
    params: dict[str, Any]
    interval: str
    # In the order of the bot's panel; candles of each: open times, and rows of open, high, low, close, volume.
    instruments: list[Instrument]
    times: list[list[int]]
    values: list[list[list[float]]]
    allocation: Decimal
    anchor: int
    start: int
    until: int
    # Of each market, where they differ.
    taker_fees: list[Decimal] = field(default_factory=list)
    base_ms: int = BASE_MS
    # Where a strategy of one's own lies.
    own_folder: str = ""


@dataclass(frozen=True, slots=True)
class Witness:
    """What else the live side has to say."""

    # Fills of native stop orders, and of exits at a grid's floor.
    stops: int
    floors: int
    denials: dict[str, int]
    first_denial: str = ""
    # What the monitor of drift says of the live orders (P7): each one's shortfall, and why others were not compared.
    shortfalls: tuple[float, ...] = ()
    gaps: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Comparison:
    """What came of it."""

    live: list[Trade]
    backtest: list[Trade]
    witness: Witness
    bars: int
    seconds: float

    @property
    def first_difference(self) -> str:
        """Say where the two part, empty if they never do."""
        return first_difference(self.live, self.backtest)


def first_difference(live: Sequence[Trade], backtest: Sequence[Trade]) -> str:
    """Say where two lists of fills part, empty if they never do."""
    for number, (ours, theirs) in enumerate(zip_longest(live, backtest)):
        if ours != theirs:
            return f"fill {number}: live {ours}, backtest {theirs}"
    return ""


def backtest_side(story: Story) -> list[Trade]:
    """Run the backtest of a story; called in a process of its own."""
    if story.own_folder:
        source = FolderSource(lambda: Path(story.own_folder))
        sources.register(lambda: source)
    definition = registry.definition(story.strategy)
    asked: dict[str, Any] = {
        "definition": definition,
        "params": registry.make_params(story.strategy, story.params, story.interval),
        "interval_ms": interval_milliseconds(story.interval),
        "costs": Costs(taker_fees=tuple(story.taker_fees)),
        "allocation": story.allocation,
        "anchor": story.anchor,
        "start": story.start,
    }
    candles = [
        Candles(story.base_ms, np.array(times, dtype=np.int64), np.array(values, dtype=np.float64))
        for times, values in zip(story.times, story.values, strict=True)
    ]
    if definition.run is not None:
        fills = run_backtest(candles=candles[0], instrument=story.instruments[0], **asked).fills
    else:
        fills = run_panel_backtest(candles=candles, instruments=story.instruments, **asked).fills
    trades = [
        Trade(fill.time, fill.side, fill.quantity, fill.price, fill.fee, fill.fee_asset, fill.symbol)
        for fill in fills
        if fill.time < story.until
    ]
    return in_order(trades)


def in_order(trades: list[Trade]) -> list[Trade]:
    """Sort trades by time; of one moment, by market: an exchange numbers the trades of each market by itself."""
    return sorted(trades, key=lambda trade: (trade.time, trade.symbol))


def shifted_by_a_tick(story: Story) -> Story:
    """Answer the same story with every price one tick higher: its backtest must not agree."""
    shifted = []
    for instrument, values in zip(story.instruments, story.values, strict=True):
        tick = float(instrument.tick_size)
        shifted.append([*([price + tick for price in row] for row in values[:4]), values[4]])
    return replace(story, values=shifted)


def in_another_process(story: Story) -> list[Trade]:
    """Run the backtest where nothing of the live stack can reach it."""
    with ProcessPoolExecutor(max_workers=1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(backtest_side, story).result()


def live_side(
    *, strategy: str, symbol: str, market: Sequence[str], bars: int, directory: Path, seconds: float
) -> tuple[Story, list[Trade], Witness]:
    """Trade the strategy alone over the real stack, and answer its story, its fills and what else there is to say."""
    from django.conf import settings
    from django.test import override_settings

    from bots.lineups import Plan
    from bots.models import Bot
    from bots.selectors import instruments_of
    from bots.selectors.drift import drift
    from marketdata.candles import milliseconds, moment
    from marketdata.selectors import filters_of
    from portfolio.models import Account, DecisionRecord, Fill, Reconciliation
    from tests.journeys.stack import Stack

    folder = write_own(directory / "strategies") if strategy == OWN else settings.STRATEGIES_DIR
    with override_settings(STRATEGIES_DIR=folder), Stack(directory, [*market, "--paused"]) as stack:
        stack.start_venue()
        demo = stack.set_up(Plan("parity", (_as_shipped(strategy, symbol),)))
        bot = demo.bots[0]
        assert bot.anchor_at is not None
        assert bot.bar_closed_at is not None
        bot.book.refresh_from_db()
        start = milliseconds(bot.bar_closed_at)
        stack.start_all()
        account = Account.objects.filter(pk=demo.account.pk)
        stack.wait_until(lambda: account.get().state == Account.State.ACTIVE, what="the trader recovers", seconds=120)
        until = start + bars * BASE_MS
        stack.run_until(until + BASE_MS, seconds=seconds)
        synced = account.filter(synced_through_at__gte=moment(until))
        stack.wait_until(synced.exists, what="every fill is posted")
        bad = Reconciliation.objects.filter(account=demo.account.pk, outcome=Reconciliation.Outcome.RESIDUAL)
        assert not bad.exists(), "a reconciliation found a residual"
        rows = Fill.objects.filter(account=demo.account.pk, traded_at__lt=moment(until)).select_related(
            "order__intent", "instrument"
        )
        fills = sorted(rows, key=lambda fill: (fill.traded_at, fill.trade_id))
        orders = [fill.order for fill in fills if fill.order is not None]
        denied = DecisionRecord.objects.filter(book=bot.book).exclude(denial="").order_by("id")
        first = denied.first()
        drifted = drift(Bot.objects.select_related("book__account").get(pk=bot.pk))
        # What filled later may lie in a candle that nobody knows yet.
        within = [one for one in drifted.executions if one.traded_at < moment(until)]
        witness = Witness(
            stops=sum(order.type == "STOP_LOSS" for order in orders),
            floors=sum(order.intent.reason in FLOORS for order in orders),
            denials=dict(Counter(denied.values_list("denial", flat=True))),
            first_denial=f"{first.bar_closed_at}: {first.facts}" if first is not None else "",
            shortfalls=tuple(one.shortfall.bps for one in within if one.shortfall is not None),
            gaps=dict(Counter(one.gap for one in within if one.gap)),
        )
        instruments = instruments_of([bot.pk])[bot.pk]
        anchor = milliseconds(bot.anchor_at)
        candles = [venue_candles(stack.venue_port, one.venue_symbol, anchor, until) for one in instruments]
        story = Story(
            strategy=strategy,
            params=dict(bot.params),
            interval=bot.interval,
            instruments=[filters_of(one) for one in instruments],
            times=[times for times, _ in candles],
            values=[values for _, values in candles],
            allocation=bot.book.base_equity,
            anchor=anchor,
            start=start,
            until=until,
            own_folder=str(folder) if strategy == OWN else "",
        )
    return story, _told(fills), witness


def _told(fills: Sequence[Fill]) -> list[Trade]:
    """Tell live fills as both sides do."""
    from marketdata.candles import milliseconds

    return in_order(
        [
            Trade(
                milliseconds(fill.traded_at),
                fill.side,
                fill.quantity,
                fill.price,
                fill.fee,
                fill.fee_asset,
                fill.instrument.symbol,
            )
            for fill in fills
        ]
    )


def write_own(folder: Path) -> Path:
    """Write a strategy of one's own from the template, and answer its folder."""
    folder.mkdir(mode=0o700, parents=True)
    path = folder / f"{OWN}.py"
    path.write_text(STRATEGY.format(name=OWN, title="OwnAverage"), encoding="utf-8")
    path.chmod(0o600)
    return folder


def _as_shipped(strategy: str, symbol: str) -> PlannedBot:
    """Answer the shipped line-up's bot of a strategy, its share and its position cap included.

    A strategy that is in no line-up at this interval gets a fifth, and a cap that does not bind.
    """
    from bots import lineups

    symbols = tuple(symbol.split(","))
    for bot in lineups.load().bots:
        if bot.strategy == strategy:
            return replace(bot, symbols=symbols)
    like = next(bot for bot in lineups.load().bots if bot.strategy == "grid")
    return replace(like, key=strategy.upper(), name=strategy, aliases=(), strategy=strategy, symbols=symbols)


def compare(
    *, strategy: str, symbol: str, market: Sequence[str], bars: int, directory: Path, seconds: float
) -> tuple[Comparison, Story]:
    """Trade live, backtest elsewhere, and put the fills side by side."""
    began = time.monotonic()
    story, live, witness = live_side(
        strategy=strategy, symbol=symbol, market=market, bars=bars, directory=directory, seconds=seconds
    )
    comparison = Comparison(live, in_another_process(story), witness, bars, time.monotonic() - began)
    return comparison, story


def venue_candles(
    port: int, symbol: str, since: int, until: int, interval: str = "5m", base_ms: int = BASE_MS
) -> tuple[list[int], list[list[float]]]:
    """Read the venue's own base candles."""
    times: list[int] = []
    rows: list[list[float]] = []
    while since < until:
        url = f"http://127.0.0.1:{port}/api/v3/klines?symbol={symbol}&interval={interval}&startTime={since}&limit={PAGE}"
        with urllib.request.urlopen(url, timeout=30) as answer:
            page = [row for row in json.load(answer) if row[0] < until]
        if not page:
            break
        times += [row[0] for row in page]
        rows += [[float(value) for value in row[1:6]] for row in page]
        since = page[-1][0] + base_ms
    return times, [list(column) for column in zip(*rows, strict=True)]


def main(words: Sequence[str]) -> int:
    """Compare from the command line, over servers of its own."""
    parser = argparse.ArgumentParser(prog="python -m tests.journeys.parity", description=__doc__)
    parser.add_argument("--strategy", nargs="+", choices=list(WINDOWS), default=list(WINDOWS), help="default: each in turn")
    parser.add_argument("--symbol", help="such as BTC/USDT; this, --from and --bars default to the strategy's window")
    parser.add_argument("--data", type=Path, required=True, help="folder of Parquet candles")
    parser.add_argument("--from", dest="begin", help="where trading starts, such as 2024-03-01T12:50")
    parser.add_argument("--bars", type=int, help="how many 5m candles")
    parser.add_argument("--seconds", type=float, default=3600.0, help="give up after so many seconds")
    options = parser.parse_args(words)
    own_servers()
    return max([_compare_over(strategy, _window(strategy, options), options) for strategy in options.strategy])


def _window(strategy: str, options: argparse.Namespace) -> Window:
    known = WINDOWS[strategy]
    return Window(options.symbol or known.symbol, options.begin or known.begin, options.bars or known.bars)


def _compare_over(strategy: str, window: Window, options: argparse.Namespace) -> int:
    market = ["--market", "replay", "--data", str(options.data), "--exchange", "binance", "--from", window.begin]
    market += ["--symbols", window.symbol.replace("/", ""), "--speed", "1000000"]
    with tempfile.TemporaryDirectory(prefix="parity-") as directory:
        comparison, story = compare(
            strategy=strategy,
            symbol=window.symbol,
            market=market,
            bars=window.bars,
            directory=Path(directory),
            seconds=options.seconds,
        )
        # A strategy of one's own lies there.
        shifted = in_another_process(shifted_by_a_tick(story))
    print(f"{strategy}: {window.symbol} from {window.begin}, {window.bars} bars in {comparison.seconds:.0f} s")
    return _say(comparison, shifted)


def _say(comparison: Comparison, shifted: list[Trade]) -> int:
    sides = Counter(trade.side for trade in comparison.live)
    witness = comparison.witness
    print(
        f"{len(comparison.live)} live fills ({sides['buy']} buys, {sides['sell']} sells; {witness.stops} by stop orders, "
        f"{witness.floors} by exits at the floor), {len(comparison.backtest)} backtest fills; "
        f"refused live: {witness.denials or 'nothing'} {witness.first_denial}; drift: {len(witness.shortfalls)} orders, "
        f"{max(map(abs, witness.shortfalls), default=0.0)} bp at most, not compared {witness.gaps or 'none'}"
    )
    if comparison.first_difference:
        print(f"DIFFERENT at {comparison.first_difference}")
        return 1
    noticed = first_difference(comparison.live, shifted)
    if comparison.live and not noticed:
        print("BLIND: a backtest shifted by one tick gives the same fills.")
        return 1
    print(f"Equal, trade for trade. Shifted by one tick the backtest differs, first at {noticed}", flush=True)
    return 0


def own_servers() -> None:
    """Start servers for a comparison from the command line."""
    import os

    import tests.settings  # noqa: F401 - sets the environment.
    from tests import servers

    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
    servers.ensure_running()
    import django
    from django.core.management import call_command

    django.setup()
    call_command("migrate", verbosity=0, interactive=False)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
