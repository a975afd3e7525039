"""Trade a whole line-up over the real stack, simulate the same account in another process, and compare bot by bot."""

from __future__ import annotations

import multiprocessing
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from strategies import registry
from tests.journeys.parity import BASE_MS, Story, Trade, in_order, shifted_by_a_tick, venue_candles
from trading.accounts.flows import Flow
from trading.accounts.plan import AccountBot, AccountPlan, Shares, Turns, Version, single
from trading.accounts.simulation import simulate
from trading.allocations import Policy
from trading.bars import Candles, interval_milliseconds
from trading.risk import Limits

if TYPE_CHECKING:
    from bots.models import Bot
    from bots.services import Wish
    from tests.journeys.stack import Stack

Fills = dict[str, list[Trade]]


class Payments(NamedTuple):
    """Equal shares of every bot, dealt out anew after flows, and the flows by the number of the candle that they come after."""

    percent: Decimal
    amounts: dict[int, Decimal]


@dataclass(frozen=True, slots=True)
class AccountStory:
    """Everything the simulation is told; plain values, so that another process can read it."""

    capital: Decimal
    limits: Limits
    sharing: Shares | Turns
    # By key, in the order of the books: what the bot is told, and its position cap in percent.
    bots: dict[str, tuple[Story, Decimal]]
    flows: tuple[Flow, ...] = ()

    @property
    def shifted(self) -> AccountStory:
        """Return the same story with every price one tick higher: its simulation must not agree."""
        return replace(self, bots={key: (shifted_by_a_tick(one), cap) for key, (one, cap) in self.bots.items()})


def simulated(story: AccountStory) -> Fills:
    """Simulate the account of a story; called in a process of its own."""
    first, _ = next(iter(story.bots.values()))
    begin_at, end_at = (datetime.fromtimestamp(at / 1000, tz=UTC) for at in (first.start, first.until))
    plan = AccountPlan(
        name="parity",
        bots=tuple(_bot(key, one, cap) for key, (one, cap) in story.bots.items()),
        sharing=story.sharing,
        capital=story.capital,
        begin_at=begin_at,
        end_at=end_at,
        limits=story.limits,
        flows=story.flows,
    )
    return {
        bot.key: in_order(
            [
                Trade(fill.time, fill.side, fill.quantity, fill.price, fill.fee, fill.fee_asset, fill.symbol)
                for fill in bot.fills
                if fill.time < first.until
            ]
        )
        for bot in simulate(plan).bots
    }


