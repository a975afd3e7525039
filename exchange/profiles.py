"""How long an exchange may take, and how late it may show what it did: the bounds that prove an order absent."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Final

from exchange.lines import Terms
from trading.resolution import Bounds


@dataclass(frozen=True, slots=True, kw_only=True)
class VenueProfile:
    """The time bounds of one exchange, all on the wall clock."""

    # A request older than this is refused by the exchange itself.
    recv_window_ms: int
    # No order is written later than this after it was marked as being sent.
    send_window_seconds: float
    # The whole of one request, from connecting to the last byte.
    request_deadline_seconds: float
    # How far the exchange lets our clock be ahead.
    clock_lead_seconds: float
    # How long the exchange may work on a request that it has accepted.
    processing_seconds: float
    # How long an accepted order may stay invisible to reads; and when every read since has been whole and said no.
    visibility_seconds: float
    visibility_proven_seconds: float
    # The most it takes of anybody's buy in quote, in millionths; 0: it takes what was bought, or a third asset.
    buy_fee_quote_ppm: int = 0
    # Whether it tells of deposits and withdrawals afterwards.
    tells_flows: bool = False
    # What it asks of whoever listens to its public streams.
    stream_terms: Terms = field(default_factory=Terms)

    def bounds(self) -> Bounds:
        """Return what the resolution of unanswered orders needs."""
        return Bounds(
            send_window=self.send_window_seconds,
            receive_window=self.recv_window_ms / 1000,
            clock_lead=self.clock_lead_seconds,
            answer=self.processing_seconds,
            visibility=self.visibility_seconds,
            visibility_proven=self.visibility_proven_seconds,
        )


BINANCE: Final = VenueProfile(
    recv_window_ms=5000,
    send_window_seconds=2,
    request_deadline_seconds=10,
    clock_lead_seconds=1,
    processing_seconds=10,
    visibility_seconds=600,
    visibility_proven_seconds=60,
    tells_flows=True,
)
# The same matching engine in another house, with fewer people at the door: the same bounds until somebody measures others.
BINANCE_US: Final = replace(BINANCE)
# Its signatures are good for two minutes, so a request may be that old; all else as cautious as for Binance.
# A fee is quote, whichever side; its first tier pays the most, 1.2 percent for taking.
COINBASE: Final = replace(BINANCE, recv_window_ms=120_000, buy_fee_quote_ppm=12_000, tells_flows=False)
# The venue answers within one step of its loop and shows at once what it did; both are part of its contract.
LOCAL_VENUE: Final = VenueProfile(
    recv_window_ms=2000,
    send_window_seconds=1,
    request_deadline_seconds=3,
    clock_lead_seconds=0,
    processing_seconds=0.5,
    visibility_seconds=0,
    visibility_proven_seconds=0,
    tells_flows=True,
)
