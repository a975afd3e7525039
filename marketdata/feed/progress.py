"""Up to where each subscription's candles are complete, and what must be asked for by hand."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from marketdata.candles import ClosedCandle, floor_to_interval, milliseconds
from marketdata.models import Subscription
from trading.bars import interval_milliseconds

# After so many closes, what the stream told of them is held against an answer.
AUDIT_BARS: Final = 12
# A feed that starts does not know what the one before it has audited: it holds so many against an answer.
AUDIT_BARS_AT_START: Final = 200
# A candle that long ago is settled.
_DISTRUSTED_KEPT: Final = 256


class Stretch(NamedTuple):
    """Candles of one subscription to ask the exchange for: opens from `begin` up to, but without, `end`."""

    subscription_id: int
    begin: int
    end: int


@dataclass(slots=True)
class Track:
    """One subscription as the feed sees it; times in UTC milliseconds."""

    subscription_id: int
    instrument_id: int
    symbol: str
    interval: str
    history_bars: int
    synced_from: int | None
    synced_through: int | None
    # Up to where what the stream told is held against answers; None until this feed has done so, or asked for all.
    audited_through: int | None = None

    @property
    def is_due_for_audit(self) -> bool:
        """Say whether enough candles have closed since the last audit."""
        if self.synced_through is None or self.audited_through is None:
            return self.synced_through is not None
        return self.synced_through - self.audited_through >= AUDIT_BARS * self.length

    @property
    def audit_begin(self) -> int:
        """Answer from where the next audit asks: nothing between two audits is left out, however late the second one is."""
        assert self.synced_through is not None
        if self.audited_through is not None:
            return self.audited_through
        return max(self.synced_through - AUDIT_BARS_AT_START * self.length, self.synced_from or 0)

    @property
    def length(self) -> int:
        """Answer how long a candle is."""
        return interval_milliseconds(self.interval)

    def missing(self, market_time: int) -> list[Stretch]:
        """Answer what must be asked for so that the subscription is complete up to a market time."""
        end = floor_to_interval(market_time, self.interval)
        history = end - self.history_bars * self.length
        if self.synced_through is None or self.synced_from is None:
            return [Stretch(self.subscription_id, history, end)]
        stretches = []
        if history < self.synced_from:
            stretches.append(Stretch(self.subscription_id, history, self.synced_from))
        if end > self.synced_through:
            stretches.append(Stretch(self.subscription_id, self.synced_through, end))
        return stretches


@dataclass(slots=True)
class Progress:
    """What the feed of one market knows to be complete."""

    tracks: dict[int, Track] = field(default_factory=dict)
    _by_stream: dict[tuple[int, str], Track] = field(default_factory=dict)
    _distrusted: deque[tuple[int, str, int]] = field(default_factory=lambda: deque(maxlen=_DISTRUSTED_KEPT))

    def follow(self, subscriptions: Iterable[Subscription]) -> bool:
        """Take in what is subscribed, and say whether that changed what must be streamed or asked for."""
        changed = False
        for row in subscriptions:
            known = self.tracks.get(row.pk)
            if known is not None:
                changed |= known.history_bars < row.history_bars
                known.history_bars = row.history_bars
                continue
            changed = True
            track = Track(
                subscription_id=row.pk,
                instrument_id=row.instrument_id,
                symbol=row.instrument.symbol,
                interval=row.interval,
                history_bars=row.history_bars,
                synced_from=milliseconds(row.synced_from_at) if row.synced_from_at else None,
                synced_through=milliseconds(row.synced_through_at) if row.synced_through_at else None,
            )
            self.tracks[row.pk] = self._by_stream[row.instrument_id, row.interval] = track
        return changed

    def audited_through(self) -> int | None:
        """Answer up to where every subscription is audited; None while one of them is not."""
        ends = [track.audited_through for track in self.tracks.values()]
        known = [end for end in ends if end is not None]
        return min(known) if ends and len(known) == len(ends) else None

    def pairs(self) -> list[tuple[str, str]]:
        """Answer what to stream."""
        return [(track.symbol, track.interval) for track in self.tracks.values()]

    def missing(self, market_time: int) -> list[Stretch]:
        """Answer everything that must be asked for so that all is complete up to a market time."""
        return [stretch for track in self.tracks.values() for stretch in track.missing(market_time)]

    def is_complete(self, market_time: int) -> bool:
        """Say whether every subscription is complete up to a market time."""
        return not self.missing(market_time)

    def completed_by(self, candle: ClosedCandle) -> Track | None:
        """Answer the subscription that a streamed candle completes; None if something before it is missing."""
        track = self.track_of(candle)
        return track if track is not None and track.synced_through == candle.open_time else None

    def track_of(self, candle: ClosedCandle) -> Track | None:
        """Answer the subscription that a candle belongs to."""
        return self._by_stream.get((candle.instrument_id, candle.interval))

    def distrust(self, candle: ClosedCandle) -> None:
        """Remember that the stream told nonsense about a candle."""
        self._distrusted.append(candle[:3])

    def is_distrusted(self, candle: ClosedCandle) -> bool:
        """Say whether the stream has told nonsense about this candle before."""
        return candle[:3] in self._distrusted

    def is_ahead(self, candle: ClosedCandle) -> bool:
        """Say whether a candle opens later than its subscription is complete."""
        track = self.track_of(candle)
        return track is not None and track.synced_through is not None and candle.open_time > track.synced_through

    def note(self, subscription_id: int, *, through: int, begin: int | None = None) -> None:
        """Remember that a subscription is complete from a moment through another, as it was just committed."""
        track = self.tracks[subscription_id]
        track.synced_through = max(through, track.synced_through or 0)
        if begin is not None:
            if track.synced_from is None:
                # All of it was asked for: there is nothing that a stream could have told otherwise.
                track.audited_through = through
            track.synced_from = min(begin, begin if track.synced_from is None else track.synced_from)
