"""What the machine-readable description says beside the operations: every answer that can come, by whom, and examples."""

from __future__ import annotations

from typing import Any, Final

from ninja import NinjaAPI

from tradeapp import access, idempotency, openapi_examples
from tradeapp.access import Confirm
from tradeapp.problems import CONTENT_TYPE, PREFIX

_PROBLEMS: Final = {
    "400": ("The request cannot be read", "BODY_NOT_JSON"),
    "401": ("Nobody is signed in, or the token does not work", "UNAUTHENTICATED"),
    "403": ("The role does not reach this, or a confirmation is needed", "SCOPE_MISSING"),
    "404": ("There is no such thing", "NOT_FOUND"),
    "409": ("It was understood and cannot be done now", "CAPITAL_INSUFFICIENT"),
    "413": ("The body is too large", "BODY_TOO_LARGE"),
    "415": ("The body is not JSON", "CONTENT_TYPE"),
    "422": ("Fields are wrong", "INPUT_INVALID"),
    "503": ("The database or the master key is away", "DATABASE_UNAVAILABLE"),
}
# What only a request with a body, or a change, is answered with.
_CHANGING: Final = ("413", "415")
# Whoever needs no name sends nothing that could be wrong.
_OF_STRANGERS: Final = ("503",)
_PROBLEM_SCHEMA: Final = {
    "type": "object",
    "title": "Problem",
    "required": ["type", "title", "status", "code"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string", "description": "What is wrong, for people"},
        "status": {"type": "integer"},
        "code": {"type": "string", "pattern": "^[A-Z][A-Z0-9_]*$", "description": "What is wrong, for programs"},
        "errors": {"type": "array", "items": {"type": "object"}, "description": "The fields that are wrong"},
        "facts": {"type": "object", "description": "The figures behind a refusal"},
    },
}
_KEY: Final = {
    "name": idempotency.HEADER,
    "in": "header",
    "required": True,
    "description": "New for every command; the same key gets the same answer again.",
    "schema": {"type": "string", "pattern": "^[!-~]{1,128}$"},
    "example": "5b0c1f6e2a",
}


class DescribedAPI(NinjaAPI):
    """An API whose description names every answer, every role and the key that makes a command happen once."""

    def get_openapi_schema(self, **kwargs: Any) -> Any:
        """Return the description with problems, roles, keys and examples."""
        schema = super().get_openapi_schema(**kwargs)
        parts = schema["components"]["schemas"]
        parts["Problem"] = _PROBLEM_SCHEMA
        for template, methods in schema["paths"].items():
            address = template.removeprefix(PREFIX)
            for method, operation in methods.items():
                needed = access.operation(method.upper(), address)
                operation["responses"] = _answers(operation["responses"], needed, method)
                operation["description"] = f"{operation.get('description', '')}\n\n{_who(needed)}".strip()
                if method == "post" and not idempotency.is_exempt(template):
                    operation["parameters"].append(_KEY)
                _show(operation, parts)
        return schema


def _answers(known: dict[int, Any], needed: access.Access, method: str) -> dict[str, Any]:
    answers = {str(status): answer for status, answer in known.items()}
    for status, (words, code) in _PROBLEMS.items():
        is_possible = status not in _CHANGING or method != "get"
        if needed.scope is None:
            is_possible = status in _OF_STRANGERS
        if is_possible and status not in answers:
            answers[status] = _problem(words, int(status), code)
    return answers


def _who(needed: access.Access) -> str:
    if needed.scope is None:
        return "Anybody may."
    roles = ", ".join(role for role in access.Role if needed.scope in access.ROLE_SCOPES[role])
    words = f"For {roles}; a token needs the scope `{needed.scope}`."
    if needed.confirm is Confirm.NO:
        return words
    return f"{words} Needs a fresh confirmation (`POST confirmation`), or a token with `unattended`."


def _show(operation: dict[str, Any], parts: dict[str, Any]) -> None:
    """Give the body and every good answer an example."""
    bodies = [operation["requestBody"]] if "requestBody" in operation else []
    for described in (*bodies, *operation["responses"].values()):
        for content in described.get("content", {}).values():
            content.setdefault("example", openapi_examples.example(content["schema"], parts))


def _problem(words: str, status: int, code: str) -> dict[str, Any]:
    example = {"type": "about:blank", "title": f"{words}.", "status": status, "code": code}
    content = {"schema": {"$ref": "#/components/schemas/Problem"}, "example": example}
    return {"description": words, "content": {CONTENT_TYPE: content}}
