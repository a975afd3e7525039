"""What a strategy remembers, as the database keeps it: mostly empty cells, of windows and of markets that a bot does not trade.

Packed, a hundred kilobytes are five; stored as they are, PostgreSQL compresses them itself on every candle, fifty times slower.
"""

from __future__ import annotations

import zlib
from typing import Final

from trading.live_step import StateSchemaChanged

_PACKED: Final = b"packed\0"
# The empty cells go at the lowest level already, and it is the fastest.
_LEVEL: Final = 1


def pack(memory: bytes) -> bytes:
    """Pack the bytes of a state for the database."""
    return _PACKED + zlib.compress(memory, _LEVEL)


def unpack(stored: bytes) -> bytes:
    """Return the bytes of a stored state; those of earlier releases are not packed.

    Raises StateSchemaChanged when they are damaged.
    """
    if not stored.startswith(_PACKED):
        return stored
    try:
        return zlib.decompress(stored[len(_PACKED) :])
    except zlib.error as error:
        raise StateSchemaChanged(f"The stored state is damaged ({error}); warm up again") from error
