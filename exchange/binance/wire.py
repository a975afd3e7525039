"""ccxt's Binance client, with our own classifier in place of its. Import it late: it brings all of ccxt."""

from __future__ import annotations

from typing import Any, Final

import ccxt.pro

from exchange.budget import RequestBudget
from exchange.classifier import banned_until_ms, classify, error_of
from exchange.errors import ExchangeTrouble, Outcome, SendRefused
from exchange.profiles import VenueProfile
from exchange.wire import Calls, CarefulWire, Cut, Events, settings

_OPENED: Final = "opened:"
# What budgets call the exchange's own address.
DEFAULT_HOST: Final = "binance"
_AMERICAN_WS_API: Final = "wss://ws-api.binance.us:443/ws-api/v3"


class Wire(CarefulWire, ccxt.pro.binance):  # type: ignore[misc]
    """ccxt for signing, sending and streaming; our own classifier, budget and deadlines instead of its."""

    def handle_errors(
        self, code: int, _reason: str, _url: str, method: str, _headers: Any, body: str, response: Any, *_rest: Any
    ) -> None:
        """Raise what an answer means by our own table instead of ccxt's classes."""
        if code == 200 and response is not None:
            return
        error_code, message = error_of(body)
        # An error on a WebSocket comes without an HTTP method, and with its code in place of the status.
        status = code if method else 400
        outcome = classify(status=status, code=error_code, message=message, method=method or "GET")
        pause = self.last_retry_after
        if outcome == Outcome.BANNED and (until := banned_until_ms(message)) is not None:
            pause = max(pause or 0.0, (until - self.milliseconds()) / 1000)
        trouble = ExchangeTrouble(outcome, f"HTTP {code}: {message}", code=error_code, retry_after_seconds=pause)
        self.budget.note_trouble(trouble)
        raise trouble

    def handle_message(self, client: Any, message: Any) -> None:
        """Hand raw events over before ccxt turns their amounts into floats."""
        if not isinstance(message, dict):
            super().handle_message(client, message)
            return
        event = message.get("event") or message.get("data") or message
        if "e" in event or "b" in event or "a" in event:
            self.on_stream_event(event)
            if event.get("e") == "eventStreamTerminated":
                super().handle_message(client, message)
                self.on_stream_cut("eventStreamTerminated")
        elif "id" in message and "status" not in message and "error" not in message:
            client.resolve(message, f"{_OPENED}{message['id']}")
        else:
            super().handle_message(client, message)

    async def open_user_stream(self) -> None:
        """Subscribe to the account's events; raise what the exchange says, not what ccxt stumbles over then."""
        try:
            await self.ensure_user_data_stream_ws_subscribe_signature("spot")
        except KeyError as stumble:
            # It forgets a refused subscription twice, and the second time hides the refusal (U06).
            if isinstance(stumble.__context__, ExchangeTrouble):
                raise stumble.__context__ from None
            raise

    async def open_market_stream(self, names: list[str]) -> None:
        """Subscribe to public streams and wait for the exchange's word that they run."""
        url = f"{self.urls['api']['ws']['spot']}/1"
        number = self.request_id(url)
        request = {"method": "SUBSCRIBE", "params": names, "id": number}
        opened = f"{_OPENED}{number}"
        await self.watch(url, opened, request, opened, {"id": number})


class AmericanWire(Wire, ccxt.pro.binanceus):  # type: ignore[misc]
    """The same for Binance.US: the same protocol at other addresses, one of which ccxt does not know."""

    def __init__(self, config: dict[str, Any], *, budget: RequestBudget, on_event: Events, on_cut: Cut) -> None:
        super().__init__(config, budget=budget, on_event=on_event, on_cut=on_cut)
        # ccxt inherits Binance's: our orders and our key would go to another exchange.
        self.urls["api"]["ws"]["ws-api"] = {"spot": _AMERICAN_WS_API}


def wire_of(exchange: str) -> type[Wire]:
    """Return the client that speaks to an exchange."""
    return AmericanWire if exchange == "binanceus" else Wire


def default_host(wire_class: type[Wire]) -> str:
    """Return what budgets call the exchange that a wire speaks to."""
    return "binanceus" if issubclass(wire_class, AmericanWire) else DEFAULT_HOST


class Connection(Calls[Wire]):
    """Calls on Binance's wire."""

    def __init__(
        self,
        *,
        profile: VenueProfile,
        budget: RequestBudget,
        on_event: Events,
        on_cut: Cut,
        rest_url: str = "",
        stream_url: str = "",
        key: str = "",
        secret: str = "",
        wire_class: type[Wire] = Wire,
    ) -> None:
        options = {"defaultType": "spot", "recvWindow": profile.recv_window_ms, "fetchMarkets": {"types": ["spot"]}}
        config = settings(profile, key=key, secret=secret, **options)
        super().__init__(wire=wire_class(config, budget=budget, on_event=on_event, on_cut=on_cut), profile=profile, budget=budget)
        if rest_url:
            self._move_to(rest_url.rstrip("/"), stream_url.rstrip("/"))

    def _check(self) -> None:
        super()._check()
        if self.wire.options["recvWindow"] > 5000:
            raise SendRefused("recvWindow must not be above 5000 ms.")

    def _move_to(self, rest_url: str, stream_url: str) -> None:
        """Point every address that ccxt knows to this server."""
        api = self.wire.urls["api"]
        for name, url in list(api.items()):
            if isinstance(url, str):
                path = url.split("://", 1)[1].partition("/")[2]
                api[name] = f"{rest_url}/{path}"
        streams = {name: f"{stream_url}/ws" for name, url in api["ws"].items() if isinstance(url, str)}
        api["ws"] = streams | {"ws-api": dict.fromkeys(api["ws"]["ws-api"], f"{stream_url}/ws-api/v3")}
        self.wire.hostname = rest_url.split("://", 1)[1]
