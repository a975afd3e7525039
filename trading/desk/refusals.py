"""How a rule says no."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Refusal:
    """A reason code and the figures behind it."""

    code: str
    facts: Mapping[str, Any] = field(default_factory=dict)
