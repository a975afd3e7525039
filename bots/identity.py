"""What a decision was made with: fingerprints of a bot's strategy and configuration."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any


def config_hash(*, strategy: str, params: Mapping[str, Any], interval: str, symbols: Sequence[str]) -> str:
    """Fingerprint everything a person can set about a bot's decisions."""
    content = {"strategy": strategy, "params": dict(params), "interval": interval, "symbols": list(symbols)}
    return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
