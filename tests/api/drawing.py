"""Requests that schemathesis draws from the description of the API: such as it allows and such as it forbids."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import requests
import schemathesis
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from schemathesis import APIOperation, BaseSchema, Case, GenerationMode

from tests.api.json_schema import REFERENCE

Pools = Mapping[str, Sequence[Any]]
Operation = APIOperation[Any, Any, Any, Any]
Drawn = Case[Operation]
ADDRESS: Final = "http://testserver"
# How often a field that a pool knows by name is drawn from there.
KNOWN: Final = 0.75
# Deeper than that, only values without a pool stand.
DEEPEST: Final = 5


def read(description: dict[str, Any], pools: Pools) -> BaseSchema:
    """Have schemathesis read the description, and know what exists."""
    plain = {name: [value for value in values if isinstance(value, str | int)] for name, values in pools.items()}
    known = {name: values for name, values in plain.items() if values}
    names = {f"{place}.{name}": name for name in known for place in ("path", "query")}
    for methods in description["paths"].values():
        for operation in methods.values():
            names |= {f"body.{place}": name for place, name in _places(_body_of(operation), description, known)}
    config = schemathesis.Config.from_dict(
        {
            "dictionaries": {name: {"values": values} for name, values in known.items()},
            "parameters": {place: {"dictionary": name, "probability": KNOWN} for place, name in names.items()},
            # Who asks is the caller's affair.
            "generation": {"with-security-parameters": False},
        }
    )
    return schemathesis.openapi.from_dict(copy.deepcopy(description), config=config)


def cases(operation: Operation, described: dict[str, Any], pools: Pools, *, only_valid: bool = False) -> SearchStrategy[Drawn]:
    """Return how to draw requests of an operation; unless only valid ones are asked for, one in two has something wrong in it."""
    valid = operation.as_strategy(generation_mode=GenerationMode.POSITIVE)
    # What the examples show, and what no pool of plain values can hold, such as a whole plan.
    shown = [operation.as_strategy(body=body) for body in _examples(described, pools)]
    drawn = st.one_of(valid, valid, *shown[:1], st.one_of(shown)) if shown else valid
    if only_valid or not _can_be_wrong(described):
        return drawn
    return st.one_of(drawn, operation.as_strategy(generation_mode=GenerationMode.NEGATIVE))


def prepared(case: Drawn, **headers: str) -> requests.PreparedRequest:
    """Return a case as it goes over the wire."""
    return requests.Request(**case.as_transport_kwargs(base_url=ADDRESS, headers=headers)).prepare()


def _body_of(operation: dict[str, Any]) -> dict[str, Any]:
    content: dict[str, Any] = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
    return content


def _places(content: dict[str, Any], description: dict[str, Any], known: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield where in a body a pool knows the field, as schemathesis writes it: `bots[*].share`."""
    parts = description["components"]["schemas"]

    def walk(schema: dict[str, Any], place: str, name: str, depth: int) -> Iterator[tuple[str, str]]:
        if "$ref" in schema:
            schema = parts[schema["$ref"].removeprefix(REFERENCE)]
        if depth > DEEPEST:
            return
        for one in schema.get("anyOf", ()):
            yield from walk(one, place, name, depth + 1)
        for inner, what in schema.get("properties", {}).items():
            yield from walk(what, f"{place}.{inner}" if place else inner, inner, depth + 1)
        if "items" in schema:
            yield from walk(schema["items"], f"{place}[*]", name, depth + 1)
        if schema.get("type") in ("string", "integer", "number") and name in known:
            yield place, name

    if content:
        yield from walk(content["schema"], "", "", 0)


def _examples(described: dict[str, Any], pools: Pools) -> list[Any]:
    example = _body_of(described).get("example")
    if not isinstance(example, dict):
        return [] if example is None else [example]
    found = [example]
    for name in example.keys() & pools.keys():
        found += [{**example, name: value} for value in pools[name] if isinstance(value, dict)]
    return found


def _can_be_wrong(described: dict[str, Any]) -> bool:
    """Say whether the description forbids anything: an address of words alone, and one without words, allow all."""
    fields = (parameter["schema"] for parameter in described["parameters"] if parameter["in"] in ("path", "query"))
    return bool(_body_of(described)) or any(field.get("type") != "string" for field in fields)
