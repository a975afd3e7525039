"""Keep the lines to a market's streams open: as many as the exchange wants, each replaced before its life ends."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

import structlog

from exchange import quota
from exchange.ports import StreamGap, StreamOpen
from exchange.streams import RETRY_SECONDS, RETRY_SECONDS_MAX, jittered

log = structlog.get_logger()
# How long two lines tell the same, so that nothing falls between them.
OVERLAP_SECONDS: Final = 0.2


@dataclass(frozen=True, slots=True)
class Terms:
    """What an exchange asks of whoever listens to its public streams (M09, M11, M12)."""

    # It cuts a line after a day; ours is replaced some time before.
    life_seconds: float = 23.5 * 3600
    streams_max: int = 1000
    # A message that subscribes names so many streams at most.
    names_per_message: int = 200
    messages_per_second: int = 4
    # How many levels of an order book are read before its changes are followed.
    book_levels: int = 1000
    # How often one address may dial in this time.
    dials_max: int = 250
    dials_seconds: int = 300


class Line(Protocol):
    """One connection with its subscriptions."""

    # Done when the exchange has cut the line; with the reason.
    cut: asyncio.Future[str]
    # Done when the exchange has said that it will soon.
    leaving: asyncio.Event

    async def close(self) -> None:
        """Hang up; nothing is told any more."""


Dial = Callable[[Sequence[str]], Awaitable[Line]]
Sign = Callable[[StreamGap | StreamOpen], None]


def shards(names: Sequence[str], streams_max: int) -> list[list[str]]:
    """Divide streams among as few lines as will carry them."""
    return [list(names[begin : begin + streams_max]) for begin in range(0, len(names), streams_max)]


class Lines:
    """All lines that carry a set of streams; events go where `dial` sends them, signs to `sign`."""

    def __init__(
        self, *, dial: Dial, sign: Sign, names: Sequence[str], terms: Terms, host: str, troubles: tuple[type[Exception], ...]
    ) -> None:
        self._dial = dial
        self._sign = sign
        self._terms = terms
        self._host = host
        self._troubles = troubles
        self._current: dict[int, Line] = {}
        self._tasks = [
            asyncio.create_task(self._keep(place, part)) for place, part in enumerate(shards(names, terms.streams_max))
        ]

    async def close(self) -> None:
        """Hang up everywhere."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def give_up(self, reason: str) -> None:
        """Treat every line as cut: they are there but do not tell what happens (M01)."""
        for line in self._current.values():
            if not line.cut.done():
                line.cut.set_result(reason)

    def raise_failure(self) -> None:
        """Raise what ended a task that should never end."""
        for task in self._tasks:
            if task.done() and not task.cancelled() and (error := task.exception()) is not None:
                raise error

    async def _keep(self, place: int, names: list[str]) -> None:
        standing: list[Line] = []
        try:
            while True:
                standing.append(await self._open(names))
                self._sign(StreamOpen())
                self._current[place] = standing[-1]
                while (reason := await self._end_of(standing[-1])) is None:
                    # The new one first: what happens meanwhile comes twice, never not at all (M09).
                    standing.append(await self._open(names, while_standing=standing[-1]))
                    self._current[place] = standing[-1]
                    await asyncio.sleep(OVERLAP_SECONDS)
                    await standing.pop(0).close()
                    log.info("line.handed_over", host=self._host, streams=len(names))
                self._sign(StreamGap(reason))
                await standing.pop().close()
        finally:
            for line in standing:
                await line.close()

    async def _end_of(self, line: Line) -> str | None:
        """Wait for the end of a line: the reason when it was cut, None when it is time to replace it."""
        leaving = asyncio.ensure_future(line.leaving.wait())
        try:
            ends: list[asyncio.Future[Any]] = [line.cut, leaving]
            await asyncio.wait(ends, timeout=self._terms.life_seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            leaving.cancel()
        return line.cut.result() if line.cut.done() else None

    async def _open(self, names: list[str], *, while_standing: Line | None = None) -> Line:
        """Dial until somebody answers, ever more slowly; a line that still stands may be cut meanwhile, which is a gap."""
        pause, is_told = RETRY_SECONDS, False
        while True:
            await quota.admit(self._host, "dials", 1, limit=self._terms.dials_max, seconds=self._terms.dials_seconds)
            line = None
            try:
                line = await self._dial(names)
            except self._troubles as error:
                log.warning("line.not_opened", host=self._host, error=str(error)[:200], retry_seconds=pause)
            if while_standing is not None and while_standing.cut.done() and not is_told:
                is_told = True
                self._sign(StreamGap(while_standing.cut.result()))
            if line is not None:
                if is_told:
                    self._sign(StreamOpen())
                return line
            await asyncio.sleep(jittered(pause))
            pause = min(2 * pause, RETRY_SECONDS_MAX)
