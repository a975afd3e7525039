"""Print the fingerprint of every case; run with NUMBA_DISABLE_JIT=1 it is plain Python that decides."""

from __future__ import annotations

import json
import sys

from tests.strategies.cases import CASES, fingerprint, market, simulation
from tests.strategies.panels import PANELS, ROUGH, panel_fingerprint, panel_market, panel_simulation, rough_simulation


def main(bars: int) -> None:
    """Run every case over so many bars."""
    prints = {}
    for case in CASES:
        prepared = simulation(case, candles=market(bars))
        prepared.run()
        prints[case] = [fingerprint(prepared), int(prepared.world[0].fill_count)]
    for case in PANELS:
        together = panel_simulation(case, candles=panel_market(bars))
        together.run()
        prints[f"panel {case}"] = [panel_fingerprint(together), int(together.worlds[0].fill_count)]
    for case in ROUGH:
        rough = rough_simulation(case, bars=bars)
        rough.run()
        prints[f"rough {case}"] = [panel_fingerprint(rough), int(rough.worlds[0].fill_count)]
    json.dump(prints, sys.stdout)


if __name__ == "__main__":
    main(int(sys.argv[1]))
