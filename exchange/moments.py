"""Read moments whose unit nobody has said: exchanges send milliseconds, microseconds, and nonsense."""

from __future__ import annotations

from typing import Final

# No market is older than the first Bitcoin exchange, and none tells of the next century.
_EARLIEST_MS: Final = 1_262_304_000_000
_LATEST_MS: Final = 4_102_444_800_000
_MICROSECONDS: Final = 1000


def as_milliseconds(value: object) -> int | None:
    """Return a moment in milliseconds, told from microseconds by its size; None when it is neither (M08, K06)."""
    if not isinstance(value, int) or isinstance(value, bool):
        return None
    for moment in (value, value // _MICROSECONDS):
        if _EARLIEST_MS <= moment <= _LATEST_MS:
            return moment
    return None
