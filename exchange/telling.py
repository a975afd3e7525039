"""Tell the local venue what happens on a real exchange, at its control address."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import aiohttp

ANSWER_SECONDS: Final = 10.0


class NobodyListens(Exception):
    """Raised when the venue is away, has started anew, or refuses what it is told: then the telling begins anew."""


@dataclass(frozen=True, slots=True)
class MirrorState:
    """What the venue wants to be told, and which minute it is in."""

    # Our name of a symbol, and the venue's.
    symbols: dict[str, str]
    minute: int


class VenueMirror:
    """The local venue, showing what it is told."""

    def __init__(self, control_url: str) -> None:
        timeout = aiohttp.ClientTimeout(total=ANSWER_SECONDS)
        self._session = aiohttp.ClientSession(base_url=control_url.rstrip("/"), timeout=timeout)
        self._run = ""

    async def begin(self) -> MirrorState:
        """Ask what is wanted; everything told from now on belongs to this run of the venue."""
        answer = await self._ask("GET", "/control/mirror")
        self._run = str(answer["session"])
        names = {f"{base}/{quote}": symbol for symbol, (base, quote) in answer["symbols"].items()}
        return MirrorState(names, int(answer["minute"]))

    async def learn(self, symbol: str, interval: str, rows: Sequence[Sequence[float]], *, anew: bool) -> None:
        """Tell closed candles of the past, oldest first; `anew` forgets what was told of this symbol before."""
        body = {"symbol": symbol, "interval": interval, "rows": rows, "anew": anew}
        await self._ask("POST", "/control/mirror/history", body)

    async def open(self, minute: int) -> None:
        """Let the market begin at a minute; its past is told."""
        await self._ask("POST", "/control/mirror/open", {"minute": minute})

    async def tell(self, events: Sequence[Sequence[Any]]) -> None:
        """Tell what has happened, oldest first; nothing says that somebody is there."""
        await self._ask("POST", "/control/mirror", {"events": events})

    async def close(self) -> None:
        """Let go of the connection."""
        await self._session.close()

    async def _ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        content = None if body is None else {"session": self._run, **body}
        try:
            async with self._session.request(method, path, json=content) as answer:
                told = await answer.json()
                if answer.status != 200:
                    raise NobodyListens(f"{method} {path}: HTTP {answer.status} {told}"[:400])
                return told
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            raise NobodyListens(f"{method} {path}: {error!r}"[:400]) from error
