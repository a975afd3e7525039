from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import numpy as np
import pytest

from bots import services
from bots.lineups import PlannedBot
from bots.models import Bot
from marketdata import jobs as market_jobs
from marketdata import writers as market_writers
from marketdata.candles import ClosedCandle, milliseconds
from marketdata.models import Market, Subscription
from marketdata.selectors import subscriptions
from portfolio.models import Account
from portfolio.services import open_account
from tests.portfolio.world import World, build
from trading.instruments import Instrument as Filters

NOW = datetime(2026, 1, 5, 12, 0, tzinfo=UTC)
MARKET_START = datetime(2024, 3, 1, tzinfo=UTC)
FIVE_MINUTES = timedelta(minutes=5)


def clock() -> datetime:
    return NOW


def filters(symbol: str) -> Filters:
    base, quote = symbol.split("/")
    return Filters(
        symbol=symbol,
        base=base,
        quote=quote,
        tick_size=Decimal("0.01"),
        lot_size=Decimal("0.00001"),
        min_quantity=Decimal("0.00001"),
        max_quantity=Decimal(9000),
        min_notional=Decimal(5),
    )


@dataclass
class Desk:
    """A market with two instruments, an account of 9,882.31 USDT, and ways to let time pass."""

    market: Market
    account: Account
    market_at: datetime

    def plan(self, key: str, strategy: str = "mean_reversion", symbol: str = "BTC/USDT", **params: Any) -> PlannedBot:
        return PlannedBot(
            key=key,
            name=key.title().replace("_", ""),
            aliases=(),
            strategy=strategy,
            symbols=tuple(symbol.split(",")),
            interval="5m",
            percent=Decimal(20),
            position_cap_percent=Decimal(10),
            params=params,
        )

    def bot(self, key: str, strategy: str = "mean_reversion", symbol: str = "BTC/USDT", **params: Any) -> Bot:
        """Create a bot with a fifth of the account, and start it."""
        planned = self.plan(key, strategy, symbol, **params)
        bot = services.create_bot(account_id=self.account.pk, planned=planned, by=None, now=NOW)
        services.set_shares(account_id=self.account.pk, percents={bot.pk: Decimal(20)}, by=None, now=NOW)
        return services.start_bot(bot_id=bot.pk, by=None, now=NOW, market_at=self.market_at)

    def history(self, closes: Callable[[int], np.ndarray[Any, Any]], bars: int = 400) -> None:
        """Record history that ends now."""
        begin = self.market_at - FIVE_MINUTES * bars
        self._record(begin, closes(bars), from_at=begin, through=self.market_at)

    def close_bars(self, closes: Iterable[float], *, missing: bool = False, only: str = "") -> None:
        """Let candles close, and say that the account is synced through them."""
        for close in closes:
            begin, self.market_at = self.market_at, self.market_at + FIVE_MINUTES
            self._record(begin, np.array([] if missing else [close]), from_at=None, through=self.market_at, only=only)
        Account.objects.filter(pk=self.account.pk).update(synced_through_at=self.market_at)

    def late_bars(self, closes: Iterable[float]) -> None:
        """Say that the account is synced, while the candles are not there yet."""
        self.market_at += FIVE_MINUTES * len(list(closes))
        Account.objects.filter(pk=self.account.pk).update(synced_through_at=self.market_at)

    def _record(
        self,
        begin: datetime,
        closes: np.ndarray[Any, Any],
        *,
        from_at: datetime | None,
        through: datetime,
        only: str = "",
    ) -> None:
        candles = []
        wanted: list[Subscription] = list(subscriptions(self.market.pk))
        for subscription in wanted:
            if only and subscription.instrument.symbol != only:
                continue
            for number, close in enumerate(closes):
                opened = milliseconds(begin + FIVE_MINUTES * number)
                price = float(close)
                candles.append(
                    ClosedCandle(subscription.instrument_id, "5m", opened, price, price * 1.001, price * 0.999, price, 50.0)
                )
        synced = [market_jobs.Synced(subscription.pk, through, from_at) for subscription in wanted]
        market_jobs.record_bars(market_id=self.market.pk, candles=candles, synced=synced)


@pytest.fixture
def desk(db: None) -> Desk:
    return open_desk()


def open_desk(
    *, name: str = "demo", epoch: str = "test", deploy: str = "t1", mode: str = "paper", taker_fee_ppm: int = 1000
) -> Desk:
    """Open an account on a market of its own."""
    market = market_writers.upsert_market(
        exchange="binance",
        epoch=epoch,
        facts={"label": "Test market", "is_synthetic": True, "taker_fee_ppm": taker_fee_ppm},
        now=NOW,
    )
    for symbol in ("BTC/USDT", "ETH/USDT"):
        market_writers.upsert_instrument(
            market_id=market.pk,
            venue_symbol=symbol.replace("/", ""),
            filters=filters(symbol),
            raw={},
            order_count_max=200,
            now=NOW,
        )
    account = open_account(
        name=name,
        market=market,
        mode=mode,
        deploy=deploy,
        quote_asset="USDT",
        balances={"USDT": Decimal("9882.31")},
        books=[],
        now=NOW,
        market_at=MARKET_START,
    )
    Account.objects.filter(pk=account.pk).update(state=Account.State.ACTIVE)
    account.refresh_from_db()
    return Desk(market, account, MARKET_START)


@pytest.fixture
def world(db: None) -> World:
    """Return an account of five funded books, to be traded by hand."""
    return build()


@pytest.fixture
def bot(world: World) -> Bot:
    """Return a bot whose book is the first one of that account."""
    made = Bot.objects.create(
        book=world.books[0], key="FIRST", name="First", strategy="mean_reversion", strategy_hash="x", interval="5m", rank=0,
        created_at=NOW,
    )  # fmt: skip
    made.instruments.add(world.instruments["BTC/USDT"])
    return made


def quiet(bars: int) -> np.ndarray[Any, Any]:
    """Draw a market that drifts in a narrow band."""
    return np.round(100.0 + 0.8 * np.sin(np.arange(bars) / 7.0) + 0.3 * np.cos(np.arange(bars) / 3.0), 2)
