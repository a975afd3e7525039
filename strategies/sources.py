"""Where strategies come from that are not shipped: registered once by whoever wires the house, asked by the registry."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from trading.strategy import StrategyDefinition


class UnknownStrategy(ValueError):
    """No strategy has this name."""

    code = "STRATEGY_ERROR"


class BrokenStrategy(UnknownStrategy):
    """A user's strategy cannot be run; the message names file and line where they are known."""


class Source(Protocol):
    """Strategies that users wrote."""

    def names(self) -> Sequence[str]:
        """List them without running any."""

    def definition(self, name: str) -> StrategyDefinition | None:
        """Answer one as it is now, or None where there is none of that name; BrokenStrategy for one that cannot be run."""


class _Nothing:
    """No strategies but the shipped ones."""

    def names(self) -> Sequence[str]:
        """List none."""
        return ()

    def definition(self, _name: str) -> StrategyDefinition | None:
        """Know none."""
        return None


class _Registered:
    """The one source there is; made when it is first asked for, for it loads what most processes never need."""

    def __init__(self) -> None:
        self._make: Callable[[], Source] = _Nothing
        self._source: Source | None = None

    def register(self, make: Callable[[], Source]) -> None:
        self._make, self._source = make, None

    def get(self) -> Source:
        if self._source is None:
            self._source = self._make()
        return self._source


_registered = _Registered()
register = _registered.register
get = _registered.get
