"""Real Binance candles beside the project, where they exist: never copied, never committed."""

from __future__ import annotations

from pathlib import Path

SHARED_DATA = Path(__file__).resolve().parent.parent.parent / "shared" / "data"
ABSENT = "shared data is absent"
# The only reason for which CI lets a test be skipped.
ALLOWED_SKIP = ABSENT
