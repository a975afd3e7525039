"""What earlier lives of an account have left at the local exchange: it waits for the dead as for the living."""

from __future__ import annotations

import json
import urllib.parse
import urllib.request
from typing import Any, Final

from portfolio.models import Account
from trading.orders import same_family

_ANSWER_SECONDS: Final = 10.0


class UnableToReopen(Exception):
    """Raised when the books stay closed; carries a reason code."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def last_seen(account: Account) -> dict[str, int | None]:
    """Return when earlier lives last told the local exchange to go on; empty for a real exchange, which waits for nobody."""
    if not account.market.control_url:
        return {}
    clients: dict[str, int | None] = _control(account, "GET", "clock")["clients"]
    return {name: seen for name, seen in clients.items() if _is_earlier_life(name, account.deploy)}


def forget(account: Account) -> None:
    """Have the local exchange wait for this life of the account alone."""
    for name in last_seen(account):
        _control(account, "DELETE", f"clients/{urllib.parse.quote(name)}")


def _is_earlier_life(client: str, deploy: str) -> bool:
    other = client.removeprefix("tradeapp-")
    return same_family(other, deploy) and other != deploy


def _control(account: Account, method: str, path: str) -> dict[str, Any]:
    url = account.market.control_url
    request = urllib.request.Request(f"{url}/control/{path}", method=method)  # noqa: S310 - from the database.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=_ANSWER_SECONDS) as answer:
            said: dict[str, Any] = json.loads(answer.read() or b"{}")
            return said
    except (OSError, ValueError) as error:
        raise UnableToReopen("VENUE_AWAY", f"The local exchange does not answer at {url}: {error}.") from error
