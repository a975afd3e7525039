"""Trade one coin on two local exchanges with a pair of bots, backtest it in another process, and compare the fills.

python -m tests.journeys.arbitrage --data FOLDER
"""

from __future__ import annotations

import argparse
import secrets
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from tests.journeys import parity
from tests.journeys.parity import Story, Trade

if TYPE_CHECKING:
    from bots.models import Bot
    from portfolio.models import Account
    from tests.journeys.stack import Stack

MINUTE_MS: Final = 60_000
BALANCE: Final = Decimal("9882.31")
PERCENT: Final = Decimal(80)
# The far market's name in a backtest: there one coin is two markets.
FAR: Final = "@far"
PARAMS: Final[dict[str, Any]] = {"share": 0.3, "trade_part": 0.5}


class Market(NamedTuple):
    """Whose candles an exchange replays."""

    data: Path
    exchange: str
    # Taker's and maker's fee there.
    fee: str


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is traded, where and how long."""

    near: Market
    far: Market
    symbol: str
    begin: str
    bars: int
    interval: str = "1m"


# Binance.US and Kraken while the dollar coin had lost its peg: both ways within two hours and a half.
DE_PEG: Final = ("BTC/USDC", "2023-03-11T10:00", 150)


@dataclass(frozen=True, slots=True)
class Comparison:
    """What came of it."""

    live: list[Trade]
    backtest: list[Trade]
    shifted: list[Trade]
    # Of each pair the sides that were ordered under its number.
    pairs: dict[int, list[str]]
    denials: dict[str, int]
    residuals: list[str]
    seconds: float


def compare(wanted: Wanted, directory: Path, *, seconds: float, restart_at: int = 0) -> Comparison:
    """Trade live, backtest elsewhere, and put the fills side by side; a restart kills both traders after so many bars."""
    began = time.monotonic()
    with started(wanted, directory, seconds) as run:
        run.trade(restart_at)
        live, story = run.live(), run.story()
        pairs, denials, residuals = run.pairs(), run.denials(), run.residuals()
    return Comparison(
        live=live,
        backtest=parity.in_another_process(story),
        shifted=parity.in_another_process(parity.shifted_by_a_tick(story)),
        pairs=pairs,
        denials=denials,
        residuals=residuals,
        seconds=time.monotonic() - began,
    )


@contextmanager
def started(wanted: Wanted, directory: Path, seconds: float) -> Iterator[Run]:
    """Have a pair of bots between two exchanges whose time stands still."""
    from tests.journeys.stack import Stack

    arguments = [_arguments(market, wanted) for market in (wanted.near, wanted.far)]
    with Stack(directory / "near", arguments[0]) as near, Stack(directory / "far", arguments[1]) as far:
        run = Run(wanted, (near, far), seconds)
        run.start()
        yield run


def first_difference(found: Comparison) -> str:
    """Say where live and backtest part, empty if they never do."""
    return parity.first_difference(found.live, found.backtest)


class Run:
    """A pair of bots between two local exchanges."""

    def __init__(self, wanted: Wanted, stacks: tuple[Stack, Stack], seconds: float) -> None:
        self.wanted = wanted
        self.stacks = stacks
        self.seconds = seconds
        self.accounts: list[Account] = []
        self.bots: list[Bot] = []

    @property
    def leader(self) -> Bot:
        return self.bots[0]

    @property
    def until(self) -> datetime:
        assert self.leader.started_at is not None
        return self.leader.started_at + timedelta(milliseconds=MINUTE_MS * self.wanted.bars)

    def start(self) -> None:
        """Open an account on either exchange, and start the pair before anything trades."""
        from django.utils import timezone

        from bots import services
        from marketdata.candles import moment
        from portfolio.models import Account

        for stack, name in zip(self.stacks, ("near", "far"), strict=True):
            stack.start_venue()
            self.accounts.append(_open(stack, name, self.wanted.symbol))
        planned = services.PlannedPair(
            key="ARBITRAGE",
            name="Arbitrage",
            account_ids=(self.accounts[0].pk, self.accounts[1].pk),
            symbols=(self.wanted.symbol, self.wanted.symbol),
            interval=self.wanted.interval,
            params=PARAMS,
        )
        now, begin_at = timezone.now(), moment(int(self.stacks[0].clock()["market_time"]))
        bots = services.create_pair(planned=planned, by=None, now=now)
        for account, bot in zip(self.accounts, bots, strict=True):
            services.set_shares(account_id=account.pk, percents={bot.pk: PERCENT}, by=None, now=now, market_at=begin_at)
        leader = services.start_bot(bot_id=bots[0].pk, by=None, now=now, market_at=begin_at)
        self.bots = [leader, bots[1]]
        for number, stack in enumerate(self.stacks):
            stack.start_all(with_workers=number == 0)
        mine = Account.objects.filter(pk__in=[account.pk for account in self.accounts], state=Account.State.ACTIVE)
        self.stacks[0].wait_until(lambda: mine.count() == len(self.accounts), what="both traders recover", seconds=120)

    def trade(self, restart_at: int = 0) -> None:
        """Let time pass to the end; both traders may be killed on the way."""
        from portfolio.models import Account

        assert self.leader.started_at is not None
        if restart_at:
            self._run_until(self.leader.started_at + timedelta(milliseconds=MINUTE_MS * restart_at))
            for stack, account in zip(self.stacks, self.accounts, strict=True):
                stack.kill(f"trader {account.pk}")
                stack.restart(f"trader {account.pk}")
        self._run_until(self.until + timedelta(milliseconds=MINUTE_MS))
        synced = Account.objects.filter(pk__in=[account.pk for account in self.accounts], synced_through_at__gte=self.until)
        self.stacks[0].wait_until(lambda: synced.count() == len(self.accounts), what="every fill is posted")

    def live(self) -> list[Trade]:
        """Answer the fills of both accounts; the coin on the far one has another name."""
        from marketdata.candles import milliseconds
        from portfolio.models import Fill

        rows = Fill.objects.filter(account__in=self.accounts, traded_at__lt=self.until).select_related("instrument")
        return parity.in_order(
            [
                Trade(
                    time=milliseconds(fill.traded_at),
                    side=fill.side,
                    quantity=fill.quantity,
                    price=fill.price,
                    fee=fill.fee,
                    fee_asset=fill.fee_asset,
                    symbol=fill.instrument.symbol + FAR * (fill.account_id == self.accounts[1].pk),
                )
                for fill in rows.order_by("traded_at", "trade_id")
            ]
        )

    def story(self) -> Story:
        """Answer what a backtest is told: the candles that both exchanges showed, and the money of both books."""
        from bots.selectors import panel_of
        from marketdata.candles import milliseconds
        from marketdata.selectors import filters_of

        assert self.leader.anchor_at is not None
        assert self.leader.started_at is not None
        anchor, until = milliseconds(self.leader.anchor_at), milliseconds(self.until)
        markets = panel_of(self.leader.pk)
        candles = [
            parity.venue_candles(stack.venue_port, one.venue_symbol, anchor, until, self.wanted.interval, MINUTE_MS)
            for stack, one in zip(self.stacks, markets, strict=True)
        ]
        for bot in self.bots:
            bot.book.refresh_from_db()
        home, away = map(filters_of, markets)
        return Story(
            strategy=self.leader.strategy,
            params=dict(self.leader.params),
            interval=self.leader.interval,
            instruments=[home, replace(away, symbol=away.symbol + FAR)],
            times=[times for times, _ in candles],
            values=[values for _, values in candles],
            allocation=sum((bot.book.base_equity for bot in self.bots), Decimal(0)),
            anchor=anchor,
            start=milliseconds(self.leader.started_at),
            until=until,
            taker_fees=[Decimal(market.fee) for market in (self.wanted.near, self.wanted.far)],
            base_ms=MINUTE_MS,
        )

    def pairs(self) -> dict[int, list[str]]:
        """Answer the sides of the legs of each pair, by its number."""
        from portfolio.models import Intent

        found: dict[int, list[str]] = {}
        legs = Intent.objects.filter(pair__isnull=False, reason__endswith="_PAIR", market_at__lt=self.until).order_by("side")
        for number, side in legs.values_list("pair__number", "side"):
            found.setdefault(number, []).append(side)
        return found

    def denials(self) -> dict[str, int]:
        """Count what was refused, by its reason."""
        from portfolio.models import DecisionRecord

        denied = DecisionRecord.objects.filter(book__account__in=self.accounts).exclude(denial="")
        return dict(Counter(denied.values_list("denial", flat=True)))

    def residuals(self) -> list[str]:
        """Answer the reconciliations that did not come out even."""
        from portfolio.models import Reconciliation

        bad = Reconciliation.objects.filter(account__in=self.accounts, outcome=Reconciliation.Outcome.RESIDUAL)
        return [str(row) for row in bad]

    def _run_until(self, market_at: datetime) -> None:
        """Let time pass on both exchanges until a moment; each waits for the pair, so neither is ever far ahead."""
        from marketdata.candles import milliseconds

        market_ms = milliseconds(market_at)
        for stack in self.stacks:
            stack.control("/control/resume", {})
        self.stacks[0].wait_until(
            lambda: min(stack.clock()["market_time"] for stack in self.stacks) >= market_ms,
            what=f"{market_at} on both exchanges",
            seconds=self.seconds,
        )
        for stack in self.stacks:
            stack.control("/control/pause", {})


def _arguments(market: Market, wanted: Wanted) -> list[str]:
    words = ["--market", "replay", "--data", str(market.data), "--exchange", market.exchange, "--from", wanted.begin]
    words += ["--symbols", wanted.symbol.replace("/", ""), "--fees", f"{market.fee},{market.fee}"]
    return [*words, "--speed", "1000000", "--paused"]


def _open(stack: Stack, name: str, symbol: str) -> Account:
    """Open an account at the local exchange that holds the asset the coin is paid in, and in the books."""
    from django.utils import timezone

    from bots import venue_control
    from bots.services import demo
    from portfolio.models import Account
    from portfolio.services import open_account
    from portfolio.services.credentials import store_credential

    now, quote = timezone.now(), symbol.split("/")[1]
    address = f"127.0.0.1:{stack.venue_port}"
    clock = venue_control.read_clock(stack.control_url)
    venue = demo.Venue(f"http://{address}", f"ws://{address}", stack.control_url, clock)
    market = demo.market_of(venue, now=now)
    listings = venue_control.read_listings(exchange=market.exchange, rest_url=venue.rest_url, stream_url=venue.stream_url)
    demo.list_instruments(market, listings, now=now)
    key = venue_control.open_paper_account(stack.control_url, name=name, balances={quote: BALANCE})
    account = open_account(
        name=name,
        market=market,
        mode=Account.Mode.PAPER,
        deploy=f"{name[0]}{secrets.token_hex(2)}",
        quote_asset=quote,
        balances={quote: BALANCE},
        books=[],
        now=now,
        market_at=venue.market_at,
        venue_uid=key.uid,
    )
    store_credential(account=account, key=key.api_key, secret=key.api_secret, now=now)
    stack.demo = demo.Demo(account, [], is_new=True)
    return account


def main(words: Sequence[str]) -> int:
    """Compare from the command line, over servers of its own."""
    parser = argparse.ArgumentParser(prog="python -m tests.journeys.arbitrage", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of Parquet candles")
    parser.add_argument("--from", dest="begin", default=DE_PEG[1])
    parser.add_argument("--bars", type=int, default=DE_PEG[2])
    parser.add_argument("--fee", default="0.0005")
    parser.add_argument("--seconds", type=float, default=3600.0, help="give up after so many seconds")
    options = parser.parse_args(words)
    parity.own_servers()
    near, far = (Market(options.data, exchange, options.fee) for exchange in ("binanceus", "kraken"))
    wanted = Wanted(near, far, DE_PEG[0], options.begin, options.bars)
    with tempfile.TemporaryDirectory(prefix="arbitrage-") as directory:
        found = compare(wanted, Path(directory), seconds=options.seconds)
    print(
        f"{len(found.live)} live fills, {len(found.backtest)} backtest fills, {len(found.pairs)} pairs in {found.seconds:.0f} s; "
        f"refused live: {found.denials or 'nothing'}; residuals: {found.residuals or 'none'}"
    )
    if difference := first_difference(found):
        print(f"DIFFERENT at {difference}")
        return 1
    print("Equal, trade for trade." if found.live != found.shifted else "BLIND: shifted by a tick it gives the same fills.")
    return int(found.live == found.shifted)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
