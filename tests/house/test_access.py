"""Every operation of the API, every page, every record of the admin and every word of the stream names its role."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.auth.models import User
from django.test import RequestFactory
from django.urls import URLResolver, get_resolver

from stream.messages import KINDS
from tradeapp import access, roles
from tradeapp.access import Role

PEOPLE = {role: User(pk=number, username=role, **roles.flags_of(role)) for number, role in enumerate(Role, start=1)}
CHANGES = ("add", "change", "delete")


def operations() -> set[str]:
    """Return what the router answers to, as `POST bots/{bot_id}/start`."""
    from tradeapp.api import api

    found = set()
    for template, methods in api.get_openapi_schema()["paths"].items():
        address = re.sub(r"{\w+:(\w+)}", r"{\1}", template.removeprefix("/api/v1/"))
        found |= {f"{method.upper()} {address}" for method in methods}
    return found


def pages(resolver: URLResolver | None = None, space: str = "") -> Iterator[str]:
    """Yield the names of all views that are neither the admin's nor operations of the API."""
    for pattern in (resolver or get_resolver()).url_patterns:
        if isinstance(pattern, URLResolver):
            inner = f"{space}{pattern.namespace}:" if pattern.namespace else space
            if inner != "admin:":
                yield from pages(pattern, inner)
        elif space != "api:" or pattern.name in ("openapi-json", "openapi-view", "api-root"):
            yield f"{space}{pattern.name}"


def admin_rights(role: Role) -> dict[str, set[str]]:
    """Ask every record's admin what a role may do, actions included."""
    request = RequestFactory().get("/")
    request.user = PEOPLE[role]
    found = {}
    for model, page in admin.site._registry.items():
        allowed = {name for name in ("view", *CHANGES) if getattr(page, f"has_{name}_permission")(request)}
        if "view" in allowed:
            allowed |= {name for name in page.get_actions(request) if name != "delete_selected"}
        found[model._meta.label] = allowed
    return found


def test_every_operation_names_its_scope_and_no_name_outlives_its_operation() -> None:
    assert operations() - set(access.OPERATIONS) == set(), "decide in tradeapp/access.py who may do this"
    assert set(access.OPERATIONS) - operations() == set(), "these are gone: strike them from tradeapp/access.py"


def test_every_page_names_its_role_and_no_name_outlives_its_page() -> None:
    assert set(pages()) == set(access.PAGES)


@pytest.mark.parametrize("role", list(Role))
def test_the_admin_lets_a_role_do_what_the_table_says_and_nothing_else(role: Role) -> None:
    declared: dict[str, set[str]] = {
        record: {action for action, needed in actions.items() if access.reaches(role, needed)}
        for record, actions in access.ADMIN.items()
    }
    assert admin_rights(role) == declared


def test_every_word_of_the_stream_names_its_role() -> None:
    assert set(access.STREAM) == set(KINDS)


def test_what_changes_something_is_never_a_viewers_but_for_their_own_door() -> None:
    own = {"POST confirmation", "POST second-factor", "POST second-factor/confirm", "DELETE second-factor", "PUT password"}
    own |= {"DELETE sessions/{name}"}
    viewers = {
        name
        for name, needed in access.OPERATIONS.items()
        if not name.startswith("GET ") and needed.scope in access.ROLE_SCOPES[Role.VIEWER] | {None}
    }
    # It reads a text and says what it means.
    assert viewers - {"POST rotation/read"} == own


def test_roles_are_a_ladder() -> None:
    scopes: Any = access.ROLE_SCOPES
    assert scopes[Role.VIEWER] < scopes[Role.OPERATOR] < scopes[Role.ADMIN]
    assert access.operation("POST", "something/new") == access.UNLISTED
    assert access.page("pages:something_new") is Role.ADMIN
