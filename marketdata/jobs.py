"""What the feed's process does with what the market says."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from decimal import Decimal

import structlog
from django.db import transaction

from marketdata import doorbells, selectors, writers
from marketdata.candles import ClosedCandle, Refusal, moment, sift
from marketdata.models import Instrument, Subscription

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Recorded:
    """What became of the candles that came in."""

    new: int
    # Those that say otherwise than what was stored.
    revised: tuple[ClosedCandle, ...]
    refused: tuple[Refusal, ...]


@dataclass(frozen=True, slots=True)
class Synced:
    """A subscription that is known from a moment (if the exchange was asked for history) through another."""

    subscription_id: int
    through_at: datetime
    from_at: datetime | None = None


def record_bars(
    *,
    market_id: int,
    candles: Sequence[ClosedCandle],
    synced: Iterable[Synced] = (),
    check_jumps: bool = True,
    market_now: int | None = None,
) -> Recorded:
    """Store closed candles and how far they are complete, in one transaction; safe to repeat.

    A candle that cannot be true is refused and logged; then nothing is noted as complete, so that it is asked for again.
    A changed candle is stored as a revision.
    """
    pairs = sorted({(candle.instrument_id, candle.interval) for candle in candles})
    believed, refused = sift(candles, selectors.last_closes(pairs) if check_jumps else {}, market_now)
    for refusal in refused:
        log.error("candle.refused", market=market_id, candle=refusal.candle._asdict(), reason=refusal.reason)
    with transaction.atomic():
        changed = writers.upsert_candles(believed)
        if not refused:
            writers.mark_synced([(mark.subscription_id, mark.from_at, mark.through_at) for mark in synced])
        if believed:
            newest = max(candle.close_time for candle in believed)
            writers.advance_market_time(market_id=market_id, market_at=moment(newest))
    revisions = {(instrument_id, interval, open_at) for instrument_id, interval, open_at, revision in changed if revision > 0}
    for instrument_id, interval, open_at in sorted(revisions):
        log.warning("candle.revised", instrument=instrument_id, interval=interval, open_at=open_at)
    revised = tuple(candle for candle in believed if (*candle[:2], moment(candle.open_time)) in revisions)
    return Recorded(new=len(changed) - len(revised), revised=revised, refused=tuple(refused))


@dataclass(frozen=True, slots=True)
class PriceState:
    """Whether the prices of an instrument can be trusted with new money."""

    instrument_id: int
    # Empty when nothing is wrong.
    doubt: str
    detail: str
    since_at: datetime | None
    silent_seconds: float


def record_price_health(*, states: Sequence[PriceState], now: datetime) -> None:
    """Store which prices can be trusted, and that somebody has looked."""
    writers.set_price_health([asdict(state) for state in states], now=now)


def ring_bars(*, market_id: int, market_at: datetime) -> None:
    """Tell the floors above that candles up to a moment are there."""
    for tell in doorbells.on_bars:
        tell(market_id=market_id, market_at=market_at)


def record_marks(*, market_id: int, marks: Iterable[tuple[int, Decimal, datetime]], now: datetime) -> int:
    """Store the newest prices; anything that is no price above zero is left out."""
    good = [mark for mark in marks if mark[1].is_finite() and mark[1] > 0]
    count = writers.set_marks(good, now=now)
    for tell in doorbells.on_marks:
        tell(market_id)
    return count


def instruments_by_symbol(market_id: int) -> dict[str, Instrument]:
    """Answer the market's instruments under their unified symbols."""
    return {instrument.symbol: instrument for instrument in selectors.instruments(market_id)}


def is_known_through(subscription: Subscription, at: datetime) -> bool:
    """Say whether every candle of the subscription that closed up to a moment is stored or proven absent."""
    return subscription.synced_through_at is not None and subscription.synced_through_at >= at
