"""Read what mutmut noted, and say how it went."""

from __future__ import annotations

import ast
import difflib
import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

LEAST: Final = 90.0
_SURVIVED, _NO_TESTS, _UNTRIED = 0, 33, None
# Stopped for taking many times as long as the right code: it was noticed, but by the clock.
_TIMEOUTS: Final = (-24, 24, 36, 152, 255)


@dataclass(frozen=True)
class Mutant:
    """One wrong turn and what became of it."""

    name: str
    path: str
    exit_code: int | None
    change: str

    @property
    def is_noticed(self) -> bool:
        """Say whether a test failed."""
        return self.exit_code not in (_SURVIVED, _NO_TESTS, _UNTRIED)


def read(copy: Path) -> list[Mutant]:
    """Return every mutant of the copy, with what it changes when it lives."""
    found = []
    for meta in sorted((copy / "mutants").rglob("*.py.meta")):
        codes: dict[str, int | None] = json.loads(meta.read_text())["exit_code_by_key"]
        if codes:
            path = str(meta.relative_to(copy / "mutants").with_suffix(""))
            functions = _functions(meta.with_suffix(""))
            for name, code in codes.items():
                change = _change(functions, name) if code in (_SURVIVED, _NO_TESTS) else ""
                found.append(Mutant(name, path, code, change))
    return found


def forget_survivors(copy: Path) -> None:
    """Have mutmut try again what lived, and see anew which test reaches what; it tries whatever has no verdict."""
    (copy / "mutants" / "mutmut-stats.json").unlink(missing_ok=True)
    for meta in (copy / "mutants").rglob("*.py.meta"):
        content = json.loads(meta.read_text())
        codes = content["exit_code_by_key"]
        content["exit_code_by_key"] = {name: None if code in (_SURVIVED, _NO_TESTS) else code for name, code in codes.items()}
        meta.write_text(json.dumps(content))


def score(mutants: Iterable[Mutant]) -> float:
    """Return how many of a hundred were noticed; one that was not tried was not noticed."""
    verdicts = [mutant.is_noticed for mutant in mutants]
    return 100 * sum(verdicts) / max(len(verdicts), 1)


def table(mutants: Sequence[Mutant]) -> str:
    """Say for each file how many wrong turns were noticed."""
    files = defaultdict(list)
    for mutant in mutants:
        files[mutant.path].append(mutant)
    rows = [_row(path, those) for path, those in files.items()]
    return "\n".join(
        [f"{'file':38}{'mutants':>8}{'lived':>7}{'timeout':>9}{'untried':>9}{'score':>8}", *rows, _row("all", mutants), ""]
    )


def unlisted(mutants: Iterable[Mutant], page: str) -> list[Mutant]:
    """Return the survivors of which the page says nothing."""
    return [mutant for mutant in mutants if mutant.change and mutant.change not in page]


def _row(name: str, mutants: Sequence[Mutant]) -> str:
    lived = sum(mutant.exit_code in (_SURVIVED, _NO_TESTS) for mutant in mutants)
    timeouts = sum(mutant.exit_code in _TIMEOUTS for mutant in mutants)
    untried = sum(mutant.exit_code is _UNTRIED for mutant in mutants)
    return f"{name:38}{len(mutants):>8}{lived:>7}{timeouts:>9}{untried:>9}{score(mutants):>7.1f}%"


def _functions(path: Path) -> dict[str, list[str]]:
    """Return the lines of each function of a mutated file, by its generated name."""
    source = path.read_text()
    lines = source.splitlines()
    tree = ast.parse(source)
    nodes = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    return {node.name: lines[node.lineno - 1 : node.end_lineno] for node in nodes if "__mutmut_" in node.name}


def _change(functions: dict[str, list[str]], name: str) -> str:
    """Return what a mutant changes: `function: old -> new`."""
    mutated = name.rpartition(".")[2]
    stem = mutated.rpartition("__mutmut_")[0]
    right, wrong = ([line.strip() for line in functions[one][1:]] for one in (f"{stem}__mutmut_orig", mutated))
    delta = [line for line in difflib.ndiff(right, wrong) if line[0] in "+-"]
    old = " ".join(line[2:] for line in delta if line[0] == "-")
    new = " ".join(line[2:] for line in delta if line[0] == "+")
    title = stem.removeprefix("x_").removeprefix("xǁ").replace("ǁ", ".")
    return f"{title}: {old} -> {new}"
