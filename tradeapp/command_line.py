"""Run a command, and give a person one clear message instead of a traceback when trouble was expected."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from django.core.exceptions import ImproperlyConfigured

from tradeapp.up.trouble import UnableToStart


def run(arguments: Sequence[str]) -> int:
    """Run one management command; answer the exit code."""
    try:
        if list(arguments[1:2]) == ["up"]:
            # The supervisor stays small: it loads neither apps nor models.
            from tradeapp.up import start

            return start.main(arguments[2:])
        return _run_django(arguments)
    except UnableToStart as trouble:
        print(f"Unable to start: {trouble}", file=sys.stderr)
        return 1
    except ImproperlyConfigured as error:
        print(f"Configuration: {error}", file=sys.stderr)
        return 2


def _run_django(arguments: Sequence[str]) -> int:
    from django.core.management import execute_from_command_line
    from django.db import OperationalError

    try:
        execute_from_command_line(list(arguments))
    except OperationalError as error:
        reason = str(error).strip().splitlines()
        print(f"The database does not answer: {reason[0] if reason else error}", file=sys.stderr)
        print(
            "Start the system with `make run`, or set DATABASE_URL; `python manage.py doctor` says more.",
            file=sys.stderr,
        )
        return 3
    return 0
