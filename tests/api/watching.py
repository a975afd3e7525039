"""Watch what a request writes: whatever changes a table of ours leaves an audit row with the request's name."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

from django.db import connection

_WRITES: Final = re.compile(r'^\s*(?:INSERT INTO|UPDATE|DELETE FROM)\s+"?(\w+)"?', re.IGNORECASE)
# What is no state of anybody's: the audit itself, answers kept for repetitions, sessions, counters of failed attempts.
_TECHNICAL: Final = (
    "portfolio_auditentry",
    "tradeapp_idempotencykey",
    "tradeapp_apitoken",
    "tradeapp_secondfactor",
    "django_session",
    "axes_",
)


@contextmanager
def writes() -> Iterator[set[str]]:
    """Collect the names of the tables that are written."""
    found: set[str] = set()

    def look(execute: Callable[..., Any], sql: Any, *rest: Any) -> Any:
        answer, match = execute(sql, *rest), _WRITES.match(str(sql))
        # The last argument is Django's context. A statement that met no row changed nothing.
        if match and rest[-1]["cursor"].rowcount and not match[1].startswith(_TECHNICAL):
            found.add(match[1])
        return answer

    with connection.execute_wrapper(look):
        yield found
