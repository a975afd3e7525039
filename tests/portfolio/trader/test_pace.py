"""The local venue's market goes on when everything that belongs to a moment is done, and not before."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from decimal import Decimal
from typing import cast

import pytest

from exchange.pacing import Behind, MarketState, Pacer
from marketdata.candles import milliseconds
from portfolio.models import Order, Reconciliation
from portfolio.trader.pace import RECONCILE_EVERY, Pace
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


def test_what_the_guard_begins_amid_the_last_look_is_waited_for(world: World) -> None:
    """On a busy machine a hand-over that the guard's own look had begun was finished a candle too late, and accounts differed."""
    world.decide(world.propose("place", 0, side="buy", lots=20, limit_price=D(45000)))
    order = world.send(world.order(kind="place"))
    market = HeldMarket(milliseconds(world.market_at))
    looks: list[int] = []

    async def story() -> None:
        async with bench(world, pacer=cast("Pacer", market)) as opened:
            session = opened.session

            async def look() -> bool:
                # The guard asks for a cancel by its own clock; this look finds nothing left to do.
                looks.append(len(market.went_on))
                if len(looks) == 1:
                    await session.database.run(Order.objects.filter(pk=order.pk).update, cancel_requested_at=NOW)
                return False

            session.look_before_going_on = look
            pace = asyncio.create_task(Pace(session, opened.intake, opened.sandwich).run())
            await until(looks)
            await asyncio.sleep(0.5)
            assert market.went_on == []
            await session.database.run(world.end, order)
            session.stir()
            await until(market.went_on)
            pace.cancel()

    asyncio.run(story())
    assert market.went_on == [0]
    assert looks[-1] == 0


def test_what_the_guard_begins_and_the_exchange_ends_amid_the_last_look_is_looked_at_again(world: World) -> None:
    """A hand-over whose cancels were through before anybody counted them was finished a candle too late: nobody looked again."""
    world.decide(world.propose("place", 0, side="buy", lots=20, limit_price=D(45000)))
    order = world.send(world.order(kind="place"))
    market = HeldMarket(milliseconds(world.market_at))
    looks: list[int] = []

    async def story() -> None:
        async with bench(world, pacer=cast("Pacer", market)) as opened:
            session = opened.session

            async def look() -> bool:
                looks.append(len(market.went_on))
                if len(looks) == 1:
                    await session.database.run(Order.objects.filter(pk=order.pk).update, cancel_requested_at=NOW)
                    await session.database.run(world.end, order)
                return False

            session.look_before_going_on = look
            pace = asyncio.create_task(Pace(session, opened.intake, opened.sandwich).run())
            await until(market.went_on)
            pace.cancel()

    asyncio.run(story())
    assert looks == [0, 0]


def test_what_reconciliation_begins_is_waited_for(world: World) -> None:
    """It may find a trade that nobody told of, and the stop of what was bought must go out before the market goes on."""
    world.decide(world.propose("enter", lots=100, limit_price=D(50505), stop_price=D(49000)))
    order = world.send(world.order(kind="enter"))
    market = HeldMarket(milliseconds(world.market_at))
    reconciled: list[str] = []

    async def story() -> None:
        async with bench(world, pacer=cast("Pacer", market)) as opened:
            session = opened.session

            async def look() -> bool:
                if not world.exchange.trades:
                    world.exchange.fill(order.client_order_id, quantity=D("0.001"), price=D(50000), fee=D(0), fee_asset="USDT")
                return False

            session.look_before_going_on = look
            follower = Pace(session, opened.intake, opened.sandwich)
            follower._reconciled_at = world.market_at - RECONCILE_EVERY
            pace = asyncio.create_task(follower.run())
            async with asyncio.timeout(PATIENCE_SECONDS):
                while not reconciled:
                    await asyncio.sleep(0.02)
                    reconciled.extend(await session.database.run(causes, world))
            await asyncio.sleep(0.5)
            assert market.went_on == []
            await session.database.run(lambda: world.send(world.order(kind="stop")))
            session.stir()
            await until(market.went_on)
            pace.cancel()

    asyncio.run(story())
    assert (reconciled, market.went_on) == (["cycle"], [1])


def causes(world: World) -> list[str]:
    """Return why the account was reconciled."""
    return list(Reconciliation.objects.filter(account=world.account_id).values_list("cause", flat=True))
