"""Put wrong turns into the money's code, one at a time, and see whether the tests notice.

`make mutation` copies the tree into `var/mutation`, has mutmut try each wrong turn there and reports; docs/mutation.md says what
is mutated and why the survivors may live. `--again` goes on in the copy that is there: only survivors and what was not yet tried.
"""

from __future__ import annotations

import argparse
import ast
import os
import shutil
import subprocess
import sys
from pathlib import Path

from tools.mutation import report

PROJECT = Path(__file__).resolve().parents[2]
COPY = PROJECT / "var" / "mutation"
_DECORATOR = "@exactly"


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
        report.forget_survivors(COPY)
        _copy()
        command = [str(Path(sys.executable).parent / "mutmut"), "run", "--max-children", str(arguments.children)]
        # Every wrong turn imports the tests anew: compiled, they are there at once.
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        subprocess.run(command, cwd=COPY, check=True, env=environment)
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
            if name.startswith("trading/") and target.suffix == ".py" and _DECORATOR in (text := target.read_text()):
                target.write_text(undecorated(text))
                shutil.copystat(source, target)


def undecorated(source: str) -> str:
    """Say `function = exactly(function)` behind each function that is decorated so: mutmut leaves decorated ones alone."""
    lines = source.splitlines(keepends=True)
    functions = [node for node in ast.parse(source).body if isinstance(node, ast.FunctionDef)]
    for node in reversed(functions):
        if [ast.unparse(one) for one in node.decorator_list] == [_DECORATOR.removeprefix("@")]:
            lines.insert(node.end_lineno or node.lineno, f"\n\n{node.name} = exactly({node.name})\n")
            del lines[node.decorator_list[0].lineno - 1]
    return "".join(lines)


if __name__ == "__main__":
    sys.exit(main())
