"""Requests signed by hand, so that tests can also sign them wrongly."""

from __future__ import annotations

import hashlib
import hmac
import time
from typing import Any
from urllib.parse import urlencode

from tests.venue.processes import VenueProcess


class Signer:
    """Sends signed requests for one account."""

    def __init__(self, venue: VenueProcess, keys: dict[str, str]) -> None:
        self._venue = venue
        self.keys = keys

    def send(self, method: str, path: str, **parameters: object) -> tuple[int, Any]:
        """Sign and send; `timestamp` is now unless given."""
        values = {name: value for name, value in parameters.items() if value is not None}
        if "timestamp" not in parameters:
            values["timestamp"] = int(time.time() * 1000)
        return self.send_query(method, path, urlencode(values))

    def send_query(self, method: str, path: str, query: str) -> tuple[int, Any]:
        """Sign a query string exactly as it stands."""
        signature = hmac.new(self.keys["api_secret"].encode(), query.encode(), hashlib.sha256).hexdigest()
        headers = {"X-MBX-APIKEY": self.keys["api_key"]}
        return self._venue.ask(method, f"{path}?{query}&signature={signature}", headers)
