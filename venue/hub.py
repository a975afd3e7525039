"""Who listens to what, and the queues through which they are told."""

import asyncio
import json
from collections import defaultdict
from collections.abc import Iterable
from typing import Any, Final

from venue.faults.streams import StreamFaults, Told
from venue.journal import MarketEvent, UserEvent

# A listener that falls this far behind is cut off, as the exchange would do.
QUEUE_MAX: Final = 20_000


class Listener:
    """One connection's outgoing messages."""

    def __init__(self, *, combined: bool = False) -> None:
        self.combined = combined
        self.streams: list[str] = []
        self.accounts: dict[int, int] = {}
        self.queue: asyncio.Queue[str | None] = asyncio.Queue()

    def send(self, message: str) -> None:
        """Queue a message; end the connection of a listener that does not keep up."""
        if self.queue.qsize() >= QUEUE_MAX:
            self.end()
        else:
            self.queue.put_nowait(message)

    def end(self) -> None:
        """Have the connection closed."""
        self.queue = asyncio.Queue() if self.queue.qsize() >= QUEUE_MAX else self.queue
        self.queue.put_nowait(None)


class Hub:
    """All listeners of streams and of accounts."""

    def __init__(self) -> None:
        self._by_stream: defaultdict[str, set[Listener]] = defaultdict(set)
        self._by_account: defaultdict[int, set[Listener]] = defaultdict(set)
        self.faults: StreamFaults | None = None

    def is_wanted(self, stream: str) -> bool:
        """Tell whether anybody listens to a stream."""
        return bool(self._by_stream.get(stream))

    def wanted(self) -> list[str]:
        """Return the streams that somebody listens to."""
        return list(self._by_stream)

    def subscribe(self, listener: Listener, streams: Iterable[str]) -> None:
        """Have a listener hear streams."""
        for stream in streams:
            if listener not in self._by_stream[stream]:
                self._by_stream[stream].add(listener)
                listener.streams.append(stream)

    def unsubscribe(self, listener: Listener, streams: Iterable[str]) -> None:
        """Have a listener hear streams no longer."""
        for stream in streams:
            listeners = self._by_stream.get(stream, set())
            listeners.discard(listener)
            if not listeners:
                self._by_stream.pop(stream, None)
            if stream in listener.streams:
                listener.streams.remove(stream)

    def follow(self, listener: Listener, uid: int, subscription_id: int) -> None:
        """Have a listener hear what happens to an account."""
        listener.accounts[uid] = subscription_id
        self._by_account[uid].add(listener)

    def unfollow(self, listener: Listener, uid: int) -> None:
        """Have a listener hear of an account no longer."""
        listener.accounts.pop(uid, None)
        self._by_account[uid].discard(listener)

    def drop(self, listener: Listener) -> None:
        """Forget a listener that has gone."""
        self.unsubscribe(listener, list(listener.streams))
        for uid in list(listener.accounts):
            self.unfollow(listener, uid)

    def publish(self, events: list[UserEvent | MarketEvent]) -> None:
        """Tell everybody concerned, by way of the faults that are armed."""
        if self.faults is None or self.faults.is_idle:
            self._tell_all(events)
            return
        self._follow(self.faults.pass_on(events))

    def stir(self) -> None:
        """Let happen what faults have waiting although nothing is to be told."""
        if self.faults is not None and not self.faults.is_idle:
            self._follow(self.faults.on_their_own(self.wanted(), [uid for uid, heard in self._by_account.items() if heard]))
            self._follow(self.faults.pass_on([]))

    def cut_accounts(self) -> None:
        """End the connections of everybody who listens to an account."""
        for listeners in self._by_account.values():
            for listener in listeners:
                listener.end()

    def _follow(self, told: Told) -> None:
        self._tell_all(told.events)
        for event in told.cut:
            for listener in self._heard(event):
                listener.end()

    def _heard(self, event: UserEvent | MarketEvent) -> set[Listener]:
        if isinstance(event, UserEvent):
            return self._by_account.get(event.uid, set())
        return self._by_stream.get(event.stream, set())

    def _tell_all(self, events: list[UserEvent | MarketEvent]) -> None:
        for event in events:
            if isinstance(event, UserEvent):
                for listener in self._by_account.get(event.uid, ()):
                    listener.send(_user_message(listener.accounts[event.uid], event.payload))
            else:
                listeners = self._by_stream.get(event.stream)
                if listeners:
                    self._tell(event.stream, event.payload, listeners)

    def _tell(self, stream: str, payload: dict[str, Any], listeners: set[Listener]) -> None:
        plain = json.dumps(payload, separators=(",", ":"))
        combined = f'{{"stream":"{stream}","data":{plain}}}'
        for listener in listeners:
            listener.send(combined if listener.combined else plain)


def _user_message(subscription_id: int, payload: dict[str, Any]) -> str:
    return json.dumps({"subscriptionId": subscription_id, "event": payload}, separators=(",", ":"))
