"""A pair of bots between two accounts on two markets, with an exchange behind each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from typing import Any, cast

import numpy as np
import pytest
from django.db import transaction

from bots import jobs, services
from bots.models import Bot
from bots.services import PlannedPair
from marketdata.models import Mark
from portfolio.jobs.coordinate import coordinate
from portfolio.models import Lease, Order
from portfolio.writers import accounts, fills, orders
from tests.bots.conftest import NOW, Desk, clock, open_desk
from tests.portfolio.exchange import Exchange
from trading.desk.rows import OrderRow
from trading.proposals import Proposal, ProposalKind

LEVEL = [40_000.0]
# The far market is a hundredth dearer: more than both fees and all that the strategy asks for.
APART = [40_400.0]
PARAMS: dict[str, Any] = {"share": 0.3, "trade_part": 0.5}


@dataclass
class Two:
    """Two accounts on two markets, with an exchange behind each, and a pair of bots that trades between them."""

    near: Desk
    far: Desk
    exchanges: dict[int, Exchange] = field(default_factory=dict)

    @property
    def sides(self) -> tuple[Desk, Desk]:
        return self.near, self.far

    def planned(self, **changes: Any) -> PlannedPair:
        values = {
            "key": "ARBITRAGE",
            "name": "Arbitrage",
            "account_ids": (self.near.account.pk, self.far.account.pk),
            "symbols": ("BTC/USDT", "BTC/USDT"),
            "interval": "5m",
            "params": PARAMS,
        }
        return PlannedPair(**(values | changes))

    def started(self) -> tuple[Bot, Bot]:
        """Make the pair with two fifths of either account, and start it."""
        pair = services.create_pair(planned=self.planned(), by=None, now=NOW)
        for desk, bot in zip(self.sides, pair, strict=True):
            services.set_shares(account_id=desk.account.pk, percents={bot.pk: Decimal(40)}, by=None, now=NOW)
        services.start_bot(bot_id=pair[0].pk, by=None, now=NOW, market_at=self.near.market_at)
        for desk in self.sides:
            desk.history(lambda bars: np.full(bars, LEVEL[0]))
        return pair

    def close(self, near: Sequence[float], far: Sequence[float]) -> None:
        """Let candles close on both markets, and both accounts advance."""
        for here, there in zip(near, far, strict=True):
            self.near.close_bars([here])
            self.far.close_bars([there])
            self.advance()

    def advance(self) -> None:
        for desk in self.sides:
            jobs.advance_account(account_id=desk.account.pk, clock=clock)

    def fill(self, price: dict[int, str]) -> None:
        """Have both exchanges fill what was ordered, each at its account's price."""
        for order in Order.objects.filter(status=Order.Status.READY).select_related("instrument", "intent").order_by("id"):
            self.trade(order, price[order.account_id])

    def trade(self, order: Order, price: str, *, part: str = "1", fee: str = "0", fee_asset: str = "USDT") -> None:
        """Have an exchange fill a part of an order; what is left of it is cancelled there."""
        exchange = self.exchanges[order.account_id]
        exchange.clock = max(exchange.clock, self.near.market_at)
        assert orders.mark_sending(order.pk, epoch=1, now=NOW)
        report = exchange.accept(cast("OrderRow", order))
        with transaction.atomic():
            orders.mark_open(accounts.lock(order.account_id), order.pk, report, now=NOW)
        trade = exchange.fill(
            order.client_order_id,
            quantity=order.quantity * Decimal(part),
            price=Decimal(price),
            fee=Decimal(fee),
            fee_asset=fee_asset,
        )
        with transaction.atomic():
            fills.post_fill(accounts.lock(order.account_id), trade, now=NOW)
        with transaction.atomic():
            report = exchange.end(order.client_order_id)
            orders.apply_report(accounts.lock(order.account_id), order.pk, report, now=NOW)

    def rest(self, bot: Bot, *, price: str) -> Order:
        """Have a bot's book offer some of its coins at a price that nobody pays yet."""
        account_id, instrument = bot.book.account_id, bot.instruments.get()
        offer = Proposal(
            book_id=bot.book_id,
            rank=bot.rank,
            leg=50,
            instrument_id=instrument.pk,
            kind=ProposalKind.PLACE,
            reason="TEST_PLACE",
            side="sell",
            slot=0,
            lots=500,
            limit_price=Decimal(price),
        )
        with transaction.atomic():
            (outcome,) = coordinate(accounts.lock(account_id), [offer], market_at=self.near.market_at, now=NOW)
        assert outcome.is_accepted, outcome.code
        order = Order.objects.select_related("instrument", "intent").get(account=account_id, status=Order.Status.READY)
        assert orders.mark_sending(order.pk, epoch=1, now=NOW)
        report = self.exchanges[account_id].accept(cast("OrderRow", order))
        with transaction.atomic():
            orders.mark_open(accounts.lock(account_id), order.pk, report, now=NOW)
        return order

    def stock(self) -> None:
        """Have both sides buy their coins, and see them."""
        self.close(LEVEL, LEVEL)
        assert Order.objects.filter(status=Order.Status.READY).count() == 2
        self.fill({desk.account.pk: "40000" for desk in self.sides})
        self.close(LEVEL, LEVEL)


@pytest.fixture
def two(db: None) -> Two:
    return open_two()


def open_two(far_fee_ppm: int = 1000) -> Two:
    """Open two accounts, each with a trader that is alive and a price of the coin; the far one has fees of its own."""
    found = Two(open_desk(), open_desk(name="far", epoch="far", deploy="f1", taker_fee_ppm=far_fee_ppm))
    for desk in found.sides:
        Lease.objects.create(name=f"trader:{desk.account.pk}", holder="test", epoch=1, expires_at=NOW + timedelta(seconds=12))
        coin = desk.market.instruments.get(symbol="BTC/USDT")
        Mark.objects.create(instrument=coin, price=Decimal(40_000), market_at=desk.market_at, received_at=NOW)
        found.exchanges[desk.account.pk] = Exchange({"USDT": Decimal("9882.31")}, clock=desk.market_at)
    return found
