"""An exchange with faults armed, and a client that tells what it got, even if that is nothing."""

from __future__ import annotations

import http.client
from typing import Any

from tests.venue.processes import VenueProcess
from tests.venue.signed import Signer

ORDER = {"symbol": "ETHUSDT", "side": "BUY", "type": "LIMIT", "timeInForce": "GTC", "quantity": "0.1", "price": "1500"}
POST_ORDER = "POST /api/v3/order"


class Hostile:
    """One account at an exchange, and whoever arms faults against it."""

    def __init__(self, venue: VenueProcess, name: str, **balances: str) -> None:
        self.venue = venue
        self.keys = venue.open_account(name, **(balances or {"USDT": "100000", "ETH": "20"}))
        self.signer = Signer(venue, self.keys)

    @property
    def uid(self) -> int:
        """Return the account's number."""
        return int(self.keys["uid"])

    def arm(self, action: str, identity: str = "E09", **rest: Any) -> int:
        """Arm one rule; `words` are what the action takes. Return its number."""
        rule = {"id": identity, "action": action, "with": rest.pop("words", {}), **rest}
        status, answer = self.venue.control_status("POST", "/control/faults", {"rules": [rule]})
        assert status == 200, answer
        return int(answer["armed"][0]["number"])

    def refused(self, rule: object) -> str:
        """Arm a rule that makes no sense; return what is said about it."""
        status, answer = self.venue.control_status("POST", "/control/faults", {"rules": [rule]})
        assert status == 400, answer
        return str(answer["error"])

    def firings(self) -> list[dict[str, Any]]:
        """Return what has fired so far."""
        fired: list[dict[str, Any]] = self.venue.control("GET", "/control/faults")["firings"]
        return fired

    def place(self, client_id: str, **changes: object) -> tuple[int, Any]:
        """Place an order; status 0 means that no answer came."""
        return self.send("POST", "/api/v3/order", **(ORDER | {"newClientOrderId": client_id} | changes))

    def find(self, client_id: str) -> tuple[int, Any]:
        """Query an order."""
        return self.send("GET", "/api/v3/order", symbol="ETHUSDT", origClientOrderId=client_id)

    def send(self, method: str, path: str, **parameters: object) -> tuple[int, Any]:
        """Send a signed request; status 0 means that no answer came."""
        try:
            return self.signer.send(method, path, **parameters)
        except (OSError, http.client.HTTPException):
            return 0, None

    def books(self) -> Any:
        """Return what the exchange itself holds about the account."""
        return self.venue.control("GET", f"/control/books/{self.keys['uid']}")
