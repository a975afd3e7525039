"""Rules: which fault, when, how often. Read strictly; every refusal says what to write instead."""

import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from venue.faults.catalogue import ACTIONS, MATCH_WORDS, STREAM, WHEN_WORDS, Action, Check

_ID = re.compile(r"[A-Z][0-9]{2}[a-z]?")
_ENDPOINT = re.compile(r"(GET|POST|PUT|DELETE) /\S+")
_WORDS: Final = ("id", "action", "match", "when", "times", "with")


class UnusableFaults(Exception):
    """A rule or a file of rules that makes no sense; the text says where and what to write."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One fault: armed until it has fired as often as it may."""

    id: str
    action: str
    # How often it may fire; 0 means without limit.
    times: int = 1
    endpoints: tuple[str, ...] = ()
    match: dict[str, Any] = field(default_factory=dict)
    when: dict[str, Any] = field(default_factory=dict)
    words: dict[str, Any] = field(default_factory=dict)
    # Where it was written, for whoever is told that it makes no sense.
    place: str = ""

    @property
    def seam(self) -> str:
        """Return where the rule is consulted."""
        return ACTIONS[self.action].seam

    def written(self) -> dict[str, Any]:
        """Write the rule as it was given."""
        match = self.match | ({"endpoint": list(self.endpoints)} if self.endpoints else {})
        return {"id": self.id, "action": self.action, "match": match, "when": self.when, "times": self.times, "with": self.words}


def read_rule(given: Any, place: str = "") -> Rule:
    """Read a rule, or say where what is wrong with it."""
    try:
        return _rule(given, place)
    except UnusableFaults as error:
        raise UnusableFaults(_at(place, str(error))) from None


def read_numbered(given: Any) -> list[Rule]:
    """Read a list of rules, or say which makes no sense."""
    if not isinstance(given, list):
        raise UnusableFaults("rules must be a list of rules")
    return [read_rule(rule, f"rule {number}") for number, rule in enumerate(given, 1)]


def refuse(rule: Rule, why: str) -> UnusableFaults:
    """Say where a rule was written that cannot be armed here."""
    return UnusableFaults(_at(rule.place, why))


def _at(place: str, why: str) -> str:
    return f"{place}: {why}" if place else why


def _rule(given: Any, place: str) -> Rule:
    if not isinstance(given, dict):
        raise UnusableFaults('a rule is an object such as {"id": "E03", "action": "drop_answer"}')
    _refuse_unknown(given, _WORDS, "a rule")
    name, identity, times = given.get("action"), given.get("id"), given.get("times", 1)
    action = ACTIONS.get(name) if isinstance(name, str) else None
    if action is None or not isinstance(name, str):
        raise UnusableFaults(f"action {name!r} is unknown: write one of {', '.join(ACTIONS)}")
    if not isinstance(identity, str) or _ID.fullmatch(identity) is None:
        raise UnusableFaults(f"id {identity!r} is no id of the fault catalogue: write for example E03 or U02")
    if not isinstance(times, int) or isinstance(times, bool) or times < 0:
        raise UnusableFaults("times must be a whole number: how often it may fire, 0 for no limit")
    match = dict(_part(given, "match"))
    endpoints = _endpoints(match.pop("endpoint", []))
    when, words = _part(given, "when"), _part(given, "with")
    _check_words(match, MATCH_WORDS, "match")
    _check_when(when)
    _check_action(name, action, words)
    if endpoints and action.seam == STREAM:
        raise UnusableFaults(f"{name} acts on streams: match stream, event or execution instead of endpoint")
    return Rule(id=identity, action=name, times=times, endpoints=endpoints, match=match, when=when, words=words, place=place)


def read_file(path: Path) -> tuple[int | None, list[Rule]]:
    """Read a file of rules, one to a line; every refusal names the line."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UnusableFaults(f"The fault file {path} cannot be read: {error}. Give --faults a readable text file.") from error
    seed, rules = None, []
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        place = f"{path}, line {number}"
        given = _parsed(line, place)
        if isinstance(given, dict) and set(given) == {"seed"}:
            seed = read_seed(given["seed"], place)
        else:
            rules.append(read_rule(given, place))
    return seed, rules


def read_seed(given: Any, place: str = "") -> int:
    """Read the seed that chances are drawn with."""
    if not isinstance(given, int) or isinstance(given, bool):
        raise UnusableFaults(_at(place, "seed must be a whole number"))
    return given


def _parsed(line: str, place: str) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError) as error:
        raise UnusableFaults(f"{place}: this is no JSON ({error}): write one rule, an object, on one line") from None


def _part(given: dict[str, Any], name: str) -> dict[str, Any]:
    part = given.get(name, {})
    if not isinstance(part, dict):
        raise UnusableFaults(f"{name} must be an object")
    return part


def _endpoints(given: Any) -> tuple[str, ...]:
    several = [given] if isinstance(given, str) else given
    if not isinstance(several, list) or not all(isinstance(name, str) and _ENDPOINT.fullmatch(name) for name in several):
        raise UnusableFaults('match.endpoint must be a text such as "POST /api/v3/order", or a list of them')
    return tuple(several)


def _check_when(when: dict[str, Any]) -> None:
    _check_words(when, WHEN_WORDS, "when")
    if when.get("skip", 0) < 0:
        raise UnusableFaults("when.skip must not be below 0")
    if not 0 <= when.get("chance", 1) <= 1:
        raise UnusableFaults("when.chance must be from 0 to 1")


def _check_action(name: str, action: Action, words: dict[str, Any]) -> None:
    _check_words(words, {word: item.check for word, item in action.words.items()}, f"with of {name}")
    for word, item in action.words.items():
        if item.is_needed and word not in words:
            raise UnusableFaults(f"{name} needs {word} in with: it {item.check(None)}")
    if name == "human_order" and (words.get("type") == "LIMIT") != ("price" in words):
        raise UnusableFaults("human_order needs a price exactly when its type is LIMIT")


def _check_words(given: dict[str, Any], known: dict[str, Check], place: str) -> None:
    _refuse_unknown(given, tuple(known), place)
    for name, value in given.items():
        wrong = known[name](value)
        if wrong:
            raise UnusableFaults(f"{place}: {name} {wrong}")


def _refuse_unknown(given: dict[str, Any], known: tuple[str, ...], place: str) -> None:
    for name in given:
        if name not in known:
            raise UnusableFaults(f"{place} knows no {name!r}: write {', '.join(known) or 'nothing there'}")
