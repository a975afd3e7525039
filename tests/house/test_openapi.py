"""The description of the API is whole: every operation says what it does, what can go wrong, and shows an example."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import pytest
from ninja import Schema

from marketdata.schemas import Payload
from tests.api.json_schema import faults
from tradeapp import access, idempotency
from tradeapp.api import api
from tradeapp.problems import CONTENT_TYPE, PREFIX

DESCRIPTION: dict[str, Any] = json.loads(json.dumps(api.get_openapi_schema()))
PARTS: dict[str, Any] = DESCRIPTION["components"]["schemas"]
OPERATIONS = {
    f"{method.upper()} {template.removeprefix(PREFIX)}": operation
    for template, methods in DESCRIPTION["paths"].items()
    for method, operation in methods.items()
}


def heirs(kind: type[Any]) -> Iterator[type[Any]]:
    """Yield all classes under one."""
    for one in kind.__subclasses__():
        yield one
        yield from heirs(one)


@pytest.mark.parametrize("name", OPERATIONS)
def test_an_operation_says_what_it_does_who_may_and_what_can_go_wrong(name: str) -> None:
    operation, method = OPERATIONS[name], name.split(maxsplit=1)[0]
    expected = {"503"} if access.OPERATIONS[name].scope is None else {"400", "401", "403", "404", "409", "422", "503"}
    expected |= {"413", "415"} if method != "GET" else set()

    assert operation["summary"]
    assert operation["description"].splitlines()[0].endswith((".", "?"))
    assert (access.OPERATIONS[name].scope or "Anybody") in operation["description"]
    assert expected <= operation["responses"].keys()
    for status, answer in operation["responses"].items():
        is_problem = CONTENT_TYPE in answer.get("content", {})
        assert is_problem == (status >= "400" and name != "GET ready"), (status, answer)


@pytest.mark.parametrize("name", OPERATIONS)
def test_every_example_is_what_its_schema_accepts(name: str) -> None:
    operation = OPERATIONS[name]
    bodies = [operation["requestBody"]] if "requestBody" in operation else []
    for described in (*bodies, *operation["responses"].values()):
        for content in described.get("content", {}).values():
            assert not list(faults(content["example"], content["schema"], PARTS))


def test_an_example_of_a_body_is_read_by_the_body_itself() -> None:
    bodies = [one for one in heirs(Payload) if not one.__module__.startswith("tests.")]

    assert len(bodies) > 20
    for body in bodies:
        shown = body.model_config.get("json_schema_extra", {}).get("examples")
        assert shown, f"{body.__name__} has no example"
        for example in shown:
            body.model_validate_json(json.dumps(example))


def test_no_two_schemas_share_a_name() -> None:
    """In the description the second one would silently take the place of the first."""
    homes = defaultdict(set)
    for schema in heirs(Schema):
        if schema.__name__ in PARTS and "[" not in schema.__name__:
            homes[schema.__name__].add(schema.__module__)

    assert not {name: places for name, places in homes.items() if len(places) > 1}


def test_a_post_names_its_key_exactly_where_one_is_asked_for() -> None:
    for name, operation in OPERATIONS.items():
        method, address = name.split()
        is_named = any(one["name"] == idempotency.HEADER for one in operation["parameters"])
        assert is_named == (method == "POST" and not idempotency.is_exempt(PREFIX + address)), name
