"""Strategies as users write them: from the template, with one line changed, in a folder of their own."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import numpy as np
import psutil

from plugins.process import Limits
from plugins.source import FolderSource
from plugins.template import STRATEGY
from strategies import checks, registry
from tests.trading.markets import random_walk
from trading.bars import Floats, to_panel

FIRST_LINE = "    me, money, p = state[0], book[0], params[0]"


def candles(bars: int = 60) -> Floats:
    """Draw a market."""
    return to_panel(random_walk(seed=4, bars=bars))


def write(folder: Path, name: str = "mine", line: str = "", *, head: str = "") -> Path:
    """Write the template, with a line at the beginning of its step and others at the top of the file."""
    folder.mkdir(exist_ok=True, mode=0o700)
    path, body = folder / f"{name}.py", STRATEGY.format(name=name, title=name.title())
    assert FIRST_LINE in body
    body = body.replace(FIRST_LINE, f"    {line}\n{FIRST_LINE}") if line else body
    path.write_text(head + body, encoding="utf-8")
    path.chmod(0o600)
    return path


def line_of(path: Path, line: str) -> int:
    """Answer the number of a line of the step."""
    return path.read_text(encoding="utf-8").splitlines().index(f"    {line}") + 1


def walk(source: FolderSource, panel: Floats, name: str = "mine") -> checks.Walk:
    """Step a user's strategy over a market, as every shell does."""
    definition = source.definition(name)
    assert definition is not None
    return checks.walk(definition, registry.record_of(definition, {}), np.ascontiguousarray(panel))


def quick(folder: Path) -> FolderSource:
    """Open a folder with little patience."""
    return FolderSource(lambda: folder, Limits(seconds=1, seconds_waited=5))


def children() -> list[psutil.Process]:
    """List the living processes of users' strategies that this process has started."""
    found = []
    for child in psutil.Process().children():
        # One that has just ended has no command line any more.
        with suppress(psutil.Error):
            if "plugins.child" in child.cmdline():
                found.append(child)
    return found
