"""List strategies, write a new one, and check any: shipped or a user's."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

import numpy as np
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from plugins import folder as own
from plugins.source import FolderSource
from plugins.template import STRATEGY, TEST
from strategies import checks, registry
from trading.bars import Floats


class Command(BaseCommand):
    """Translate the command line into files and findings."""

    help = "List strategies, write a new one, or check that one keeps what every strategy promises."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Describe the command line."""
        actions = parser.add_subparsers(dest="action", required=True)
        actions.add_parser("list", help="name the shipped strategies and your own")
        new = actions.add_parser("new", help="write a strategy of your own, and its test, to start from")
        new.add_argument("name")
        check = actions.add_parser("check", help="look-ahead, warm-up, restart and gaps; all strategies if none is named")
        check.add_argument("names", nargs="*", metavar="NAME")
        check.add_argument("--bars", type=int, default=1500)
        check.add_argument("--seconds", type=int, default=120, help="time for a strategy of your own")
        for action in actions.choices.values():
            action.add_argument("--folder", type=Path, default=settings.STRATEGIES_DIR)

    def handle(self, *_args: Any, **options: Any) -> None:
        """Do it; a person sees a message, never a traceback."""
        folder: Path = options["folder"].resolve()
        try:
            if options["action"] == "list":
                self._list(folder)
            elif options["action"] == "new":
                self._new(folder, options["name"])
            else:
                self._check(folder, options)
        except ValueError as error:
            raise CommandError(str(error)) from error

    def _list(self, folder: Path) -> None:
        for name in registry.shipped_names():
            self.stdout.write(f"{name:16} {registry.definition(name).summary}")
        for name in own.names(folder):
            is_hidden = name in registry.shipped_names()
            words = "is never run: a shipped strategy has its name" if is_hidden else f"your own: {folder / name}.py"
            self.stdout.write(f"{name:16} {words}")

    def _new(self, folder: Path, name: str) -> None:
        if not own.NAME.fullmatch(name):
            raise CommandError(f"{name!r} is no name: write small letters, digits and _, such as my_idea")
        if name in registry.shipped_names() or own.find(folder, name):
            raise CommandError(f"There is a strategy {name} already")
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        words = {"name": name, "title": name.replace("_", " ").title().replace(" ", "")}
        for file, text in ((f"{name}.py", STRATEGY), (f"test_{name}.py", TEST)):
            (folder / file).write_text(text.format(**words), encoding="utf-8")
            # One that others may write is never run.
            (folder / file).chmod(0o600)
        self.stdout.write(f"Wrote {folder / name}.py and its test. Try: strategies check {name}")

    def _check(self, folder: Path, options: dict[str, Any]) -> None:
        theirs = [name for name in own.names(folder) if name not in registry.shipped_names()]
        broken = 0
        for name in options["names"] or [*registry.shipped_names(), *theirs]:
            if name in theirs:
                findings, walls = _own_findings(folder, name, options)
            else:
                findings, walls = _shipped_findings(name, options), ""
            broken += sum(not finding.is_kept for finding in findings)
            self.stdout.write(f"{name}: {'keeps every promise' if all(one.is_kept for one in findings) else 'BREAKS a promise'}")
            for finding in findings:
                self.stdout.write(f"  {'ok  ' if finding.is_kept else 'NOT '} {finding.promise}  {finding.detail}")
            if walls:
                self.stdout.write(f"  {walls}")
        if broken:
            raise CommandError(f"{broken} promises are not kept")


def _shipped_findings(name: str, options: dict[str, Any]) -> list[checks.Finding]:
    definition = registry.definition(name)
    panel = _candles(options["bars"], definition.symbols_least)
    return list(checks.check_strategy(definition, registry.make_params(name), panel))


def _own_findings(folder: Path, name: str, options: dict[str, Any]) -> tuple[list[checks.Finding], str]:
    """Check a user's strategy in its own process, and say what that process is shut off from."""
    source = FolderSource(lambda: folder)
    try:
        definition = source.definition(name)
        assert definition is not None
        panel = _candles(options["bars"], definition.symbols_least)
        findings = source.promises(name, panel, seconds=options["seconds"])
        walls = source.walls(name)
    finally:
        source.close()
    missing = [wall for wall in ("network", "files") if wall not in walls]
    words = (
        f"this system cannot shut it off from: {', '.join(missing)}" if missing else "shut off from the network and your files"
    )
    return [checks.Finding(promise, is_kept, detail) for promise, is_kept, detail in findings], words


def _candles(bars: int, markets: int) -> Floats:
    """Draw markets that are calm and wild in turn; the same ones every time."""
    random = np.random.default_rng(1)
    panel, volumes = np.empty((5, markets, bars)), np.full(bars, 50.0)
    for market in range(markets):
        calm = np.repeat(random.choice([0.0006, 0.0018, 0.004], size=bars // 50 + 1), 50)[:bars]
        closes = 3000.0 * np.exp(np.cumsum(random.standard_t(4, size=bars) * calm))
        opens = np.append(3000.0, closes[:-1])
        panel[:, market] = opens, np.maximum(opens, closes) * (1 + calm), np.minimum(opens, closes) * (1 - calm), closes, volumes
    return panel
