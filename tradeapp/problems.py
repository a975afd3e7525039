"""Errors of the API: problem+json with a machine code, and a body parser that trusts nothing."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Final, NoReturn

from django.http import HttpRequest, HttpResponse
from ninja.errors import HttpError
from ninja.parser import Parser

BODY_BYTES_MAX: Final = 256 * 1024
TEXT_MAX: Final = 20_000
PREFIX: Final = "/api/v1/"
CONTENT_TYPE: Final = "application/problem+json"
_OURS: Final = (CONTENT_TYPE, "application/json")
_CODES: Final = {
    401: "UNAUTHENTICATED",
    403: "CSRF_FAILED",
    404: "NOT_FOUND",
    405: "METHOD_NOT_ALLOWED",
    413: "BODY_TOO_LARGE",
    429: "RATE_LIMITED",
    500: "INTERNAL",
}
_WORDS: Final = {
    404: "There is no such address.",
    405: "This address does not know that method.",
    500: "Something went wrong.",
}


class Problem(Exception):
    """Trouble that a caller is told about."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


def respond(status: int, code: str, message: str, **facts: Any) -> HttpResponse:
    """Answer with a problem."""
    content = {"type": "about:blank", "title": message, "status": status, "code": code, **facts}
    return HttpResponse(json.dumps(content), status=status, content_type=CONTENT_TYPE)


class StrictParser(Parser):
    """Reads JSON objects only: no other type, no duplicate keys, no NaN, no text that cannot be stored."""

    def parse_body(self, request: HttpRequest) -> dict[str, Any]:
        """Read the body."""
        if not request.body:
            return {}
        if request.content_type != "application/json":
            raise Problem(415, "CONTENT_TYPE", "Send application/json.")
        if len(request.body) > BODY_BYTES_MAX:
            raise Problem(413, "BODY_TOO_LARGE", f"Send at most {BODY_BYTES_MAX} bytes.")
        try:
            text = request.body.decode("utf-8")
            content = json.loads(text, object_pairs_hook=_object, parse_constant=_no_constant)
            _demand_clean(content)
        except Problem:
            raise
        except (ValueError, RecursionError):
            raise Problem(400, "BODY_NOT_JSON", "The body is not JSON.") from None
        if not isinstance(content, dict):
            raise Problem(400, "BODY_NOT_OBJECT", "Send a JSON object.")
        return content


def from_http_error(error: HttpError) -> HttpResponse:
    """Turn the framework's error into a problem."""
    if isinstance(error.__cause__ or error.__context__, Problem):
        # The framework wraps what a parser raises.
        problem = error.__cause__ or error.__context__
        assert isinstance(problem, Problem)
        return respond(problem.status, problem.code, str(problem))
    return respond(error.status_code, _CODES.get(error.status_code, "REQUEST_REFUSED"), str(error))


class ProblemMiddleware:
    """Give what Django itself refuses under the API's address the shape of a problem, too."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Pass on what our own code wrote; anything else is a page for people."""
        response = self.get_response(request)
        kind = response.headers.get("Content-Type", "").partition(";")[0]
        if response.status_code < 400 or not request.path.startswith(PREFIX) or kind in _OURS:
            return response
        words = _WORDS.get(response.status_code, "The request was refused.")
        problem = respond(response.status_code, _CODES.get(response.status_code, "REQUEST_REFUSED"), words)
        if "Allow" in response:
            problem["Allow"] = response["Allow"]
        return problem


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) < len(pairs):
        raise Problem(400, "BODY_DUPLICATE_KEY", "A key stands twice in the body.")
    return content


def _no_constant(name: str) -> NoReturn:
    raise Problem(400, "BODY_NOT_JSON", f"{name} is not a JSON number.")


def _demand_clean(content: Any) -> None:
    if isinstance(content, str):
        content.encode("utf-8")
        if len(content) > TEXT_MAX or any(ord(letter) < 32 and letter not in "\n\t\r" for letter in content):
            raise Problem(400, "TEXT_REFUSED", "A text is too long or has control characters.")
    elif isinstance(content, dict):
        for key, value in content.items():
            _demand_clean(key)
            _demand_clean(value)
    elif isinstance(content, list):
        for value in content:
            _demand_clean(value)
