"""Find the bots whose candles have closed and are known."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache, lru_cache
from typing import Final, NamedTuple

from psycopg.sql import SQL

from bots import selectors
from bots.identity import config_hash
from bots.models import Bot, BotState
from marketdata import sql
from marketdata.models import Instrument
from marketdata.selectors import filters_of
from portfolio.models import EquityPoint
from trading.bars import interval_milliseconds
from trading.instruments import instrument_numbers
from trading.strategy import Record

EQUITY_INTERVAL: Final = "5m"
# Pairs of bots are stepped by themselves, see `bots.jobs.pairs`.
_OF_ACCOUNT: Final = """
  FROM bots_bot AS bot JOIN portfolio_book AS book ON book.id = bot.book_id
  LEFT JOIN bots_botstate AS state ON state.bot_id = bot.id
 WHERE book.account_id = %s AND bot.status = ANY(%s)
   AND bot.leader_id IS NULL AND NOT EXISTS (SELECT 1 FROM bots_bot AS other WHERE other.leader_id = bot.id)
 ORDER BY bot.rank, bot.id
"""
_PAIRS: Final = """
SELECT bot.id, bot.interval, bot.bar_closed_at, bot.anchor_at, state.id IS NOT NULL,
       ARRAY[home.id, away.id], ARRAY[home.synced_through_at, away.synced_through_at], home.is_enabled AND away.is_enabled
  FROM bots_bot AS other JOIN bots_bot AS bot ON bot.id = other.leader_id
  JOIN portfolio_book AS near ON near.id = bot.book_id JOIN portfolio_account AS home ON home.id = near.account_id
  JOIN portfolio_book AS far ON far.id = other.book_id JOIN portfolio_account AS away ON away.id = far.account_id
  LEFT JOIN bots_botstate AS state ON state.bot_id = bot.id
 WHERE bot.status = ANY(%s) AND %s IN (home.id, away.id)
 ORDER BY bot.rank, bot.id
"""
# All that it takes to know whether a bot is due; it is asked for every candle of every market that comes in.
_QUESTION: Final = "SELECT bot.id, bot.interval, bot.bar_closed_at, bot.anchor_at, state.id IS NOT NULL" + _OF_ACCOUNT
_KNOWN: Final = """
SELECT instrument_id, interval, synced_from_at, synced_through_at FROM marketdata_subscription WHERE instrument_id = ANY(%s)
"""
_STEPPED: Final = (sql.part(Bot, "bot"), sql.part(BotState, "state"))


class _Asked(NamedTuple):
    """What it takes to know whether a bot is due."""

    pk: int
    interval: str
    bar_closed_at: datetime | None
    anchor_at: datetime | None
    has_state: bool


class _Known(NamedTuple):
    """From when to when a market's candles are stored."""

    synced_from_at: datetime | None
    synced_through_at: datetime | None


@dataclass(frozen=True, slots=True, eq=False)
class DueBot:
    """A bot with candles to step, and everything about it that a step needs."""

    bot: Bot
    state: BotState | None
    instruments: tuple[Instrument, ...]
    # When the candles to step closed, oldest first.
    closes: tuple[datetime, ...]
    # The bot on another account that it decides for too; the last market of the panel is that one's.
    follower: Bot | None = None

    @property
    def length(self) -> timedelta:
        """Answer how long its candles are."""
        return interval_length(self.bot.interval)

    @property
    def instrument_ids(self) -> tuple[int, ...]:
        """Answer its instruments' ids in the order of its panel."""
        return tuple(instrument.pk for instrument in self.instruments)

    def owner_of(self, symbol: int) -> Bot:
        """Answer whose book a decision in a market of the panel is for."""
        is_far = self.follower is not None and symbol == len(self.instruments) - 1
        return self.follower if is_far and self.follower is not None else self.bot

    @property
    def numbers(self) -> Record:
        """Answer its instruments' filters as compiled code reads them."""
        return _numbers(tuple((instrument.pk, instrument.filters_version) for instrument in self.instruments), self)

    @property
    def last_fill_id(self) -> int:
        """Answer the newest fill that its last step was told of."""
        return 0 if self.state is None else self.state.last_fill_id

    @property
    def config_hash(self) -> str:
        """Answer the fingerprint of its configuration."""
        symbols = [instrument.symbol for instrument in self.instruments]
        return config_hash(strategy=self.bot.strategy, params=self.bot.params, interval=self.bot.interval, symbols=symbols)


