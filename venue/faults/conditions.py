"""The terms of connections and of the protocol clock: as documented, until a fault changes them."""

from dataclasses import dataclass


@dataclass(slots=True)
class Conditions:
    """What holds for every connection from now on."""

    # How far the exchange's protocol clock is off.
    skew_ms: int = 0
    ping_seconds: float = 20.0
    # A connection is cut after a day.
    life_seconds: float = 86_400.0
    streams_max: int = 1024
    messages_per_second: int = 5
