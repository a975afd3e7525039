"""The single place that changes the tables of bots."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import psycopg
from django.db import connection

from bots.models import Bot, BotDrift, BotState
from stream.publish import publish_on_commit

_CLAIM: Final = """
    UPDATE bots_bot SET bar_closed_at = bar.closed_at, version = bots_bot.version + 1
    FROM unnest(%s::bigint[], %s::timestamptz[], %s::timestamptz[]) AS bar (bot_id, before_at, closed_at)
    WHERE bots_bot.id = bar.bot_id AND bots_bot.bar_closed_at IS NOT DISTINCT FROM bar.before_at
      AND bots_bot.status IN ('running', 'paused')
    RETURNING bots_bot.id, bots_bot.version
"""
_KEEP: Final = """
    INSERT INTO bots_botstate (bot_id, bar_closed_at, schema_hash, last_fill_id, data)
    SELECT * FROM unnest(%s::bigint[], %s::timestamptz[], %s::text[], %s::bigint[], %b::bytea[])
    ON CONFLICT (bot_id) DO UPDATE
    SET bar_closed_at = excluded.bar_closed_at, schema_hash = excluded.schema_hash,
        last_fill_id = excluded.last_fill_id, data = excluded.data
"""


@dataclass(frozen=True, slots=True)
class Claim:
    """A bot's candles from `before_at` to `closed_at`, taken by one worker."""

    bot_id: int
    before_at: datetime | None
    closed_at: datetime


def claim_bars(claims: Sequence[Claim]) -> set[int]:
    """Take the candles of several bots, and answer the bots that nobody else took first."""
    columns = [[claim.bot_id, claim.before_at, claim.closed_at] for claim in claims]
    with connection.cursor() as cursor:
        cursor.execute(_CLAIM, [list(column) for column in zip(*columns, strict=True)])
        won = dict(cursor.fetchall())
    for bot_id, version in won.items():
        publish_on_commit(f"bot:{bot_id}", "changed", {"bot": bot_id}, seq=version)
    return set(won)


def save_states(states: Sequence[BotState]) -> None:
    """Store what strategies remember, replacing what they remembered before."""
    rows = [(state.bot_id, state.bar_closed_at, state.schema_hash, state.last_fill_id, state.data) for state in states]
    if rows:
        # Django's own cursor writes bytes into the statement as text: three times the time for all that fifty bots remember.
        connection.ensure_connection()
        with connection.wrap_database_errors, psycopg.Cursor(connection.connection) as cursor:
            cursor.execute(_KEEP, [list(column) for column in zip(*rows, strict=True)])


def forget_state(bot: Bot) -> None:
    """Drop what the strategy remembered, so that it warms up anew."""
    BotState.objects.filter(bot=bot).delete()


def change(bot: Bot, **values: Any) -> None:
    """Set these fields of a bot with a raised version and tell the browsers."""
    for name, value in values.items():
        setattr(bot, name, value)
    bot.version += 1
    bot.save(update_fields=["version", *values])
    publish_on_commit(f"bot:{bot.pk}", "changed", {"bot": bot.pk}, seq=bot.version)


def create(*, book_id: int, instrument_ids: Sequence[int], facts: Mapping[str, Any]) -> Bot:
    """Create a bot that is stopped; its markets keep the order they are given in."""
    bot = Bot.objects.create(book_id=book_id, **facts)
    for instrument_id in instrument_ids:
        bot.instruments.add(instrument_id)
    return bot


def set_markets(bot: Bot, instrument_ids: Sequence[int]) -> None:
    """Give a bot other markets, in the order that they are given in."""
    bot.instruments.clear()
    for instrument_id in instrument_ids:
        bot.instruments.add(instrument_id)


def drift_of(bot_id: int, *, now: datetime) -> BotDrift:
    """Lock what was last said of a bot's fills; the first look begins with nothing."""
    BotDrift.objects.get_or_create(bot_id=bot_id, defaults={"looked_at": now})
    return BotDrift.objects.select_for_update().get(bot_id=bot_id)


def save_drift(row: BotDrift) -> None:
    """Keep what was found."""
    row.save()
