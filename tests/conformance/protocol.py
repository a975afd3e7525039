"""What the contract asks of a client, whoever wrote it: Binance's own names for calls and parameters, plain JSON back."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class Keys:
    """The key of an account at the exchange."""

    key: str
    secret: str


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where the exchange listens."""

    host: str

    @property
    def rest(self) -> str:
        """Return the address of REST calls."""
        return f"http://{self.host}"

    @property
    def socket(self) -> str:
        """Return the address of the WebSocket API."""
        return f"ws://{self.host}/ws-api/v3"

    @property
    def streams(self) -> str:
        """Return the address of the market streams."""
        return f"ws://{self.host}"


class Refused(Exception):
    """Raised when the exchange said no, with what it said. A socket tells its status in the answer."""

    def __init__(self, *, status: int, code: int, message: str) -> None:
        super().__init__(f"{status} {code} {message}")
        self.status = status
        self.code = code
        self.message = message


class Client(Protocol):
    """One client of the exchange. Calls are named after the last part of their path or method."""

    async def ask(self, call: str, **parameters: Any) -> Any:
        """Call an endpoint by the client's own method for it."""
        ...

    async def ask_raw(self, method: str, path: str, parameters: dict[str, Any], *, clock_offset_ms: int = 0) -> Any:
        """Send any signed request, as the client's own door for that does it."""
        ...

    async def ask_socket(self, method: str, **parameters: Any) -> Any:
        """Call a method of the WebSocket API."""
        ...

    async def user_events(self) -> asyncio.Queue[dict[str, Any]]:
        """Subscribe to the user stream; return where its events arrive."""
        ...

    async def market_events(self, stream: str, **parameters: Any) -> asyncio.Queue[dict[str, Any]]:
        """Subscribe to a market stream; return where its events arrive."""
        ...

    async def close(self) -> None:
        """Close all connections."""
        ...
