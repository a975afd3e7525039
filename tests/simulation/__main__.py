"""Live through histories: `python -m tests.simulation --seed 7` prints one, with `--histories 1000` many are counted."""

from __future__ import annotations

import argparse
import os
import sys
import time
import traceback


def main() -> int:
    """Run what is asked for."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seed", type=int, default=0, help="the first seed, or the only one")
    parser.add_argument("--histories", type=int, default=1, help="how many seeds from there on")
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--shell", choices=("memory", "postgresql"), default="memory")
    arguments = parser.parse_args()
    if arguments.shell == "postgresql":
        sys.stdout.write("Run them as tests: .venv/bin/pytest -m nightly tests/simulation/test_postgresql.py\n")
        return 2
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.typing_settings")
    import django

    django.setup()
    if arguments.histories == 1:
        return _show(arguments.seed, arguments.steps)
    from tests.simulation.tiers import run

    began = time.monotonic()
    tally = run(range(arguments.seed, arguments.seed + arguments.histories), steps=arguments.steps)
    sys.stdout.write(f"{tally.table()}\nnever fired: {tally.never_fired or 'none'}\n{time.monotonic() - began:.1f} s\n")
    return 1 if tally.broken else 0


def _show(seed: int, steps: int) -> int:
    from tests.simulation.history import History

    history = History(seed, steps=steps)
    try:
        result = history.run()
    except Exception:  # noqa: BLE001 - shown, whatever it is.
        sys.stdout.write("\n".join(history.world.diary) + "\n")
        traceback.print_exc(limit=4)
        return 1
    sys.stdout.write("\n".join(history.world.diary) + f"\n{result}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
