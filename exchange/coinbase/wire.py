"""ccxt's Coinbase client, with our own classifier and stream in place of its. Import it late: it brings all of ccxt."""

from __future__ import annotations

from typing import Any, Final

import ccxt.pro

from exchange.budget import RequestBudget
from exchange.coinbase.classifier import classify, error_of
from exchange.errors import ExchangeTrouble, Outcome
from exchange.profiles import VenueProfile
from exchange.wire import Calls, CarefulWire, Cut, Events, settings

# What budgets call the exchange's own address, and what it lets an address ask in a minute: thirty a second.
DEFAULT_HOST: Final = "coinbase"
REQUESTS_PER_MINUTE: Final = 1800
_USER_STREAM: Final = "wss://advanced-trade-ws-user.coinbase.com"
_ED25519_LENGTH: Final = 88
_OPENED: Final = "opened:"


class Wire(CarefulWire, ccxt.pro.coinbase):  # type: ignore[misc]
    """ccxt for signing and sending; our own classifier, budget, deadlines and reading of the user stream."""

    def __init__(self, config: dict[str, Any], *, budget: RequestBudget, on_event: Events, on_cut: Cut) -> None:
        super().__init__(config, budget=budget, on_event=on_event, on_cut=on_cut)
        self.next_sequence: int | None = None

    def seconds(self) -> int:
        """Return the time to sign by: the exchange's, as last measured."""
        return int((self.milliseconds() - self.options["timeDifference"]) // 1000)

    def handle_errors(
        self, code: int, _reason: str, _url: str, method: str, _headers: Any, body: str, response: Any, *_rest: Any
    ) -> None:
        """Raise what an answer means by our own table instead of ccxt's classes."""
        if code == 200 and response is not None:
            return
        error, message = error_of(body)
        outcome = classify(status=code, error=error, message=message, method=method or "GET")
        trouble = ExchangeTrouble(outcome, f"HTTP {code} {error}: {message}"[:300], retry_after_seconds=self.last_retry_after)
        self.budget.note_trouble(trouble)
        raise trouble

    async def open_user_stream(self) -> None:
        """Subscribe to the account's orders, and to the beats that keep a calm stream open; wait for the word that both run."""
        self.next_sequence = None
        token = self.create_auth_token(self.seconds(), None, None, len(self.secret) == _ED25519_LENGTH)
        for channel, proof in (("user", {"jwt": token}), ("heartbeats", {})):
            request = {"type": "subscribe", "channel": channel, **proof}
            await self.watch(self.urls["api"]["ws"], _OPENED + channel, request, _OPENED + channel)

    def handle_message(self, client: Any, message: Any) -> None:
        """Hand raw events over before ccxt turns their amounts into floats; a number that is missing is a cut."""
        if not isinstance(message, dict):
            return
        if message.get("type") == "error":
            said = str(message.get("message", ""))[:200]
            outcome = Outcome.KEY_INVALID if "authentic" in said.lower() else Outcome.UNAVAILABLE
            client.reject(ExchangeTrouble(outcome, f"The stream says: {said}"))
            self.on_stream_cut(said)
            return
        number = message.get("sequence_num")
        if isinstance(number, int):
            if self.next_sequence is not None and number > self.next_sequence:
                self.on_stream_cut(f"messages {self.next_sequence} to {number - 1} are missing")
            self.next_sequence = number + 1
        if message.get("channel") == "subscriptions":
            for event in message.get("events", ()):
                for name in event.get("subscriptions", {}):
                    client.resolve(message, _OPENED + name)
        elif message.get("channel") == "user":
            self.on_stream_event(message)


class Connection(Calls[Wire]):
    """Calls on Coinbase's wire."""

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
    ) -> None:
        # A key in PEM may come with its line ends written out.
        options = {"timeDifference": 0}
        config = settings(profile, key=key, secret=secret.replace("\\n", "\n"), **options)
        super().__init__(wire=Wire(config, budget=budget, on_event=on_event, on_cut=on_cut), profile=profile, budget=budget)
        api = self.wire.urls["api"]
        api["ws"] = f"{stream_url.rstrip('/')}/ws" if stream_url else _USER_STREAM
        if rest_url:
            api["rest"] = rest_url.rstrip("/")
            self.wire.hostname = rest_url.split("://", 1)[1]
