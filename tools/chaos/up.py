"""Run the real `up`, but restart what ends at once.

`up` waits up to thirty seconds before it starts a process again that keeps crashing. Here every crash is made, so waiting would
measure the supervisor's patience and nothing else.
"""

from __future__ import annotations

import sys

from tradeapp import command_line
from tradeapp.up import child

RESTART_SECONDS = 0.2


def main() -> int:
    """Run `up` with the words of the command line."""
    child.BACK_OFF_SECONDS = (RESTART_SECONDS,)
    return command_line.run(["manage.py", "up", *sys.argv[1:]])


if __name__ == "__main__":
    sys.exit(main())
