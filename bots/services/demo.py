"""Set up the demo: a paper account on the local venue with the bots of a plan, trading."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from django.db import transaction

from bots.lineups import Plan
from bots.models import Bot
from bots.services.creating import create_lineup
from bots.services.operating import start_bot
from bots.services.shares import set_shares
from exchange.ports import Listing
from marketdata.candles import moment
from marketdata.models import Market
from marketdata.writers import upsert_instrument, upsert_market
from portfolio.models import Account, Allocation
from portfolio.services import open_account
from portfolio.services.credentials import store_credential
from portfolio.writers import accounts, audit

QUOTE: Final = "USDT"
BALANCE: Final = Decimal("9882.31")
ACCOUNT: Final = "demo"


@dataclass(frozen=True, slots=True)
class Venue:
    """Where the local venue is, and what its clock says of its market."""

    rest_url: str
    stream_url: str
    control_url: str
    clock: dict[str, Any]

    @property
    def epoch(self) -> str:
        """Answer the identity of the market's history."""
        return str(self.clock["epoch"])

    @property
    def market_at(self) -> datetime:
        """Answer the market's time."""
        return moment(int(self.clock["hold_time"] or self.clock["market_time"]))


@dataclass(frozen=True, slots=True)
class Key:
    """The account the venue opened for us, and its API key."""

    uid: str
    api_key: str
    api_secret: str


@dataclass(frozen=True, slots=True)
class Demo:
    """What the demo consists of."""

    account: Account
    bots: list[Bot]
    is_new: bool


def market_of(venue: Venue, *, now: datetime) -> Market:
    """Store the venue's market, with the addresses that it has today."""
    clock = venue.clock
    facts = {
        "label": str(clock["label"]),
        "is_synthetic": clock["market"] == "synthetic",
        "rest_url": venue.rest_url,
        "stream_url": venue.stream_url,
        "control_url": venue.control_url,
    }
    costs = ("taker_fee_ppm", "maker_fee_ppm", "half_spread_ppm")
    facts |= {name: int(clock[name]) for name in costs if name in clock}
    return upsert_market(exchange="binance", epoch=venue.epoch, facts=facts, now=now)


def account_of(market: Market, called: str = ACCOUNT) -> Account | None:
    """Find the demo account of a market."""
    return Account.objects.filter(market=market, name=account_name(market, called)).first()


def account_name(market: Market, called: str = ACCOUNT) -> str:
    """Name the demo account: another market is another account."""
    return f"{called} {market.epoch[:12]}"


def quote_of(market: Market) -> str:
    """Name what a demo account of a market is opened with: what most of its coins are paid in, the usual asset if any is."""
    counts = Counter(market.instruments.values_list("quote", flat=True))
    if not counts or QUOTE in counts:
        return QUOTE
    return min(counts, key=lambda quote: (-counts[quote], quote))


def list_instruments(market: Market, listings: Sequence[Listing], *, now: datetime) -> None:
    """Store what the market lists."""
    for listing in listings:
        upsert_instrument(
            market_id=market.pk,
            venue_symbol=listing.venue_symbol,
            filters=listing.instrument,
            raw=listing.filters,
            order_count_max=listing.order_count_max,
            now=now,
        )


def set_up(
    *,
    market: Market,
    venue: Venue,
    key: Key,
    plan: Plan,
    deploy: str,
    now: datetime,
    beside: Collection[int] = (),
    called: str = ACCOUNT,
) -> Demo:
    """Open the account, its bots and their shares, and start them; what is there already stays as it is.

    Accounts of other local markets are put out of use, but those of the markets `beside` this one.
    """
    quote = quote_of(market)
    with transaction.atomic():
        existing = account_of(market, called)
        account = existing or open_account(
            name=account_name(market, called),
            market=market,
            mode=Account.Mode.PAPER,
            deploy=deploy,
            quote_asset=quote,
            balances={quote: BALANCE},
            books=[],
            now=now,
            market_at=venue.market_at,
            venue_uid=key.uid,
        )
        if existing is None:
            store_credential(account=account, key=key.api_key, secret=key.api_secret, now=now)
        _disable_other_epochs(account, beside, now=now)
        if Bot.objects.filter(book__account=account).exists():
            bots = list(Bot.objects.filter(book__account=account))
        else:
            bots = _lineup(account, plan, venue, now=now) if plan.bots else []
    return Demo(account=account, bots=bots, is_new=existing is None)


def _lineup(account: Account, plan: Plan, venue: Venue, *, now: datetime) -> list[Bot]:
    bots = create_lineup(account_id=account.pk, plan=plan, by=None, now=now)
    percents = {bot.key: bot.percent for bot in plan.bots}
    if not Allocation.objects.filter(book__account=account).exists():
        set_shares(
            account_id=account.pk,
            percents={bot.pk: percents[bot.key] for bot in bots},
            by=None,
            now=now,
            market_at=venue.market_at,
        )
    return [start_bot(bot_id=bot.pk, by=None, now=now, market_at=venue.market_at) for bot in bots]


def _disable_other_epochs(account: Account, beside: Collection[int], *, now: datetime) -> None:
    """Have no other paper market trade: a local venue shows one, and an account is bound to its own."""
    if not account.is_enabled:
        for mine in (account, *account.sub_accounts.filter(is_enabled=False)):
            _enable(mine, is_enabled=True, now=now)
    others = Account.objects.filter(mode=Account.Mode.PAPER, is_enabled=True)
    others = others.exclude(market__in={account.market_id, *beside})
    for other in others.exclude(market__control_url=""):
        _enable(other, is_enabled=False, now=now)


def _enable(account: Account, *, is_enabled: bool, now: datetime) -> None:
    locked = accounts.lock(account.pk)
    locked.is_enabled = account.is_enabled = is_enabled
    accounts.changed(locked, "is_enabled")
    action = "account.enable" if is_enabled else "account.disable"
    audit.record(action=action, subject=f"account:{account.pk}", after={"name": account.name}, now=now)
