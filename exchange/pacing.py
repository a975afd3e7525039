"""Agree with the local venue on when its market may go on."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

import aiohttp

ANSWER_SECONDS: Final = 5.0


class VenueUnreachable(Exception):
    """Raised when the venue's control address does not answer."""


@dataclass(frozen=True, slots=True)
class MarketState:
    """Where the venue's market stands, and how many trades it has booked for each account."""

    market_ms: int
    hold_ms: int | None
    base_interval_ms: int
    epoch: str
    # None when the venue does not tell.
    trades: dict[str, int] | None = field(default=None)


@dataclass(frozen=True, slots=True)
class Behind:
    """The venue has booked more trades than the client has posted."""

    trades: dict[str, int]


class Pacer:
    """One client that the venue's market waits for."""

    def __init__(self, *, control_url: str, client: str) -> None:
        self._client = client
        self._session = aiohttp.ClientSession(base_url=control_url.rstrip("/"), timeout=aiohttp.ClientTimeout(total=None))

    async def register(self) -> None:
        """Have the market wait for us from now on, also after a restart of the venue."""
        await self._ask("POST", "/control/clients", json={"client": self._client})

    async def leave(self) -> None:
        """Have the market wait for us no longer."""
        await self._ask("DELETE", f"/control/clients/{self._client}")

    async def clock(self) -> MarketState:
        """Read where the market stands."""
        _, answer = await self._ask("GET", "/control/clock")
        return _state(answer)

    async def wait_hold(self, *, after_ms: int, timeout_seconds: float) -> MarketState | None:
        """Wait until the market is held later than `after_ms`; None when that takes too long."""
        query = {"after": str(after_ms), "timeout": str(timeout_seconds)}
        status, answer = await self._ask("GET", "/control/hold", params=query, seconds=timeout_seconds + ANSWER_SECONDS)
        return None if status == 204 else _state(answer)

    async def acknowledge(self, *, hold_ms: int, trades: dict[str, int]) -> Behind | None:
        """Tell that everything up to the hold is done; answer what is missing if the venue knows better."""
        body = {"client": self._client, "hold_time": hold_ms, "trades": trades}
        status, answer = await self._ask("POST", "/control/ack", json=body)
        return Behind({str(uid): int(count) for uid, count in answer["trades"].items()}) if status == 409 else None

    async def close(self) -> None:
        """Let go of the connection."""
        await self._session.close()

    async def _ask(self, method: str, path: str, *, seconds: float = ANSWER_SECONDS, **rest: Any) -> tuple[int, Any]:
        timeout = aiohttp.ClientTimeout(total=seconds)
        try:
            async with self._session.request(method, path, timeout=timeout, **rest) as answer:
                content = await answer.json() if answer.status != 204 else None
                if answer.status not in (200, 204, 409):
                    raise VenueUnreachable(f"{method} {path}: HTTP {answer.status} {content}")
                return answer.status, content
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            raise VenueUnreachable(f"{method} {path}: {error!r}") from error


def _state(answer: Any) -> MarketState:
    trades = answer.get("trades")
    hold = answer.get("hold_time")
    return MarketState(
        market_ms=int(answer["market_time"]),
        hold_ms=None if hold is None else int(hold),
        base_interval_ms=int(answer["base_interval_ms"]),
        epoch=str(answer["epoch"]),
        trades=None if trades is None else {str(uid): int(count) for uid, count in trades.items()},
    )
