"""What can be read about bots."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from django.db.models import Q, QuerySet

from bots.models import Bot
from marketdata import sql
from marketdata.candles import floor_to_interval, milliseconds, moment
from marketdata.models import Instrument
from marketdata.selectors import candle_panel
from portfolio.models import Account
from trading.bars import interval_milliseconds

if TYPE_CHECKING:
    from trading.strategy import Plot

ACTIVE: Final = (Bot.Status.RUNNING.value, Bot.Status.PAUSED.value)
_MARKETS: Final = "SELECT bot_id, instrument_id FROM bots_bot_instruments WHERE bot_id = ANY(%s) ORDER BY id"
_CLAIMED: Final = """
SELECT bot.interval, bot.bar_closed_at, other.id IS NOT NULL, COALESCE(away.is_enabled, TRUE)
  FROM bots_bot AS bot JOIN portfolio_book AS book ON book.id = bot.book_id
  LEFT JOIN bots_bot AS other
    ON other.id = COALESCE(bot.leader_id, (SELECT follower.id FROM bots_bot AS follower WHERE follower.leader_id = bot.id))
  LEFT JOIN portfolio_book AS far ON far.id = other.book_id LEFT JOIN portfolio_account AS away ON away.id = far.account_id
 WHERE book.account_id = %s AND bot.status = ANY(%s)
"""


@dataclass(frozen=True, slots=True)
class Line:
    """A bot as a list shows it."""

    bot_id: int
    account: str
    key: str
    name: str
    strategy: str
    symbols: tuple[str, ...]
    interval: str
    status: str
    status_reason: str
    bar_closed_at: datetime | None


def bots(account_id: int | None = None) -> QuerySet[Bot]:
    """Answer the bots of an account, or of all enabled ones, by rank."""
    found = Bot.objects.select_related("book__account").order_by("book__account_id", "rank", "id")
    if account_id is None:
        return found.filter(book__account__is_enabled=True)
    return found.filter(book__account_id=account_id)


def instrument_ids_of(bot_ids: Sequence[int]) -> dict[int, list[int]]:
    """Answer the ids of each bot's instruments in the order they were given in, which is the order of its panel."""
    found: dict[int, list[int]] = {bot_id: [] for bot_id in bot_ids}
    for bot_id, instrument_id in sql.rows(_MARKETS, list(bot_ids)) if bot_ids else ():
        found[bot_id].append(instrument_id)
    return found


def instruments_of(bot_ids: Sequence[int]) -> dict[int, list[Instrument]]:
    """Answer the instruments of each bot in the order they were given in, which is the order of its panel."""
    ids = instrument_ids_of(bot_ids)
    # Many bots trade one market: its row, with all the exchange says of it, is read once.
    known = Instrument.objects.in_bulk({instrument_id for found in ids.values() for instrument_id in found})
    return {bot_id: [known[instrument_id] for instrument_id in found] for bot_id, found in ids.items()}


def panel_of(bot_id: int) -> list[Instrument]:
    """Answer the markets that the strategy of a bot sees, in their order: of a pair those of both, the leader's first."""
    ids = Bot.objects.filter(Q(pk=bot_id) | Q(follower=bot_id)).values_list("pk", flat=True)
    leader_id = next((found for found in ids if found != bot_id), bot_id)
    followers = list(Bot.objects.filter(leader=leader_id).values_list("pk", flat=True))
    markets = instruments_of([leader_id, *followers])
    return [instrument for one in (leader_id, *followers) for instrument in markets[one]]


def pairs_of_bots(leader_id: int | None = None) -> list[Bot]:
    """Answer the leaders of pairs of bots, or one of them, oldest first, each with its follower, accounts and markets."""
    found = Bot.objects.filter(follower__isnull=False).select_related("book__account__market", "follower__book__account__market")
    return list((found if leader_id is None else found.filter(pk=leader_id)).order_by("id"))


def other_sides(bot_ids: Collection[int]) -> dict[int, Bot]:
    """Answer the other bot of each of these that works in a pair, with its account: one statement."""
    found = Bot.objects.filter(Q(leader__in=bot_ids) | Q(follower__in=bot_ids)).select_related(
        "book__account__market", "follower"
    )
    sides = {}
    for bot in found:
        other_id = bot.leader_id or bot.follower.pk
        if other_id in bot_ids:
            sides[other_id] = bot
    return sides


