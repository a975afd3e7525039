"""Hold a value against a JSON schema: the part of the language that our description is written in, nothing skipped."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from datetime import date, datetime
from typing import Any, Final

REFERENCE: Final = "#/components/schemas/"
_READ: Final = {
    "$ref", "additionalProperties", "anyOf", "enum", "exclusiveMaximum", "exclusiveMinimum", "format", "items", "maxItems",
    "maxLength", "maximum", "minItems", "minLength", "minimum", "pattern", "prefixItems", "properties", "required", "type",
}  # fmt: skip
# What is said to people.
_TOLD: Final = {"title", "description", "default", "examples"}
_KINDS: Final[dict[str, Any]] = {
    "object": dict,
    "array": list,
    "string": str,
    "integer": int,
    "number": (int, float),
    "boolean": bool,
    "null": type(None),
}


def faults(value: Any, schema: dict[str, Any], parts: dict[str, Any], at: str = "$") -> Iterator[str]:
    """Yield what a schema does not allow in a value."""
    unread = schema.keys() - _READ - _TOLD
    assert not unread, f"{at}: this checker does not know {unread}"
    if "$ref" in schema:
        yield from faults(value, parts[schema["$ref"].removeprefix(REFERENCE)], parts, at)
    if "anyOf" in schema and all(any(faults(value, one, parts, at)) for one in schema["anyOf"]):
        yield f"{at}: {value!r:.200} is none of {[one.get('type') or one.get('$ref') for one in schema['anyOf']]}"
    if "enum" in schema and value not in schema["enum"]:
        yield f"{at}: {value!r:.200} is none of {schema['enum']}"
    kind = schema.get("type")
    if kind and (not isinstance(value, _KINDS[kind]) or (isinstance(value, bool) and kind != "boolean")):
        yield f"{at}: {value!r:.200} is no {kind}"
    elif isinstance(value, str):
        yield from _text_faults(value, schema, at)
    elif isinstance(value, dict):
        yield from _object_faults(value, schema, parts, at)
    elif isinstance(value, list):
        yield from _array_faults(value, schema, parts, at)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield from _number_faults(value, schema, at)


def _text_faults(value: str, schema: dict[str, Any], at: str) -> Iterator[str]:
    if not schema.get("minLength", 0) <= len(value) <= schema.get("maxLength", math.inf):
        yield f"{at}: {value!r:.200} is too short or too long"
    if "pattern" in schema and not re.search(schema["pattern"], value):
        yield f"{at}: {value!r:.200} is not {schema['pattern']}"
    readers: dict[str, Any] = {"date-time": datetime.fromisoformat, "date": date.fromisoformat, "binary": str}
    if "format" in schema:
        try:
            readers[schema["format"]](value)
        except ValueError:
            yield f"{at}: {value!r:.200} is no {schema['format']}"


def _object_faults(value: dict[str, Any], schema: dict[str, Any], parts: dict[str, Any], at: str) -> Iterator[str]:
    known, other = schema.get("properties", {}), schema.get("additionalProperties", True)
    for name in set(schema.get("required", ())) - value.keys():
        yield f"{at}: {name} is missing"
    for name, inner in value.items():
        if name in known:
            yield from faults(inner, known[name], parts, f"{at}.{name}")
        elif other is False:
            yield f"{at}: {name} is unknown"
        elif isinstance(other, dict):
            yield from faults(inner, other, parts, f"{at}.{name}")


def _array_faults(value: list[Any], schema: dict[str, Any], parts: dict[str, Any], at: str) -> Iterator[str]:
    if not schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", math.inf):
        yield f"{at}: {len(value)} items are too few or too many"
    first = schema.get("prefixItems", [])
    for place, inner in enumerate(value):
        yield from faults(inner, first[place] if place < len(first) else schema.get("items", {}), parts, f"{at}[{place}]")


def _number_faults(value: float, schema: dict[str, Any], at: str) -> Iterator[str]:
    least, most = schema.get("minimum", -math.inf), schema.get("maximum", math.inf)
    above, below = schema.get("exclusiveMinimum", -math.inf), schema.get("exclusiveMaximum", math.inf)
    if not (least <= value <= most) or value < above or value > below or value in (above, below):
        yield f"{at}: {value} is out of range"
