"""Draw requests from the description of the API: such as it allows, such as it forbids, and such as no client would send."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import quote, urlencode

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy

from tests.api.json_schema import REFERENCE

Pools = Mapping[str, Sequence[Any]]
# What is put where something else belongs.
JUNK: Final[list[Any]] = [
    None, True, -1, 0, 1.5, 2**70, 1e308, "", " ", "NaN", "-0", "1e400", "1" * 400, "x" * 400, "a\x00b", "\ud800", "\u202e", "🚀",
    "'; DROP TABLE x; --", "../../etc/passwd", "--help", "0001-01-01T00:00:00+23:00", [], {}, [[]], {"a": {"b": [None]}},
]  # fmt: skip
JUNK_TEXT: Final = [one for one in JUNK if isinstance(one, str) and "\ud800" not in one] + [
    "-1",
    "99999999999999999999",
    "٣",
    "%",
]
RAW: Final = [b"", b"[]", b"null", b"7", b'"x"', b"{", b"\xff", b'{"a": NaN}', b'{"a": 1, "a": 2}', b"[" * 5_000, b'{"a": 1e999}']
OTHER_TYPES: Final = [
    "text/plain",
    "application/x-www-form-urlencoded",
    "multipart/form-data; boundary=x",
    "",
    "application/json;x",
]
BAD_KEYS: Final = ["", " ", "x" * 129, "a b", "é"]


@dataclass(frozen=True, slots=True)
class Drawn:
    """A request, and whether it keeps to the description."""

    name: str
    method: str
    path: str
    body: bytes | None
    headers: dict[str, str] = field(default_factory=dict)
    content_type: str = "application/json"
    is_valid: bool = True


class Drawer:
    """Draws what schemas allow; fields that a pool knows by name are mostly drawn from there."""

    def __init__(self, parts: dict[str, Any], pools: Pools) -> None:
        self._parts, self._pools = parts, pools
        self._made: dict[tuple[int, str], SearchStrategy[Any]] = {}

    def values(self, schema: dict[str, Any], name: str = "") -> SearchStrategy[Any]:
        """Return how to draw values; made once, because making takes longer than drawing."""
        found = self._made.get((id(schema), name))
        if found is None:
            found = self._made[id(schema), name] = self._make(schema, name)
        return found

    def _make(self, schema: dict[str, Any], name: str) -> SearchStrategy[Any]:
        if "$ref" in schema:
            return self.values(self._parts[schema["$ref"].removeprefix(REFERENCE)], name)
        if "anyOf" in schema:
            return st.one_of([self.values(one, name) for one in schema["anyOf"]])
        if "enum" in schema:
            return st.sampled_from(schema["enum"])
        anything = self._of_kind(schema, name)
        if name not in self._pools or schema.get("type") in ("array", "null"):
            return anything
        known = st.sampled_from(self._pools[name])
        return st.one_of(known, known, known, anything)

    def _of_kind(self, schema: dict[str, Any], name: str) -> SearchStrategy[Any]:
        kind = schema.get("type")
        if kind == "object" and "properties" in schema:
            inner = {one: self.values(what, one) for one, what in schema["properties"].items()}
            needed = {one: inner.pop(one) for one in schema.get("required", ())}
            return st.fixed_dictionaries(needed, optional=inner)
        if kind == "array":
            inside = self.values(schema["items"], name)
            return st.lists(inside, min_size=schema.get("minItems", 0), max_size=min(schema.get("maxItems", 4), 4))
        simple: dict[Any, Any] = {"string": _texts, "integer": _integers, "number": _numbers}
        if kind in simple:
            drawn: SearchStrategy[Any] = simple[kind](schema)
            return drawn
        free = st.dictionaries(st.text(max_size=8), st.sampled_from(JUNK), max_size=3)
        plain: dict[Any, SearchStrategy[Any]] = {"boolean": st.booleans(), "null": st.none(), "object": free}
        return plain.get(kind, st.sampled_from(JUNK))


def _texts(schema: dict[str, Any]) -> SearchStrategy[str]:
    if schema.get("format") == "date-time":
        moments = st.datetimes(min_value=datetime(1971, 1, 1), max_value=datetime(2199, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
        return moments.map(datetime.isoformat)
    if "pattern" in schema:
        return st.from_regex(schema["pattern"].removesuffix("$"), fullmatch=True).filter(
            lambda text: len(text) <= schema.get("maxLength", 500)
        )
    least = schema.get("minLength", 0)
    letters = st.characters(codec="utf-8", exclude_categories=["Cc"])
    return st.text(letters, min_size=least, max_size=max(least, min(schema.get("maxLength", 40), 40)))


def _integers(schema: dict[str, Any]) -> SearchStrategy[int]:
    return st.integers(schema.get("minimum", -(2**31)), schema.get("maximum", 2**31))


def _numbers(schema: dict[str, Any]) -> SearchStrategy[float]:
    least, most = schema.get("minimum", schema.get("exclusiveMinimum")), schema.get("maximum", schema.get("exclusiveMaximum"))
    return st.floats(
        least,
        most,
        exclude_min="exclusiveMinimum" in schema,
        exclude_max="exclusiveMaximum" in schema,
        allow_nan=False,
        allow_infinity=False,
    )


@st.composite
def requests(draw: DrawFn, name: str, operation: dict[str, Any], drawer: Drawer, *, only_valid: bool = False) -> Drawn:
    """Draw a request of an operation, one in two with something wrong in it."""
    method, address = name.split()
    wrong = None if only_valid else draw(st.sampled_from([None] * 4 + ["path", "query", "body", "raw", "type", "key"]))
    query: list[tuple[str, str]] = []
    for parameter in operation["parameters"]:
        where, called = parameter["in"], parameter["name"]
        if where == "path":
            junk = st.sampled_from(JUNK_TEXT)
            value = draw(junk if wrong == "path" else drawer.values(parameter["schema"], called))
            address = address.replace(f"{{{called}}}", quote(str(value) or "-", safe=""))
        elif where == "query" and (parameter["required"] or draw(st.booleans())):
            junk = st.sampled_from(JUNK_TEXT)
            value = draw(junk if wrong == "query" else drawer.values(parameter["schema"], called))
            query += [] if value is None else [(called, str(value).lower() if isinstance(value, bool) else str(value))]
    if wrong == "query":
        query += draw(st.sampled_from([[], [("unknown", "1")], query[:1]]))
    body = _body(draw, operation, drawer, wrong)
    headers = {} if method != "POST" else _key(draw, wrong)
    path = f"{address}?{urlencode(query)}" if query else address
    content_type = draw(st.sampled_from(OTHER_TYPES)) if wrong == "type" else "application/json"
    return Drawn(name, method, path, body, headers, content_type, is_valid=wrong is None)


def _key(draw: DrawFn, wrong: str | None) -> dict[str, str]:
    if wrong == "key":
        return draw(st.sampled_from([{}, *({"Idempotency-Key": bad} for bad in BAD_KEYS)]))
    # Few, so that some come twice.
    return {"Idempotency-Key": f"key-{draw(st.integers(0, 10**6))}"}


def _body(draw: DrawFn, operation: dict[str, Any], drawer: Drawer, wrong: str | None) -> bytes | None:
    described = operation.get("requestBody")
    if described is None:
        return None
    if wrong == "raw":
        return draw(st.sampled_from(RAW))
    content = described["content"]["application/json"]
    value = draw(st.one_of(drawer.values(content["schema"]), st.just(content["example"])))
    if value is None:
        return None
    if wrong == "body" and isinstance(value, dict):
        value = copy.deepcopy(value)
        _spoil(draw, value)
    return json.dumps(value).encode()


def _spoil(draw: DrawFn, value: dict[str, Any]) -> None:
    """Take a field away, add one, or put something else where it stands, however deep."""
    place: Any = value
    while True:
        keys = list(place) if isinstance(place, dict) else list(range(len(place)))
        if not keys or (isinstance(place, dict) and draw(st.integers(0, 3)) == 0):
            break
        key = draw(st.sampled_from(keys))
        if isinstance(place[key], dict | list) and place[key] and draw(st.booleans()):
            place = place[key]
            continue
        if isinstance(place, dict) and draw(st.booleans()):
            del place[key]
        else:
            place[key] = draw(st.sampled_from(JUNK))
        return
    if isinstance(place, dict):
        place[draw(st.sampled_from(["", "is_admin", "id", "__class__"]))] = draw(st.sampled_from(JUNK))
    else:
        place.append(draw(st.sampled_from(JUNK)))