def running_pair(account_id: int) -> Bot | None:
    """Answer the first bot of an account that works together with one on another account, if there is one."""
    paired = Q(leader__isnull=False) | Q(follower__isnull=False)
    return bots(account_id).filter(paired, status__in=ACTIVE).first()


def lines(account_id: int | None = None) -> list[Line]:
    """Answer the bots for a list."""
    return lines_of(list(bots(account_id)))


def lines_of(found: Sequence[Bot]) -> list[Line]:
    """Answer some bots for a list."""
    markets = instruments_of([bot.pk for bot in found])
    return [
        Line(
            bot_id=bot.pk,
            account=bot.book.account.name,
            key=bot.key,
            name=bot.name,
            strategy=bot.strategy,
            symbols=tuple(instrument.symbol for instrument in markets[bot.pk]),
            interval=bot.interval,
            status=bot.status,
            status_reason=bot.status_reason,
            bar_closed_at=bot.bar_closed_at,
        )
        for bot in found
    ]


class AccountUnclear(Exception):
    """Raised when it does not go without saying which account is meant."""


def only_account() -> int:
    """Answer the one enabled account, for a person who did not name one; sub-accounts are always named."""
    account_ids = list(Account.objects.filter(is_enabled=True, master=None).order_by("id").values_list("id", flat=True))
    if not account_ids:
        raise AccountUnclear("There is no enabled account. `python manage.py up` sets one up.")
    if len(account_ids) > 1:
        raise AccountUnclear(f"Say which account with --account: {', '.join(map(str, account_ids))}.")
    return account_ids[0]


def due_bots_done(account_id: int, market_at: datetime) -> bool:
    """Say whether every bot that works has stepped each of its candles up to a market time.

    One that works together with a bot of an account out of use does not work, and nobody waits for it.
    """
    return _all_stepped(account_id, market_at, with_pairs=True)


def own_bots_done(account_id: int, market_at: datetime) -> bool:
    """Say the same of those that need no other account for it."""
    return _all_stepped(account_id, market_at, with_pairs=False)


def _all_stepped(account_id: int, market_at: datetime, *, with_pairs: bool) -> bool:
    for interval, bar_closed_at, is_paired, can_work in sql.rows(_CLAIMED, account_id, list(ACTIVE)):
        is_behind = bar_closed_at is None or bar_closed_at < last_close(market_at, interval)
        if is_behind and can_work and (with_pairs or not is_paired):
            return False
    return True


@lru_cache(maxsize=64)
def last_close(market_at: datetime, interval: str) -> datetime:
    """Answer when the newest candle of an interval closed, seen from a market time."""
    return moment(floor_to_interval(milliseconds(market_at), interval))


@dataclass(frozen=True, slots=True)
class Indicators:
    """What a bot's strategy looked at: when the candles opened, and each plot's value after each of them."""

    opened_at: list[datetime]
    lines: dict[Plot, list[float | None]]


def indicators(bot: Bot, *, bars: int) -> Indicators:
    """Replay the strategy over the newest candles of its first instrument and answer the numbers it decides from.

    Averages without end have settled long before the first candle shown: four warm-ups are replayed ahead of it.
    """
    # Imported late: it loads numba, which most processes never need.
    from strategies import registry
    from trading.live_step import trace

    definition = registry.definition(bot.strategy)
    params = registry.make_params(bot.strategy, bot.params, bot.interval)
    if bot.bar_closed_at is None:
        return Indicators([], {plot: [] for plot in definition.plots(params)})
    ahead = 4 * definition.warmup_bars(params)
    length = timedelta(milliseconds=interval_milliseconds(bot.interval))
    markets = [instrument.pk for instrument in panel_of(bot.pk)]
    begin_at = bot.bar_closed_at - length * (bars + ahead)
    panel = candle_panel(instrument_ids=markets, interval=bot.interval, begin_at=begin_at, end_at=bot.bar_closed_at)
    traced = trace(definition, params, panel.values)
    return Indicators(
        [moment(int(time)) for time in panel.times[-bars:]],
        {plot: [value if math.isfinite(value) else None for value in line[-bars:].tolist()] for plot, line in traced.items()},
    )
