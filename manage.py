#!/usr/bin/env python
"""Run a management command of the project."""

import os
import sys

from tradeapp.command_line import run


def main() -> None:
    """Hand the command line to Django and turn expected trouble into one clear message."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tradeapp.settings")
    sys.exit(run(sys.argv))


if __name__ == "__main__":
    main()
