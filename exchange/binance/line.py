"""One connection to Binance's public streams: dialled, subscribed within the exchange's manners, hung up."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from exchange.binance.wire import Connection
from exchange.lines import Terms

Hear = Callable[[dict[str, Any]], None]
Connect = Callable[[Hear, Callable[[str], None]], Connection]


class BinanceLine:
    """A Line; everything it hears goes to `hear` until it is closed."""

    def __init__(self, *, connect: Connect, hear: Hear) -> None:
        self.cut: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.leaving = asyncio.Event()
        self._hear: Hear | None = hear
        self._connection = connect(self._take, self._note_cut)

    @classmethod
    async def dial(cls, names: Sequence[str], *, connect: Connect, hear: Hear, terms: Terms) -> BinanceLine:
        """Connect and subscribe, few enough names to a message and few enough messages a second (M11)."""
        line = cls(connect=connect, hear=hear)
        parts = [names[begin : begin + terms.names_per_message] for begin in range(0, len(names), terms.names_per_message)]
        try:
            for number, part in enumerate(parts):
                if number:
                    await asyncio.sleep(1 / terms.messages_per_second)
                async with asyncio.timeout(line._connection.profile.request_deadline_seconds):
                    await line._connection.wire.open_market_stream(list(part))
        except BaseException:
            await line.close()
            raise
        return line

    async def close(self) -> None:
        """Hang up; nothing is told any more."""
        self._hear = None
        await self._connection.close()

    def _take(self, event: dict[str, Any]) -> None:
        if event.get("e") == "serverShutdown":
            self.leaving.set()
        elif self._hear is not None:
            self._hear(event)

    def _note_cut(self, reason: str) -> None:
        if not self.cut.done():
            self.cut.set_result(reason)
