"""Put wrong turns into the money's code, one at a time, and see whether the tests notice.

`make mutation` copies the tree into `var/mutation`, has mutmut try each wrong turn there and reports; docs/mutation.md says what
is mutated and why the survivors may live. `--again` goes on in the copy that is there: only survivors and what was not yet tried.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from pathlib import Path

from tools.mutation import report

PROJECT = Path(__file__).resolve().parents[2]
COPY = PROJECT / "var" / "mutation"


def main() -> int:
    """Run what is asked for; answer 1 when the score is too low or a survivor has no reason."""
    parser = argparse.ArgumentParser(prog="python -m tools.mutation", description=__doc__)
    parser.add_argument("--again", action="store_true", help="try survivors anew, and what the last run left untried")
    parser.add_argument("--report", action="store_true", help="try nothing; report on the last run")
    parser.add_argument("--children", type=int, default=1, help="how many wrong turns at a time")
    arguments = parser.parse_args()
    if not arguments.report:
        if not arguments.again:
            shutil.rmtree(COPY, ignore_errors=True)
        survivors = [mutant.name for mutant in report.read(COPY) if not mutant.is_noticed]
        _copy()
        command = [str(Path(sys.executable).parent / "mutmut"), "run", "--max-children", str(arguments.children), *survivors]
        subprocess.run(command, cwd=COPY, check=True)
    found = report.read(COPY)
    sys.stdout.write(report.table(found))
    unlisted = report.unlisted(found, (PROJECT / "docs" / "mutation.md").read_text())
    sys.stdout.writelines(f"not in docs/mutation.md: {mutant.name}\n{mutant.change}\n" for mutant in unlisted)
    return 1 if unlisted or report.score(found) < report.LEAST else 0


def _copy() -> None:
    """Copy what git would commit: wrong turns never stand in the tree itself."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"], cwd=PROJECT, check=True, capture_output=True
    )
    for name in filter(None, listed.stdout.decode().split("\0")):
        source, target = PROJECT / name, COPY / name
        if source.is_file() and not source.is_symlink():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target)


if __name__ == "__main__":
    sys.exit(main())