def in_another_process(story: AccountStory) -> Fills:
    """Simulate where nothing of the live stack can reach it."""
    with ProcessPoolExecutor(max_workers=1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(simulated, story).result()


def live_account(
    *,
    wish: Wish | None = None,
    payments: Payments | None = None,
    market: Sequence[str],
    bars: int,
    directory: Path,
    seconds: float,
) -> tuple[AccountStory, Fills]:
    """Trade the shipped line-up over the real stack, and answer what the simulation must be told, and the fills of each bot.

    The bots have their shares of the line-up, unless somebody wishes another mode from the first candle on, or pays in and out.
    """
    from django.utils import timezone

    from bots import lineups
    from bots.models import Bot
    from bots.services import switch_mode
    from bots.services.demo import BALANCE
    from marketdata.candles import milliseconds, moment
    from portfolio.models import Account, Reconciliation
    from portfolio.selectors.risk import limits_in_force
    from tests.journeys.stack import Stack

    with Stack(directory, [*market, "--paused"]) as stack:
        stack.start_venue()
        demo = stack.set_up(lineups.load())
        bots = list(Bot.objects.filter(pk__in=[bot.pk for bot in demo.bots]).select_related("book").order_by("book__number"))
        start = {milliseconds(bot.bar_closed_at) for bot in bots if bot.bar_closed_at}
        assert len(start) == 1
        (start_ms,) = start
        if wish is not None:
            switch_mode(account_id=demo.account.pk, wish=wish, by=None, now=timezone.now(), market_at=moment(start_ms))
        if payments is not None:
            _share_equally(demo.account.pk, bots, payments.percent, market_at=moment(start_ms))
        stack.start_all()
        account = Account.objects.filter(pk=demo.account.pk)
        stack.wait_until(lambda: account.get().state == Account.State.ACTIVE, what="the trader recovers", seconds=120)
        until = start_ms + bars * BASE_MS
        amounts = payments.amounts if payments is not None else {}
        flows = tuple(_pay(stack, start_ms + number * BASE_MS, amount, seconds=seconds) for number, amount in amounts.items())
        stack.run_until(until + BASE_MS, seconds=seconds)
        synced = account.filter(synced_through_at__gte=moment(until))
        stack.wait_until(synced.exists, what="every fill is posted")
        bad = Reconciliation.objects.filter(account=demo.account.pk, outcome=Reconciliation.Outcome.RESIDUAL)
        assert not bad.exists(), "a reconciliation found a residual"
        told, fills = _told(stack.venue_port, bots, start_ms, until)
        limits, of_books = limits_in_force(demo.account.pk)
        assert limits is not None
        assert not of_books
        return AccountStory(BALANCE, limits, _sharing(demo.account.pk, bots, moment(start_ms)), told, flows), fills


def _told(venue_port: int, bots: Sequence[Bot], start_ms: int, until: int) -> tuple[dict[str, tuple[Story, Decimal]], Fills]:
    """Answer what the simulation must be told of each bot, and its live fills."""
    from bots.selectors import instruments_of
    from marketdata.candles import milliseconds, moment
    from marketdata.selectors import filters_of
    from portfolio.models import Fill

    told: dict[str, tuple[Story, Decimal]] = {}
    fills: Fills = {}
    for bot in bots:
        assert bot.anchor_at is not None
        (instrument,) = instruments_of([bot.pk])[bot.pk]
        times, values = venue_candles(venue_port, instrument.venue_symbol, milliseconds(bot.anchor_at), until)
        story = Story(
            strategy=bot.strategy,
            params=dict(bot.params),
            interval=bot.interval,
            instruments=[filters_of(instrument)],
            times=[times],
            values=[values],
            allocation=bot.book.base_equity,
            anchor=milliseconds(bot.anchor_at),
            start=start_ms,
            until=until,
        )
        told[bot.name] = story, bot.book.position_cap_percent
        rows = Fill.objects.filter(book=bot.book, traded_at__lt=moment(until)).order_by("traded_at", "trade_id")
        fills[bot.name] = [
            Trade(milliseconds(row.traded_at), row.side, row.quantity, row.price, row.fee, row.fee_asset, instrument.symbol)
            for row in rows
        ]
    return told, fills


def _share_equally(account_id: int, bots: Sequence[Bot], percent: Decimal, *, market_at: datetime) -> None:
    """Give every bot the same share, dealt out anew whenever money came or went."""
    from django.utils import timezone

    from portfolio.services import set_allocations

    shares, policy = dict.fromkeys([bot.book_id for bot in bots], percent), {"rebases_after_flows": True}
    set_allocations(account_id=account_id, percents=shares, policy=policy, by=None, now=timezone.now(), market_at=market_at)


def _pay(stack: Stack, after_ms: int, amount: Decimal, *, seconds: float) -> Flow:
    """Have money come or go at the exchange while the market waits after a candle, and answer when the books knew of it."""
    from marketdata.candles import moment
    from portfolio.models import Account, Book

    assert stack.demo is not None
    account = Account.objects.filter(pk=stack.demo.account.pk)
    stack.run_until(after_ms, seconds=seconds)
    paused = moment(stack.clock()["market_time"])
    closed_at = moment(stack.clock()["market_time"] // BASE_MS * BASE_MS)
    decided = account.filter(synced_through_at__gte=closed_at, equity_points__market_at__gte=closed_at)
    stack.wait_until(decided.exists, what=f"what closed by {closed_at} is decided on")
    assert Book.objects.filter(account=account.get(), positions__quantity__gt=0).exists(), "no coins are held"
    known = account.get().net_flows
    body = {"account": account.get().venue_uid, "asset": "USDT", "amount": str(amount)}
    stack.control("/control/faults", {"rules": [{"id": "E42", "action": "flow", "with": body}]})
    stack.wait_until(account.filter(net_flows=known + amount).exists, what=f"{amount} is booked", seconds=60)
    # From then on it is there for the candle that closes next.
    return Flow(at=paused + timedelta(milliseconds=1), amount=amount)


def _sharing(account_id: int, bots: Sequence[Bot], begin_at: datetime) -> Shares | Turns:
    """Return how the account is shared, as the simulation is told it."""
    from bots import lineups
    from portfolio.models import Account
    from portfolio.selectors.allocations import newest_version as newest_plan
    from portfolio.selectors.allocations import slices_at
    from portfolio.selectors.modes import newest_version, rotation_of
    from trading.handover import Mode

    mode = Account.objects.get(pk=account_id).allocation_mode
    shared = newest_plan(account_id)
    if mode == Mode.PERCENTAGE and shared is not None and shared.rebases_after_flows:
        percents = {bot.name: slices_at(account_id)[bot.book_id].percent for bot in bots}
        return Shares(versions=(Version(at=begin_at, percents=percents),), policy=Policy(rebases_after_flows=True))
    if mode == Mode.PERCENTAGE:
        return Shares(versions=(Version(at=begin_at, percents={row.name: row.percent for row in lineups.load().bots}),))
    version = newest_version(account_id)
    assert version is not None
    names = {str(bot.book_id): bot.name for bot in bots}
    if mode == Mode.SINGLE:
        return single(names[str(version.book_id)], budget=version.budget)
    rotation = rotation_of(version)
    slots = tuple(replace(slot, bot=names.get(slot.bot, "")) for slot in rotation.slots)
    return Turns(mode=Mode(mode), rotation=replace(rotation, slots=slots), budget=version.budget)


def _bot(key: str, story: Story, cap: Decimal) -> AccountBot:
    (instrument,), (times,), (values,) = story.instruments, story.times, story.values
    return AccountBot(
        key=key,
        definition=registry.definition(story.strategy),
        params=registry.make_params(story.strategy, story.params, story.interval),
        interval_ms=interval_milliseconds(story.interval),
        instruments=(instrument,),
        candles=(Candles(BASE_MS, np.array(times, dtype=np.int64), np.array(values, dtype=np.float64)),),
        position_cap_percent=cap,
        anchor=story.anchor,
    )
