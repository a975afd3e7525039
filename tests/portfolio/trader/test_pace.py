"""The local venue's market goes on when everything that belongs to a moment is done, and not before."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from functools import partial
from typing import cast

import pytest
from django.db.models import F
from structlog.testing import capture_logs

from exchange.pacing import Behind, MarketState, Pacer
from marketdata.candles import milliseconds
from portfolio.models import Account, Order, Reconciliation
from portfolio.trader.pace import RECONCILE_EVERY, Pace
from portfolio.trader.session import Session
from tests.portfolio.trader.lagging import bench
from tests.portfolio.world import NOW, World, build
from tests.waiting import PATIENCE_SECONDS

D = Decimal
pytestmark = pytest.mark.timeout(120)


@pytest.fixture
def world(transactional_db: None) -> World:
    return build(balances={"USDT": D("9882.31")})


@dataclass
class HeldMarket:
    """A venue that is held at one moment until everybody says that it may go on."""

    hold_ms: int
    went_on: list[int] = field(default_factory=list)

    async def register(self) -> None:
        """Wait for this client too."""

    async def wait_hold(self, *, after_ms: int, timeout_seconds: float) -> MarketState | None:
        if after_ms >= self.hold_ms:
            await asyncio.sleep(timeout_seconds)
            return None
        return MarketState(self.hold_ms, self.hold_ms, 60_000, "epoch", trades={})

    async def acknowledge(self, *, hold_ms: int, trades: dict[str, int]) -> Behind | None:
        self.went_on.append(trades[""])
        return None


async def until(heard: list[int]) -> None:
    """Wait until something is in a list."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not heard:  # noqa: ASYNC110 - the parts have no event for it.
            await asyncio.sleep(0.02)


@asynccontextmanager
async def following(
    world: World, market: HeldMarket, look: Callable[[Session], Awaitable[bool]], *, reconciled_at: datetime | None = None
) -> AsyncIterator[Session]:
    """Have a trader follow the market, with this for its look before the market goes on."""
    async with bench(world, pacer=cast("Pacer", market)) as opened:
        opened.session.look_before_going_on = partial(look, opened.session)
        follower = Pace(opened.session, opened.intake, opened.sandwich)
        follower._reconciled_at = reconciled_at
        pace = asyncio.create_task(follower.run())
        yield opened.session
        pace.cancel()


@pytest.fixture
def resting(world: World) -> Order:
    """Have a bid rest at the exchange."""
    world.decide(world.propose("place", 0, side="buy", lots=20, limit_price=D(45000)))
    return world.send(world.order(kind="place"))


def test_what_the_guard_begins_amid_the_last_look_is_waited_for(world: World, resting: Order) -> None:
    """On a busy machine a hand-over that the guard's own look had begun was finished a candle too late, and accounts differed."""
    market = HeldMarket(milliseconds(world.market_at))
    looks: list[int] = []

    async def look(session: Session) -> bool:
        # The guard asks for a cancel by its own clock; this look finds nothing left to do.
        looks.append(len(market.went_on))
        if len(looks) == 1:
            await session.database.run(Order.objects.filter(pk=resting.pk).update, cancel_requested_at=NOW)
        return False

    async def story() -> None:
        async with following(world, market, look) as session:
            await until(looks)
            await asyncio.sleep(0.5)
            assert market.went_on == []
            await session.database.run(world.end, resting)
            session.stir()
            await until(market.went_on)

    asyncio.run(story())
    assert market.went_on == [0]
    assert looks[-1] == 0


def test_what_the_guard_begins_and_the_exchange_ends_amid_the_last_look_is_looked_at_again(world: World, resting: Order) -> None:
    """A hand-over whose cancels were through before anybody counted them was finished a candle too late: nobody looked again."""
    market = HeldMarket(milliseconds(world.market_at))
    looks: list[int] = []

    async def look(session: Session) -> bool:
        looks.append(len(market.went_on))
        if len(looks) == 1:
            await session.database.run(Order.objects.filter(pk=resting.pk).update, cancel_requested_at=NOW)
            await session.database.run(world.end, resting)
        return False

    async def story() -> None:
        async with following(world, market, look):
            await until(market.went_on)

    asyncio.run(story())
    assert looks == [0, 0]


def test_an_account_that_changes_with_every_look_is_told_of(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody may write to it all the time: the market stands, and the log says so until it goes on."""
    monkeypatch.setattr("portfolio.trader.pace._COMPLAIN_SECONDS", -1.0)
    market = HeldMarket(milliseconds(world.market_at))
    looks: list[int] = []

    async def look(session: Session) -> bool:
        looks.append(len(market.went_on))
        if len(looks) < 4:
            await session.database.run(Account.objects.filter(pk=world.account_id).update, version=F("version") + 1)
        return False

    async def story() -> None:
        async with following(world, market, look):
            await until(market.went_on)

    with capture_logs() as told:
        asyncio.run(story())
    assert looks == [0, 0, 0, 0]
    assert [line["event"] for line in told].count("hold.waits") >= 3


def test_what_reconciliation_begins_is_waited_for(world: World) -> None:
    """It may find a trade that nobody told of, and the stop of what was bought must go out before the market goes on."""
    world.decide(world.propose("enter", lots=100, limit_price=D(50505), stop_price=D(49000)))
    order = world.send(world.order(kind="enter"))
    market = HeldMarket(milliseconds(world.market_at))
    reconciled: list[str] = []

    async def look(_session: Session) -> bool:
        if not world.exchange.trades:
            world.exchange.fill(order.client_order_id, quantity=D("0.001"), price=D(50000), fee=D(0), fee_asset="USDT")
        return False

    async def story() -> None:
        async with following(world, market, look, reconciled_at=world.market_at - RECONCILE_EVERY) as session:
            async with asyncio.timeout(PATIENCE_SECONDS):
                while not reconciled:
                    await asyncio.sleep(0.02)
                    reconciled.extend(await session.database.run(causes, world))
            await asyncio.sleep(0.5)
            assert market.went_on == []
            await session.database.run(lambda: world.send(world.order(kind="stop")))
            session.stir()
            await until(market.went_on)

    asyncio.run(story())
    assert (reconciled, market.went_on) == (["cycle"], [1])


def causes(world: World) -> list[str]:
    """Return why the account was reconciled."""
    return list(Reconciliation.objects.filter(account=world.account_id).values_list("cause", flat=True))
