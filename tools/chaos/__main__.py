"""Break a running installation, again and again, and prove that nothing was lost, doubled or left unexplained.

    make chaos                          # everything: 200 kills, a frozen trader, starts with work waiting
    make chaos ARGS="--kills 10"        # fewer kills
    python -m tools.chaos --only kills --kills 50 --seed 7 --json

Starts the whole product in a temporary data directory over the synthetic market. Exit code 0 when every promise held, 1 when one
was broken, 2 when something that had to come back did not.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

from tools.chaos import rest
from tools.chaos.kills import Campaign
from tools.chaos.starts import Starts
from tools.chaos.system import Stuck, System
from tools.chaos.zombie import Freeze

CHECK_EVERY = 20


def main() -> int:
    """Run the parts that are asked for."""
    # Also when started in the background, where shells have it ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    arguments = _arguments()
    began = time.monotonic()
    facts: dict[str, Any] = {"seed": arguments.seed}
    with tempfile.TemporaryDirectory(prefix="tradeapp-chaos-", ignore_cleanup_errors=True) as folder:
        # Root's servers run under another account, which must get here.
        Path(folder).chmod(0o711)
        home = arguments.attach or arguments.data_dir or Path(folder) / "data"
        system = System(home, arguments.port, arguments.speed, is_running=arguments.attach is not None)
        try:
            with system:
                for name, part in PARTS.items():
                    if name in arguments.only:
                        facts[name] = part(system, arguments)
        except Stuck as stuck:
            print(f"STUCK: {stuck}", file=sys.stderr, flush=True)
            return 2
    facts["seconds"] = round(time.monotonic() - began)
    broken = [line for name in arguments.only for line in facts[name]["violations"]]
    if arguments.json:
        print(json.dumps(facts, indent=1))
    for line in broken:
        print(f"BROKEN {line}", flush=True)
    print(f"chaos: {len(broken)} promises broken" if broken else "chaos: nothing lost, nothing doubled, nothing unbalanced")
    return 1 if broken else 0


def _kills(system: System, arguments: argparse.Namespace) -> dict[str, Any]:
    """Kill at random; at the end the independent audit has the last word."""
    token = system.make_token()
    campaign = Campaign(system, Random(arguments.seed))
    campaign.run(arguments.kills, check_every=CHECK_EVERY)
    rest.come_to_rest(system)
    campaign.violations += rest.audit(system, token)
    rest.go_on(system)
    print(campaign.report(), flush=True)
    return campaign.facts()


def _zombie(system: System, arguments: argparse.Namespace) -> dict[str, Any]:
    """Freeze the trader for longer than its lease."""
    return Freeze(system, arguments.frozen_seconds).run()


def _starts(system: System, arguments: argparse.Namespace) -> dict[str, Any]:
    """Time starts with work waiting; last, because it stops the bots and trades by hand."""
    return Starts(system).run(orders=arguments.open_orders, trades=arguments.missed_trades)


PARTS: dict[str, Callable[[System, argparse.Namespace], dict[str, Any]]] = {
    "kills": _kills,
    "zombie": _zombie,
    "starts": _starts,
}


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=200, help="how many processes to kill (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="seed of victims and moments (default: %(default)s)")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS), help="run some parts only")
    parser.add_argument("--frozen-seconds", type=float, default=120.0, help="how long the trader stands still (%(default)s)")
    parser.add_argument("--open-orders", type=int, default=200, help="orders that rest when a trader starts (%(default)s)")
    parser.add_argument("--missed-trades", type=int, default=10_000, help="trades that a trader missed (%(default)s)")
    parser.add_argument("--port", type=int, default=8590, help="port of the dashboard (default: %(default)s)")
    parser.add_argument("--speed", type=float, default=600.0, help="market seconds for each second (default: %(default)s)")
    parser.add_argument("--data-dir", type=Path, help="keep everything in this directory instead of a temporary one")
    parser.add_argument("--json", action="store_true", help="print everything that was measured")
    parser.add_argument("--attach", type=Path, metavar="DIR", help="attack the installation that runs in this data directory")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
