"""What faults do to the messages of streams: to each as it is told, and to those that wait to be told later."""

import copy
import math
from dataclasses import dataclass, field
from typing import Any, Final

from venue.faults.book import Armed, Faults, Moment
from venue.faults.catalogue import STREAM
from venue.faults.requests import rewrite
from venue.faults.world import World
from venue.journal import MarketEvent, UserEvent

Event = UserEvent | MarketEvent
_USER: Final = "user"
_TIMES: Final = frozenset({"E", "T", "t"})
_DAY_MS: Final = 86_400_000
_ON_THEIR_OWN: Final = ("cut", "inject")


@dataclass(slots=True)
class _Held:
    """A message that is told later: after a while, or after others."""

    event: Event
    due_ms: float
    others_left: int


@dataclass(slots=True)
class Told:
    """What goes out now, and whose connections end."""

    events: list[Event] = field(default_factory=list)
    cut: list[Event] = field(default_factory=list)


class StreamFaults:
    """Stands between the exchange and its listeners while there are rules about streams."""

    def __init__(self, faults: Faults, world: World) -> None:
        self._faults = faults
        self._world = world
        self._held: list[_Held] = []

    @property
    def is_idle(self) -> bool:
        """Tell whether messages may go straight through."""
        return not (self._faults.on_streams or self._held)

    def pass_on(self, events: list[Event]) -> Told:
        """Return what is told in place of these messages."""
        told = Told()
        self._release(told)
        for event in events:
            moment = _moment(event)
            if any(self._faults.lasting("silence", moment)):
                continue
            before = len(told.events)
            self._apply(event, moment, told)
            if len(told.events) > before:
                self._count_down(event, told)
            self._world.act_on(moment)
        return told

    def on_their_own(self, names: list[str], uids: list[int]) -> Told:
        """Return what is told although nothing happened: cuts and messages that wait for no event."""
        told = Told()
        places: list[Event] = [*(UserEvent(uid, {}) for uid in uids), *(MarketEvent(name, {}) for name in names)]
        for event in places:
            for item in self._faults.ask(STREAM, _moment(event), concerns=_waits_for_nothing):
                _act(item, event, told)
        return told

    def _apply(self, event: Event, moment: Moment, told: Told) -> None:
        fired = self._faults.ask(STREAM, moment, concerns=lambda item: not _waits_for_nothing(item))
        if any(item.rule.action == "silence" for item in fired):
            return
        # Listeners share the message: whoever changes it changes a copy.
        event = _copied(event) if fired else event
        copies = 1
        for item in fired:
            words, action = item.rule.words, item.rule.action
            if action == "withhold":
                copies = 0
                if "seconds" in words:
                    self._held.append(_Held(event, self._faults.wall_ms() + words["seconds"] * 1000, 0))
            elif action == "reorder":
                copies = 0
                self._held.append(_Held(event, math.inf, words.get("events", 1)))
            elif action == "duplicate":
                copies += words.get("copies", 1)
            else:
                _act(item, event, told)
        told.events += [event] * copies
        if any(item.rule.action == "revise" for item in fired):
            told.events.append(_revised(event, next(item for item in fired if item.rule.action == "revise")))

    def _release(self, told: Told) -> None:
        now = self._faults.wall_ms()
        told.events += [held.event for held in self._held if held.due_ms <= now]
        self._held = [held for held in self._held if held.due_ms > now]

    def _count_down(self, event: Event, told: Told) -> None:
        """Tell what waited for others of the same stream to overtake it."""
        for held in list(self._held):
            if held.others_left and _place(held.event) == _place(event):
                held.others_left -= 1
                if not held.others_left:
                    self._held.remove(held)
                    told.events.append(held.event)


def _act(item: Armed, event: Event, told: Told) -> None:
    words, payload = item.rule.words, event.payload
    match item.rule.action:
        case "cut":
            told.cut.append(event)
        case "inject":
            told.events.append(_with(event, words["payload"]))
        case "edit":
            rewrite(payload, words, scales=False)
        case "multiply":
            rewrite(payload, words, scales=True)
        case "cross":
            payload["b"], payload["a"] = payload.get("a"), payload.get("b")
        case "shift_time":
            _shift_time(payload, words["to"])


def _waits_for_nothing(item: Armed) -> bool:
    rule = item.rule
    return rule.action in _ON_THEIR_OWN and not rule.match.keys() & {"event", "execution", "symbol", "client_id"}


def _moment(event: Event) -> Moment:
    payload = event.payload
    name, symbol = payload.get("e", ""), payload.get("s", "")
    if isinstance(event, UserEvent):
        client_id = payload.get("C") or payload.get("c") or ""
        kind = payload.get("x", "") if name == "executionReport" else ""
        client_id = client_id if isinstance(client_id, str) else ""
        return Moment(stream=_USER, event=name, symbol=symbol, client_id=client_id, uid=event.uid, execution=kind)
    execution = "closed" if name == "kline" and payload["k"]["x"] else ""
    return Moment(stream=event.stream, event=name or event.stream.partition("@")[2], symbol=symbol, execution=execution)


def _place(event: Event) -> str | int:
    return event.uid if isinstance(event, UserEvent) else event.stream


def _with(event: Event, payload: dict[str, Any]) -> Event:
    return UserEvent(event.uid, payload) if isinstance(event, UserEvent) else MarketEvent(event.stream, payload)


def _copied(event: Event) -> Event:
    return _with(event, copy.deepcopy(event.payload))


def _shift_time(payload: dict[str, Any], to: str) -> None:
    for place in (payload, payload.get("k")):
        if not isinstance(place, dict):
            continue
        for name in _TIMES & place.keys():
            if isinstance(place[name], int) and place[name] > _DAY_MS:
                place[name] = {"future": place[name] + 365 * _DAY_MS, "1970": 0, "us": place[name] * 1000}[to]


def _revised(event: Event, item: Armed) -> Event:
    """Return the closed candle once more, with another close."""
    revised = _copied(event)
    candle = {"fields": ["k.c", "k.h"], "factor": item.rule.words.get("factor", 1.01)}
    rewrite(revised.payload, candle, scales=True)
    return revised