def find_due(account_id: int, through_at: datetime) -> list[DueBot]:
    """Answer the bots of an account that have candles to step up to a market time.

    A bot waits until every one of its instruments is known through the candle: the late ones go into the next batch.
    """
    found = [sql.models(row, _STEPPED) for row in sql.rows(_step(), account_id, list(selectors.ACTIVE))]
    loaded = {bot.pk: (bot, state) for bot, state in found}
    asked = [_Asked(bot.pk, bot.interval, bot.bar_closed_at, bot.anchor_at, state is not None) for bot, state in found]
    waiting = _behind(asked, through_at)
    if not waiting:
        return []
    markets = selectors.instruments_of([bot.pk for bot in waiting])
    ids = {bot_id: [instrument.pk for instrument in found] for bot_id, found in markets.items()}
    closes = _closes_of(waiting, ids, through_at)
    return [DueBot(*loaded[bot.pk], tuple(markets[bot.pk]), closes[bot.pk]) for bot in waiting if closes[bot.pk]]


class DuePair(NamedTuple):
    """Two bots of which one decides for both, and the candles that it has to step."""

    leader_id: int
    account_ids: tuple[int, int]
    closes: tuple[datetime, ...]


def find_due_pairs(account_id: int) -> list[DuePair]:
    """Answer the pairs with a side in an account that have candles to step.

    Both accounts must be synced through the candle, and their own bots have stepped theirs: a pair comes after them on
    either account, whichever of the two was first.
    """
    found = []
    for *asked, account_ids, synced, is_enabled in sql.rows(_PAIRS, list(selectors.ACTIVE), account_id):
        if not is_enabled or None in synced:
            continue
        leader, through_at = _Asked(*asked), min(synced)
        if not _behind([leader], through_at) or not all(selectors.own_bots_done(pk, through_at) for pk in account_ids):
            continue
        markets = {leader.pk: [instrument.pk for instrument in selectors.panel_of(leader.pk)]}
        if closes := _closes_of([leader], markets, through_at)[leader.pk]:
            found.append(DuePair(leader.pk, (account_ids[0], account_ids[1]), closes))
    return found


def load_pair(due: DuePair) -> tuple[DueBot, BotState | None]:
    """Load both bots of a pair with all that a step needs, and what the follower has seen."""
    leader = Bot.objects.select_related("follower").get(pk=due.leader_id)
    states = BotState.objects.in_bulk([leader.pk, leader.follower.pk], field_name="bot_id")
    instruments = tuple(selectors.panel_of(leader.pk))
    loaded = DueBot(leader, states.get(leader.pk), instruments, due.closes, follower=leader.follower)
    return loaded, states.get(leader.follower.pk)


def has_work(account_id: int, through_at: datetime) -> bool:
    """Say whether advancing the account up to a market time would do anything now."""
    waiting = _waiting(account_id, through_at)
    if _count_due(waiting, through_at) > 0 or find_due_pairs(account_id):
        return True
    return equity_due_at(account_id, through_at) is not None


def is_ready(account_id: int, through_at: datetime) -> bool:
    """Say whether there is work, and no bot waits for a late candle: the moment to ring for all of them at once."""
    waiting = _waiting(account_id, through_at)
    if waiting:
        return _count_due(waiting, through_at) == len(waiting)
    return bool(find_due_pairs(account_id)) or equity_due_at(account_id, through_at) is not None


