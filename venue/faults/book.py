"""The armed rules: asked at every seam, counted and logged when they fire."""

import random
import re
import sys
from collections import Counter, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Final

from venue.faults.catalogue import CONNECTION, MATCHING, REQUEST, STREAM, WORLD
from venue.faults.rules import Rule

FIRINGS_KEPT: Final = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """What is about to happen at a seam."""

    endpoint: str = ""
    symbol: str = ""
    client_id: str = ""
    uid: int = 0
    account: str = ""
    stream: str = ""
    event: str = ""
    execution: str = ""

    def facts(self) -> dict[str, Any]:
        """Return what is known, for the log."""
        names = ("endpoint", "symbol", "client_id", "uid", "stream", "event", "execution")
        return {name: value for name in names if (value := getattr(self, name))}


@dataclass(slots=True)
class Armed:
    """A rule with what it has seen and done."""

    number: int
    rule: Rule
    armed_at_ms: int
    matched: int = 0
    fired: int = 0
    # A block or a silence goes on until here, in wall milliseconds; while it lasts it is one firing.
    until_ms: int = 0
    memory: dict[str, Any] = field(default_factory=dict)

    @property
    def is_spent(self) -> bool:
        """Tell whether it has fired as often as it may."""
        return bool(self.rule.times) and self.fired >= self.rule.times

    def written(self) -> dict[str, Any]:
        """Describe it for the control address."""
        left = self.rule.times - self.fired if self.rule.times else None
        return {"number": self.number, "rule": self.rule.written(), "matched": self.matched, "fired": self.fired, "left": left}


@dataclass(frozen=True, slots=True)
class Firing:
    """One time a fault happened."""

    number: int
    id: str
    action: str
    wall_ms: int
    market_time: int
    facts: dict[str, Any]


class Faults:
    """All armed rules. Every flag is false while nothing is armed there, so that a seam costs one look."""

    def __init__(self, *, wall_ms: Callable[[], int], market_time: Callable[[], int], log: bool = False) -> None:
        self.wall_ms = wall_ms
        self.market_time = market_time
        self.on_requests = self.on_streams = self.on_connections = self.on_world = self.on_matching = False
        self.counts: Counter[str] = Counter()
        self.firings: deque[Firing] = deque(maxlen=FIRINGS_KEPT)
        self.random = random.Random(0)  # Faults, not secrets.  # noqa: S311  # nosec B311
        self.seed = 0
        self._log = log
        self._armed: list[Armed] = []
        self._last_number = 0

    @property
    def armed(self) -> list[Armed]:
        """Return the rules in the order of arming, the spent ones included."""
        return list(self._armed)

    def sow(self, seed: int) -> None:
        """Have chances drawn with a seed from now on."""
        self.seed, self.random = seed, random.Random(seed)  # noqa: S311  # nosec B311

    def arm(self, rules: Iterable[Rule]) -> list[Armed]:
        """Arm rules; the one armed first is asked first."""
        fresh = []
        for rule in rules:
            self._last_number += 1
            fresh.append(Armed(self._last_number, rule, self.wall_ms()))
        self._armed += fresh
        self._look_where()
        return fresh

    def disarm(self, number: int | None = None) -> int:
        """Forget one rule or all; return how many they were. What they did to the world stays."""
        kept = [item for item in self._armed if number is not None and item.number != number]
        gone = len(self._armed) - len(kept)
        self._armed = kept
        self._look_where()
        return gone

    def ask(self, seam: str, moment: Moment, *, concerns: Callable[[Armed], bool] = lambda _item: True) -> list[Armed]:
        """Return the rules of a seam that fire now, and count them."""
        asked = [item for item in self._armed if item.rule.seam == seam and not item.is_spent and concerns(item)]
        return [item for item in asked if self._fires(item, moment)]

    def lasting(self, action: str, moment: Moment) -> list[Armed]:
        """Return the rules of an action that fired and whose effect goes on now."""
        now = self.wall_ms()
        return [item for item in self._armed if item.until_ms > now and item.rule.action == action and _fits(item.rule, moment)]

    def hides(self, moment: Moment, place: str, age_ms: int) -> bool:
        """Tell whether something of this age is out of sight in a place that shows it."""
        for item in self._armed:
            rule = item.rule
            if rule.action != "hide" or item.is_spent or place not in rule.words.get("in", (place,)):
                continue
            if age_ms < rule.words.get("seconds", float("inf")) * 1000 and self._fires(item, moment):
                return True
        return False

    def due(self) -> list[Armed]:
        """Return the rules about the world that wait for no request and fire now."""
        nothing = Moment()
        waiting = [item for item in self._armed if item.rule.seam == WORLD and not item.is_spent]
        return [item for item in waiting if not (item.rule.endpoints or item.rule.match) and self._fires(item, nothing)]

    def note(self, item: Armed, facts: dict[str, Any]) -> None:
        """Log and count a firing."""
        rule = item.rule
        firing = Firing(item.number, rule.id, rule.action, self.wall_ms(), self.market_time(), facts)
        self.counts[rule.id] += 1
        self.firings.append(firing)
        if self._log:
            print(f"fault {firing.id} {firing.action} number={firing.number} {facts}", file=sys.stderr, flush=True)

    def note_failure(self, item: Armed, why: str) -> None:
        """Log that a fault could not be carried out."""
        self.note(item, {"failed": why})
        self.counts[item.rule.id] -= 1

    def _fires(self, item: Armed, moment: Moment) -> bool:
        rule, when = item.rule, item.rule.when
        if not _fits(rule, moment) or not self._is_time(item):
            return False
        item.matched += 1
        number = item.matched - when.get("skip", 0)
        if number < 1 or (number - 1) % when.get("every", 1):
            return False
        if "chance" in when and self.random.random() >= when["chance"]:
            return False
        item.fired += 1
        if "seconds" in rule.words:
            item.until_ms = self.wall_ms() + int(rule.words["seconds"] * 1000)
        self.note(item, moment.facts())
        return True

    def _is_time(self, item: Armed) -> bool:
        when = item.rule.when
        if not when:
            return True
        market, passed = self.market_time(), (self.wall_ms() - item.armed_at_ms) / 1000
        in_market: bool = when.get("market_from", market) <= market <= when.get("market_until", market)
        in_wall: bool = when.get("wall_after", passed) <= passed <= when.get("wall_until", passed)
        return in_market and in_wall

    def _look_where(self) -> None:
        seams = {item.rule.seam for item in self._armed}
        self.on_requests = REQUEST in seams or any(item.rule.endpoints for item in self._armed)
        self.on_streams = STREAM in seams or any(_awaits_event(item.rule) for item in self._armed)
        self.on_connections = CONNECTION in seams
        self.on_world = WORLD in seams
        self.on_matching = MATCHING in seams


def _awaits_event(rule: Rule) -> bool:
    return rule.seam == WORLD and bool(rule.match) and not rule.endpoints


def _fits(rule: Rule, moment: Moment) -> bool:
    if rule.endpoints and moment.endpoint not in rule.endpoints:
        return False
    match: dict[str, Any] = rule.match
    if not match:
        return True
    if any(match[name] != getattr(moment, name) for name in ("symbol", "event", "execution") if name in match):
        return False
    if "account" in match and match["account"] not in (moment.uid, str(moment.uid), moment.account):
        return False
    if "stream" in match and re.fullmatch(match["stream"], moment.stream) is None:
        return False
    pattern: str = match.get("client_id", "")
    return not pattern or (bool(moment.client_id) and re.search(pattern, moment.client_id) is not None)
