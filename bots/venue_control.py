"""Ask the local venue for its clock and a paper account, over its control address."""

from __future__ import annotations

import asyncio
import json
import urllib.error
import urllib.request
from decimal import Decimal
from typing import Any, Final

from bots.services.demo import Key
from exchange.connect import market_port
from exchange.ports import Listing

ANSWER_SECONDS: Final = 10.0


class VenueAway(Exception):
    """Raised when the local venue does not answer, or refuses."""


def read_clock(control_url: str) -> dict[str, Any]:
    """Read what the venue's market is and where it stands."""
    return _ask(control_url, "/control/clock")


def open_paper_account(control_url: str, *, name: str, balances: dict[str, Decimal]) -> Key:
    """Have the venue open an account; the same name gets the same account and key back."""
    wanted = {"name": name, "balances": {asset: str(amount) for asset, amount in balances.items()}}
    answer = _ask(control_url, "/control/accounts", wanted)
    return Key(uid=str(answer["uid"]), api_key=answer["api_key"], api_secret=answer["api_secret"])


def open_transfer_key(control_url: str, *, uid: str) -> Key:
    """Have the venue make another key of an account: it reads and moves money, and does not trade."""
    answer = _ask(control_url, "/control/keys", {"uid": uid, "rights": ["read", "transfer"]})
    return Key(uid=uid, api_key=answer["api_key"], api_secret=answer["api_secret"])


def read_listings(*, exchange: str, rest_url: str, stream_url: str) -> list[Listing]:
    """Read what a market lists, through the port that trading uses."""

    async def read() -> list[Listing]:
        port = market_port(exchange=exchange, rest_url=rest_url, stream_url=stream_url)
        try:
            return await port.instruments()
        finally:
            await port.close()

    return asyncio.run(read())


def _ask(control_url: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    content = None if body is None else json.dumps(body).encode()
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(f"{control_url}{path}", data=content, headers=headers)  # noqa: S310 - from the settings.
    # Loopback: never through a proxy of the environment.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=ANSWER_SECONDS) as answer:
            said: dict[str, Any] = json.load(answer)
            return said
    except urllib.error.HTTPError as error:
        raise VenueAway(f"The local venue refused {path}: {error.read().decode(errors='replace')[:200]}") from error
    except (OSError, ValueError) as error:
        raise VenueAway(
            f"The local venue does not answer at {control_url}: {error}. Start it with `python manage.py up` or `venue serve`."
        ) from error
