"""Run many histories and add up what they met."""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Final

from tests.simulation.faults import CLASSES, POINTS
from tests.simulation.history import STEPS, History
from tests.simulation.shells import Shell

# So many histories make one test: enough for each of them to meet every fault and every crash point.
BLOCK: Final = 500
_COLLECTED_EVERY: Final = 10
# Histories that once broke an invariant, whatever was wrong then: they are lived through for ever.
PERMANENT: Final = (
    2,
    5,
    6,
    8,
    12,
    16,
    34,
    38,
    48,
    50,
    51,
    53,
    54,
    74,
    92,
    102,
    108,
    112,
    120,
    131,
    140,
    143,
    144,
    760,
    1072,
    1839,
    4866,
    5535,
    5722,
    5861,
    8241,
    8875,
)


@dataclass(slots=True)
class Tally:
    """What many histories came to."""

    histories: int = 0
    orders: int = 0
    fills: int = 0
    traders: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    crashes: Counter[str] = field(default_factory=Counter)
    statuses: Counter[str] = field(default_factory=Counter)
    hashes: dict[int, str] = field(default_factory=dict)
    broken: dict[int, str] = field(default_factory=dict)

    def add(self, other: Tally) -> None:
        """Add up what another part of the histories came to."""
        self.histories += other.histories
        self.orders += other.orders
        self.fills += other.fills
        self.traders += other.traders
        for mine, theirs in (
            (self.faults, other.faults),
            (self.crashes, other.crashes),
            (self.statuses, other.statuses),
        ):
            mine.update(theirs)
        self.hashes |= other.hashes
        self.broken |= other.broken

    @property
    def never_fired(self) -> list[str]:
        """Return the fault classes and crash points that no history met."""
        return [name for name in CLASSES if not self.faults[name]] + [point for point in POINTS if not self.crashes[point]]

    def table(self) -> str:
        """Say how often each fault class and crash point fired."""
        rows = [f"{name:24}{self.faults[name]:>9}  {faults}" for name, (_, faults) in CLASSES.items()]
        rows += [f"dies {point:19}{self.crashes[point]:>9}" for point in (*POINTS, "anywhere")]
        head = (
            f"{self.histories} histories, {self.orders} orders, {self.fills} fills, {self.traders - self.histories} restarts, "
            f"{sum(self.crashes.values())} crashes, {len(self.broken)} violations"
        )
        return "\n".join([head, *rows, *(f"seed {seed}: {what}" for seed, what in sorted(self.broken.items()))])


def run(
    seeds: Iterable[int],
    *,
    steps: int = STEPS,
    shell: Callable[[], Shell] | None = None,
    around: Callable[[], AbstractContextManager[object]] = nullcontext,
) -> Tally:
    """Live through these histories, each inside `around`; a broken one is noted with what broke."""
    tally = Tally()
    # A history leaves circles behind; what was there before it need not be looked through each time they are collected.
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        for seed in seeds:
            with around():
                _live(seed, tally, steps=steps, shell=shell)
            if tally.histories % _COLLECTED_EVERY == 0:
                gc.collect()
    finally:
        gc.enable()
        gc.unfreeze()
    return tally


def _live(seed: int, tally: Tally, *, steps: int, shell: Callable[[], Shell] | None) -> None:
    history = History(seed, steps=steps, shell=shell)
    try:
        result = history.run()
    except Exception as error:  # noqa: BLE001 - whatever a history dies of is its finding.
        root = root_of(error)
        tally.broken[seed] = f"{type(root).__name__}: {root}"
        result = history.result()
    tally.histories += 1
    tally.orders += result.orders
    tally.fills += result.fills
    tally.traders += result.traders
    tally.faults += result.faults
    tally.crashes += result.crashes
    tally.statuses += result.statuses
    tally.hashes[seed] = result.journal_hash


def root_of(error: BaseException) -> BaseException:
    """Return the first real error of groups of groups."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