def equity_due_at(account_id: int, through_at: datetime) -> datetime | None:
    """Answer the candle's close for which a point of the equity curve is missing, once no bot has work before it."""
    market_at = selectors.last_close(through_at, EQUITY_INTERVAL)
    if not selectors.due_bots_done(account_id, through_at):
        return None
    is_there = EquityPoint.objects.filter(account=account_id, book=None, market_at=market_at).exists()
    return None if is_there else market_at


def is_settled(account_id: int, market_at: datetime) -> bool:
    """Say whether the market may go on: every bot has advanced, and what that made of the account is drawn.

    Where no bot works, nobody is waited for: whoever draws the point may be a moment late.
    """
    if not selectors.due_bots_done(account_id, market_at):
        return False
    works = selectors.bots(account_id).filter(status__in=selectors.ACTIVE).exists()
    return not works or equity_due_at(account_id, market_at) is None


@lru_cache(maxsize=32)
def interval_length(interval: str) -> timedelta:
    """Answer how long an interval's candles are."""
    return timedelta(milliseconds=interval_milliseconds(interval))


def _waiting(account_id: int, through_at: datetime) -> list[_Asked]:
    return _behind(map(_Asked._make, sql.rows(_QUESTION, account_id, list(selectors.ACTIVE))), through_at)


def _behind(bots: Iterable[_Asked], through_at: datetime) -> list[_Asked]:
    return [
        bot
        for bot in bots
        if bot.bar_closed_at is not None and bot.bar_closed_at < selectors.last_close(through_at, bot.interval)
    ]


@cache
def _step() -> str:
    # Of book and account a step asks nothing.
    return SQL("SELECT {} {}").format(sql.names(_STEPPED), SQL(_OF_ACCOUNT)).as_string(None)


def _count_due(waiting: Sequence[_Asked], through_at: datetime) -> int:
    if not waiting:
        return 0
    closes = _closes_of(waiting, selectors.instrument_ids_of([bot.pk for bot in waiting]), through_at)
    return sum(bool(found) for found in closes.values())


def _closes_of(
    waiting: Sequence[_Asked], markets: Mapping[int, Sequence[int]], through_at: datetime
) -> dict[int, tuple[datetime, ...]]:
    """Answer of each bot when the candles closed that it has to step."""
    known = _known({instrument_id for found in markets.values() for instrument_id in found})
    return {
        bot.pk: _closes(bot, [known.get((instrument_id, bot.interval)) for instrument_id in markets[bot.pk]], through_at)
        for bot in waiting
    }


def _known(instrument_ids: set[int]) -> dict[tuple[int, str], _Known]:
    found = sql.rows(_KNOWN, list(instrument_ids))
    return {(instrument_id, interval): _Known(*span) for instrument_id, interval, *span in found}


def _closes(bot: _Asked, subscriptions: Sequence[_Known | None], through_at: datetime) -> tuple[datetime, ...]:
    end = selectors.last_close(through_at, bot.interval)
    for subscription in subscriptions:
        if subscription is None or subscription.synced_through_at is None:
            return ()
        if not bot.has_state and not _reaches_back(subscription, bot):
            return ()
        end = min(end, selectors.last_close(subscription.synced_through_at, bot.interval))
    assert bot.bar_closed_at is not None
    length = interval_length(bot.interval)
    count = max(0, (end - bot.bar_closed_at) // length)
    return tuple(bot.bar_closed_at + length * (number + 1) for number in range(count))


def _reaches_back(subscription: _Known, bot: _Asked) -> bool:
    """Say whether the history is there that warms the bot up."""
    if bot.anchor_at is None or subscription.synced_from_at is None:
        return False
    return subscription.synced_from_at <= bot.anchor_at


_NUMBERS: dict[tuple[tuple[int, int], ...], Record] = {}


def _numbers(versions: tuple[tuple[int, int], ...], due: DueBot) -> Record:
    # Filters change with their version only.
    if versions not in _NUMBERS:
        _NUMBERS[versions] = instrument_numbers(*[filters_of(instrument) for instrument in due.instruments])
    return _NUMBERS[versions]
