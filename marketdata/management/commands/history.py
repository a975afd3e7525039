"""Fetch, check, list, import and export history from the command line."""

from __future__ import annotations

import json
import signal
import threading
import time
from argparse import ArgumentParser
from dataclasses import asdict
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from history_fetcher.fetch import add_flags, as_text, request_of
from history_fetcher.progress import Progress, teller
from history_fetcher.run import Run
from history_fetcher.trouble import Trouble
from history_fetcher.verify import verify
from history_fetcher.wire import Wire
from marketdata.candles import moment
from marketdata.history import catalog, files


class Command(BaseCommand):
    """Translate the command line into work on the history root."""

    help = "Fetch, verify, list, import and export price history."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Describe the command line."""
        actions = parser.add_subparsers(dest="action", required=True)
        fetch = actions.add_parser("fetch", help="download what is missing")
        add_flags(fetch)
        # Not the fetcher's own default: the house has a root.
        fetch.set_defaults(root=str(settings.HISTORY_ROOT))
        imports = actions.add_parser("import", help="take candles from files of other programs")
        imports.add_argument("files", nargs="+", metavar="FILE", help="Parquet, CSV, freqtrade feather or json")
        imports.add_argument("--exchange", default="binance")
        imports.add_argument("--symbol", default="", help="where the file's name does not say it")
        imports.add_argument("--interval", default="")
        export = actions.add_parser("export", help="write a series for other programs")
        export.add_argument("--exchange", default="binance")
        export.add_argument("--symbol", required=True, help="BTC/USDT: freqtrade's file names need the slash")
        export.add_argument("--interval", required=True)
        export.add_argument("--format", choices=files.FORMATS, default="feather")
        export.add_argument("--to", required=True, metavar="DIR")
        for name, words in (("verify", "check every file against the manifest"), ("coverage", "list what is there and its gaps")):
            actions.add_parser(name, help=words)
        for action in (imports, export, actions.choices["verify"], actions.choices["coverage"]):
            action.add_argument("--root", default=str(settings.HISTORY_ROOT))
        for action in actions.choices.values():
            action.add_argument("--json", action="store_true")

    def handle(self, *_args: Any, **options: Any) -> None:
        """Do one of them; a person sees a message, never a traceback."""
        root = Path(options["root"]).expanduser().absolute()
        try:
            facts, text, code = getattr(self, f"_{options['action']}")(root, options)
        except Trouble as error:
            raise CommandError(str(error), returncode=error.exit_code) from error
        except (LookupError, ValueError) as error:
            raise CommandError(str(error)) from error
        self.stdout.write(json.dumps(facts, indent=1) if options["json"] else text)
        if code:
            raise SystemExit(code)

    def _fetch(self, _root: Path, options: dict[str, Any]) -> tuple[Any, str, int]:
        now = time.time_ns() // 1_000_000
        request = request_of(options, now=now)
        stop = threading.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda _number, _frame: stop.set())
        progress = Progress(teller()) if not options["json"] else Progress()
        wire = Wire(stop, timeout_seconds=options["timeout"], on_bytes=lambda count: progress.add(size=count))
        outcome = Run(request, wire=wire, progress=progress, now=now).run()
        return asdict(outcome), as_text(request, outcome), outcome.exit_code

    def _verify(self, root: Path, _options: dict[str, Any]) -> tuple[Any, str, int]:
        problems = verify(root)
        count = len(catalog.series(root))
        text = "\n".join(problems) or f"{count} series in {root} are as the manifest says."
        return {"problems": problems, "series": count}, text, int(bool(problems))

    def _coverage(self, root: Path, _options: dict[str, Any]) -> tuple[Any, str, int]:
        found = catalog.series(root)
        lines = [f"{'series':32} {'candles':>10}  {'first':16}  {'last':16}  {'gaps':>5} {'missing':>8}"]
        lines += [
            f"{one.name:32} {one.rows:>10}  {moment(one.first):%Y-%m-%d %H:%M}  {moment(one.last):%Y-%m-%d %H:%M}  "
            f"{len(one.gaps):>5} {one.missing:>8}"
            for one in found
        ]
        return [_facts(one) for one in found], "\n".join(lines) if found else f"{root} holds no candles yet.", 0

    def _import(self, root: Path, options: dict[str, Any]) -> tuple[Any, str, int]:
        done = [
            files.import_file(
                Path(name), root=root, exchange=options["exchange"], symbol=options["symbol"], interval=options["interval"]
            )
            for name in options["files"]
        ]
        lines = [f"{one.series}: {one.rows} rows, {one.refused} refused, {one.restated} restated" for one in done]
        return [asdict(one) for one in done], "\n".join(lines), 0

    def _export(self, root: Path, options: dict[str, Any]) -> tuple[Any, str, int]:
        path = files.export_series(
            root,
            exchange=options["exchange"],
            symbol=options["symbol"],
            interval=options["interval"],
            form=options["format"],
            folder=Path(options["to"]),
        )
        return {"file": str(path)}, str(path), 0


def _facts(one: catalog.Series) -> dict[str, Any]:
    facts = asdict(one)
    return {name: facts[name] for name in ("exchange", "symbol", "interval", "rows", "first", "last", "gaps", "missing")}
