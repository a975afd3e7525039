"""Read what limits an account: limits in force, the day's start, open latches, prices to hold orders against."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date, datetime, timedelta
from decimal import ROUND_FLOOR, Decimal
from typing import Any, Final

from psycopg.sql import SQL, Identifier

from marketdata.selectors import Close, newest_closes
from marketdata.sql import rows
from portfolio.models import Account, Fill, RiskLatch, RiskLimits
from trading.bars import interval_milliseconds
from trading.ledger import CENT, ZERO
from trading.risk import REPEATED_EXECUTION, DayStart, Limits, overlay

LIMIT_NAMES: Final = (
    "soft_loss_percent", "hard_loss_percent", "fall_percent", "collar_percent", "order_value_max", "orders_per_minute",
    "repeats_max", "opposite_positions", "volume_day_min",
)  # fmt: skip
_CLOSES_AGE_MAX: Final = timedelta(hours=1)
_VOLUME_DAY: Final = timedelta(days=1)
_VOLUMES: Final = """
SELECT c.instrument_id, c.interval, sum(c.volume * c.close)
  FROM marketdata_candle c JOIN marketdata_instrument i ON i.id = c.instrument_id
 WHERE i.market_id = %s AND c.open_at >= %s AND c.open_at < %s
 GROUP BY c.instrument_id, c.interval
"""
_LIMITS: Final = (
    SQL("SELECT DISTINCT ON (book_id) book_id, {} FROM portfolio_risklimits WHERE account_id = %s ORDER BY book_id, version DESC")
    .format(SQL(", ").join(map(Identifier, LIMIT_NAMES)))
    .as_string(None)
)
_DAY: Final = "SELECT book_id, equity, net_flows FROM portfolio_riskday WHERE account_id = %s AND market_date = %s"
_LATCHES: Final = "SELECT book_id, code FROM portfolio_risklatch WHERE account_id = %s AND released_at IS NULL ORDER BY id DESC"
_SOLD_LATELY: Final = timedelta(seconds=60)
# Of each book the newest entries that have ended. A taker that gave nothing is barren; a buy that rests is often cancelled
# unfilled by its own bot, so only one that never came to rest is. What never left tells nothing.
_BARREN: Final = """
WITH recent AS (
    SELECT o.id, o.book_id, o.instrument_id, o.created_at,
           o.filled_quantity = 0 AND (i.kind = 'enter' OR o.status IN ('rejected', 'absent')) AS is_barren
      FROM portfolio_book b
     CROSS JOIN LATERAL (
               SELECT * FROM portfolio_order
                WHERE book_id = b.id AND side = 'buy'
                  AND status IN ('filled', 'canceled', 'expired', 'rejected', 'absent')
                ORDER BY id DESC LIMIT 60
           ) o
      JOIN portfolio_intent i ON i.id = o.intent_id
     WHERE b.account_id = %s
)
SELECT book_id, instrument_id, count(*)
  FROM recent r
 WHERE is_barren
   AND NOT EXISTS (
           SELECT 1 FROM recent f
            WHERE f.book_id = r.book_id AND f.instrument_id = r.instrument_id AND f.id > r.id AND NOT f.is_barren
       )
   AND NOT EXISTS (
           SELECT 1 FROM portfolio_risklatch l
            WHERE l.book_id = r.book_id AND l.code = %s AND l.released_at >= r.created_at
       )
 GROUP BY book_id, instrument_id
"""


def limits_in_force(account_id: int) -> tuple[Limits | None, dict[int, Limits]]:
    """Return the account's limits, and those of the books that have some of their own."""
    found = {book_id: dict(zip(LIMIT_NAMES, values, strict=True)) for book_id, *values in rows(_LIMITS, account_id)}
    own = found.pop(None, None)
    if own is None:
        return None, {}
    # A limit that is younger than the row is what it is by default.
    limits = overlay(Limits(order_value_max=own["order_value_max"] or ZERO), own)
    return limits, {book_id: overlay(limits, values) for book_id, values in found.items()}


def newest_limits(account_id: int) -> list[RiskLimits]:
    """Return the newest version of the account's limits and of each book's."""
    found = RiskLimits.objects.filter(account=account_id).select_related("set_by")
    return list(found.order_by("book", "-version").distinct("book"))


def values_of(row: RiskLimits) -> dict[str, Any]:
    """Return what a row limits, by name."""
    return {name: getattr(row, name) for name in LIMIT_NAMES}


def day_starts(account_id: int, market_date: date) -> dict[int | None, DayStart]:
    """Return with what account (None) and books began a day of market time."""
    return {book_id: DayStart(*day) for book_id, *day in rows(_DAY, account_id, market_date)}


def open_latches(account_id: int) -> list[RiskLatch]:
    """Return what is latched now, oldest first."""
    return list(RiskLatch.objects.filter(account=account_id, released_at=None).order_by("id"))


def latched_codes(account_id: int) -> dict[int | None, str]:
    """Return why account (None) or books are shut; of several reasons the oldest."""
    return dict(rows(_LATCHES, account_id))


def closes(account: Account, market_at: datetime) -> dict[int, Close]:
    """Return the close of each instrument's last candle, of whatever length; none that ended more than an hour ago."""
    return newest_closes(account.market_id, after=market_at - _CLOSES_AGE_MAX, until=market_at)


def volumes_wanted(account: Account, market_at: datetime, limits: Iterable[Limits | None]) -> dict[int, Decimal]:
    """Return the day's volumes if any of these limits asks for one."""
    is_wanted = any(row is not None and row.volume_day_min > ZERO for row in limits)
    return day_volumes(account, market_at) if is_wanted else {}


def day_volumes(account: Account, market_at: datetime) -> dict[int, Decimal]:
    """Return what each instrument has traded in quote in the 24 hours before a market time, by its finest candles.

    What no candle of this time tells is not known. Hours that are missing count as nothing.
    """
    found: dict[int, dict[str, float]] = {}
    for instrument_id, interval, volume in rows(_VOLUMES, account.market_id, market_at - _VOLUME_DAY, market_at):
        found.setdefault(instrument_id, {})[interval] = volume
    finest = {pk: volumes[min(volumes, key=interval_milliseconds)] for pk, volumes in found.items()}
    return {pk: Decimal(repr(volume)).quantize(CENT, ROUND_FLOOR) for pk, volume in finest.items()}


def sold_lately(account_id: int, market_at: datetime) -> frozenset[tuple[int, int]]:
    """Return which books sold which instruments in the last minute of market time."""
    found = Fill.objects.filter(account=account_id, side="sell", traded_at__gt=market_at - _SOLD_LATELY, book__isnull=False)
    return frozenset(found.values_list("book_id", "instrument_id"))


def barren_entries(account_id: int) -> dict[tuple[int, int], int]:
    """Count by book and instrument the newest entries in a row that gave no position since a person last let go (S06)."""
    return {(book_id, instrument_id): count for book_id, instrument_id, count in rows(_BARREN, account_id, REPEATED_EXECUTION)}


def history(account_id: int, *, limit: int) -> Mapping[str, list[Any]]:
    """Return the newest changes of limits and the newest latches."""
    changed = RiskLimits.objects.filter(account=account_id).select_related("set_by", "book").order_by("-id")
    latched = RiskLatch.objects.filter(account=account_id).select_related("released_by", "book").order_by("-id")
    return {"limits": list(changed[:limit]), "latches": list(latched[:limit])}
