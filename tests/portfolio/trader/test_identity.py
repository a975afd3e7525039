"""Books that are not ours any more, and traders that are not us, are recognised before anything is reconciled."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from decimal import Decimal

import pytest

from portfolio.models import Account, LedgerTransaction, Reconciliation
from portfolio.services.resets import EXCHANGE_RESET
from portfolio.trader import identity
from portfolio.trader.keys import UnableToTrade
from tests.portfolio.trader.lagging import Bench, account_of, bench
from tests.portfolio.world import World, build
from trading.orders import client_order_id, raise_deploy

D = Decimal
pytestmark = pytest.mark.timeout(120)


@pytest.fixture
def world(transactional_db: None) -> World:
    made = build()
    made.decide(made.propose("enter", lots=380, limit_price=D("50505")))
    order = made.send(made.order(kind="enter"))
    made.fill(order, "0.0038", "50000", fee="0.0000038", fee_asset="BTC")
    return made


def run(world: World, story: Callable[[Bench], Awaitable[None]], **fields: object) -> None:
    async def tell() -> None:
        async with bench(world, **fields) as opened:
            await story(opened)

    asyncio.run(tell())


@pytest.mark.fault("E45")
def test_an_exchange_that_was_reset_is_never_reconciled(world: World) -> None:
    async def story(opened: Bench) -> None:
        # The monthly reset: every order and trade is gone, the balances are fresh ones.
        opened.port.elapsed += timedelta(minutes=20).total_seconds()
        world.exchange.trades.clear()
        world.exchange.orders.clear()
        world.exchange.free.clear()
        world.exchange.free["USDT"] = D(10_000)
        with pytest.raises(UnableToTrade, match="reset"):
            await opened.sandwich.compare("cycle")

    run(world, story)
    account = account_of(world)
    assert (account.state, account.state_reason) == (Account.State.HALTED, EXCHANGE_RESET)
    assert not LedgerTransaction.objects.filter(kind="suspense").exists()
    assert not Reconciliation.objects.exists()


@pytest.mark.fault("E45", "E30")
def test_a_trade_of_a_moment_ago_that_does_not_show_yet_is_no_reset(world: World) -> None:
    async def story(opened: Bench) -> None:
        world.exchange.trades.clear()
        await identity.refuse_if_reset(opened.session)

    run(world, story)
    assert account_of(world).state == Account.State.ACTIVE


@pytest.mark.fault("E44")
@pytest.mark.parametrize(
    ("deploy", "is_foreign"),
    [("t1", False), ("other1", True), (raise_deploy("t1"), True)],
    ids=["ours", "another installation", "a later life of ours"],
)
def test_an_order_of_a_living_instance_other_than_ours_halts_entries(world: World, deploy: str, is_foreign: bool) -> None:
    async def story(opened: Bench) -> None:
        await identity.halt_if_not_alone(opened.session, [client_order_id(deploy, 1, 77), "web_12345"])

    run(world, story)
    assert (account_of(world).state_reason == identity.FOREIGN_INSTANCE) == is_foreign


@pytest.mark.fault("E44", "D09")
def test_what_an_earlier_life_of_ours_has_left_is_no_stranger(world: World) -> None:
    async def story(opened: Bench) -> None:
        await identity.halt_if_not_alone(opened.session, [client_order_id("t1", 1, 77)])

    run(world, story, deploy=raise_deploy("t1"))
    assert account_of(world).state == Account.State.ACTIVE
