"""Make pairs of bots: one on each of two accounts, and one strategy that decides for both."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from django.db import transaction

from bots.lineups import PlannedBot
from bots.models import Bot
from bots.services.creating import open_bot
from bots.services.operating import Request, UnableToOperate, refuse_modes
from portfolio.models import Account
from portfolio.writers import accounts
from strategies import registry
from trading.allocations import HUNDRED
from trading.bars import interval_milliseconds

if TYPE_CHECKING:
    from django.contrib.auth.models import User

STRATEGY: Final = "arbitrage"


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedPair:
    """A pair of bots as a person asks for it; the first account is the leader's."""

    key: str
    name: str
    account_ids: tuple[int, int]
    # The coin on either account; both are paid in the same asset.
    symbols: tuple[str, str]
    interval: str
    params: Mapping[str, Any] = field(default_factory=dict)
    strategy: str = STRATEGY


def create_pair(*, planned: PlannedPair, by: User | None, now: datetime, request_id: str = "") -> tuple[Bot, Bot]:
    """Create two stopped bots, each with a book of its own; a pair of that key is left as it is.

    Raises UnableToOperate with a reason code, BadParameter, UnknownSymbol or BadInterval. Their shares are set on either
    account like any bot's.
    """
    if not registry.definition(planned.strategy).is_across_accounts:
        raise UnableToOperate("PAIR_STRATEGY", f"{planned.strategy} trades on one account: make a bot of it instead.")
    interval_milliseconds(planned.interval)
    with transaction.atomic():
        home, away = _locked(planned.account_ids)
        if existing := _existing(planned, home, away):
            return existing
        _refuse(home, away)
        refuse_modes((home, away))
        request = Request(by=by, now=now, request_id=request_id)
        leader = open_bot(home, _side(planned, planned.symbols[0]), request)
        follower = open_bot(away, _side(planned, planned.symbols[1]), request, leader=leader)
        bases = [bot.instruments.get().base for bot in (leader, follower)]
        if bases[0] != bases[1]:
            raise UnableToOperate("PAIR_COIN", f"A pair trades one coin on two accounts, not {bases[0]} and {bases[1]}.")
        return leader, follower


def _locked(account_ids: tuple[int, int]) -> list[Account]:
    if account_ids[0] == account_ids[1]:
        raise UnableToOperate("PAIR_ONE_ACCOUNT", "A pair needs two accounts: name another one for its second side.")
    try:
        locked = {account_id: accounts.lock(account_id) for account_id in sorted(account_ids)}
    except Account.DoesNotExist as error:
        raise UnableToOperate("ACCOUNT_UNKNOWN", "One of the two accounts does not exist.") from error
    return [locked[account_id] for account_id in account_ids]


def _existing(planned: PlannedPair, home: Account, away: Account) -> tuple[Bot, Bot] | None:
    found = Bot.objects.select_related("book__account", "follower").filter(book__account=home, key=planned.key).first()
    if found is None:
        if Bot.objects.filter(book__account=away, key=planned.key).exists():
            raise UnableToOperate("BOT_KEY_TAKEN", f"{away.name} has another bot with the key {planned.key}: choose another key.")
        return None
    follower = getattr(found, "follower", None)
    if follower is None or follower.book.account_id != away.pk:
        raise UnableToOperate("BOT_KEY_TAKEN", f"{home.name} has another bot with the key {planned.key}: choose another key.")
    return found, follower


def _refuse(home: Account, away: Account) -> None:
    for account in (home, away):
        if not account.is_enabled:
            raise UnableToOperate("ACCOUNT_DISABLED", f"{account.name} is not in use.")
        if account.master_id is not None and Bot.objects.filter(book__account=account).exists():
            raise UnableToOperate("SUBACCOUNT_TAKEN", f"{account.name} has its bot: a sub-account belongs to one alone.")
    if home.market_id == away.market_id:
        raise UnableToOperate("PAIR_ONE_MARKET", "Both accounts trade at one exchange: one price is no comparison.")
    if home.mode != away.mode:
        raise UnableToOperate("PAIR_MONEY", f"{home.name} is a {home.mode} account and {away.name} a {away.mode} account.")
    if home.quote_asset != away.quote_asset:
        raise UnableToOperate(
            "PAIR_QUOTE",
            f"{home.name} is paid in {home.quote_asset}, {away.name} in {away.quote_asset}: what they are worth drifts apart.",
        )


def _side(planned: PlannedPair, symbol: str) -> PlannedBot:
    # How much a side may hold is the strategy's to say: its book has money for nothing else.
    return PlannedBot(
        key=planned.key,
        name=planned.name,
        aliases=(),
        strategy=planned.strategy,
        symbols=(symbol,),
        interval=planned.interval,
        percent=Decimal(0),
        position_cap_percent=HUNDRED,
        params=planned.params,
    )
