"""Run a command, and give a person one clear message instead of a traceback when trouble was expected."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from django.core.exceptions import ImproperlyConfigured
from django.core.management import execute_from_command_line
from django.db import OperationalError


def run(arguments: Sequence[str]) -> int:
    """Run one management command; answer the exit code."""
    try:
        execute_from_command_line(list(arguments))
    except ImproperlyConfigured as error:
        print(f"Configuration: {error}", file=sys.stderr)
        return 2
    except OperationalError as error:
        reason = str(error).strip().splitlines()
        print(f"The database does not answer: {reason[0] if reason else error}", file=sys.stderr)
        print("Start the system with `make run`, or set DATABASE_URL; `python manage.py doctor` says more.", file=sys.stderr)
        return 3
    return 0
