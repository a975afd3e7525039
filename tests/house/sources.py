"""The sources that house rules read: what git tracks, parsed once."""

from __future__ import annotations

import ast
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent.parent
DJANGO_APPS = ("stream", "marketdata", "portfolio", "bots", "backtests", "trials", "tradeapp")
PURE = ("trading", "strategies")
PACKAGES = (*DJANGO_APPS, *PURE, "exchange", "venue", "history_fetcher", "plugins")


@dataclass(frozen=True, slots=True)
class Source:
    """One Python file."""

    path: str
    text: str
    tree: ast.Module

    @property
    def package(self) -> str:
        """Return the top-level folder."""
        return self.path.split("/")[0]

    @property
    def line_count(self) -> int:
        """Return how many lines the file has."""
        return self.text.count("\n")

    def functions(self) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
        """Yield all functions, nested ones included."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield node


@cache
def tracked_files() -> tuple[str, ...]:
    """Return what git tracks, and what it would track if it were added."""
    answer = subprocess.run(
        ["git", "-c", f"safe.directory={PROJECT}", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=PROJECT,
        capture_output=True,
        check=True,
        text=True,
    )
    return tuple(name for name in sorted(set(answer.stdout.split("\0"))) if name and (PROJECT / name).is_file())


@cache
def python_sources() -> tuple[Source, ...]:
    """Return every Python file but generated migrations."""
    paths = [name for name in tracked_files() if name.endswith(".py") and "/migrations/" not in name]
    texts = {name: (PROJECT / name).read_text(encoding="utf-8") for name in paths}
    return tuple(Source(name, text, ast.parse(text, filename=name)) for name, text in texts.items())


def product_sources() -> tuple[Source, ...]:
    """Return the Python files of the product's own packages."""
    return tuple(source for source in python_sources() if source.package in PACKAGES)


def is_excused(source: Source, line: int) -> bool:
    """Tell whether a line names why it is an exception: `# house: <reason>` at its end. Exceptions may only shrink."""
    return "# house: " in source.text.splitlines()[line - 1]


def dotted_name(node: ast.expr) -> str:
    """Return `a.b.c` for a chain of attributes, or nothing for anything else."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        before = dotted_name(node.value)
        return f"{before}.{node.attr}" if before else ""
    return ""


def imports(source: Source) -> Iterator[tuple[int, str]]:
    """Yield line and full name of everything imported at run time."""
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)
