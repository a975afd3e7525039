"""Show, apply and export line-ups."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.core.serializers.json import DjangoJSONEncoder
from django.utils import timezone

from bots import lineups, selectors
from bots.lineup_view import lineup_view
from bots.services import UnableToOperate
from bots.services.lineups import UnableToLineUp, apply_lineup, diff_lineup, export_lineup
from portfolio.services import UnableToAllocate
from trading.ledger import plain

EXPECTED = (selectors.AccountUnclear, lineups.BadPlan, UnableToLineUp, UnableToAllocate, UnableToOperate)


class Command(BaseCommand):
    """Line-ups of bots."""

    help = "Line-ups: list, diff A|B|FILE, apply A|B|FILE, export [FILE]. `apply` is all or nothing."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the words of the command."""
        parser.add_argument("--account", type=int, help="id of the account; default: the one enabled account")
        parser.add_argument("--json", action="store_true", help="print facts as JSON")
        actions = parser.add_subparsers(dest="action", required=True)
        actions.add_parser("list", help="the line-ups that ship with the product")
        for name, what in (("diff", "what a line-up would do"), ("apply", "carry a line-up out")):
            action = actions.add_parser(name, help=what)
            action.add_argument("plan", metavar="A|B|FILE")
            action.add_argument("--without", nargs="+", default=[], metavar="KEY", help="leave these bots of the plan out")
            action.add_argument("--start", action="store_true", help="start its bots")
        export = actions.add_parser("export", help="write the account's bots and shares as a plan file")
        export.add_argument("file", nargs="?", type=Path, help="default: the terminal")
        for action in actions.choices.values():
            action.add_argument("--json", action="store_true", default=argparse.SUPPRESS, help="print facts as JSON")

    def handle(self, *_words: Any, **options: Any) -> None:
        """Do what was asked and say what came of it."""
        try:
            if options["action"] == "list":
                self._list()
                return
            account_id = options["account"] or selectors.only_account()
            if options["action"] == "export":
                self._export(account_id, options["file"])
                return
            plan = _plan(options["plan"], options["without"])
            diff = diff_lineup(account_id=account_id, plan=plan)
            if options["action"] == "apply":
                apply_lineup(account_id=account_id, plan=plan, by=None, now=timezone.now(), is_starting=options["start"])
        except EXPECTED as error:
            raise CommandError("\n".join(getattr(error, "errors", None) or [str(error)])) from error
        self._show(lineup_view(diff), as_json=options["json"])

    def _list(self) -> None:
        for name, path in lineups.SHIPPED.items():
            try:
                bots = ", ".join(f"{bot.name} {plain(bot.percent)} %" for bot in lineups.load(path).bots)
            except lineups.BadPlan as error:
                bots = f"cannot be used: {error}"
            self.stdout.write(f"{name}: {bots}")

    def _export(self, account_id: int, file: Path | None) -> None:
        text = json.dumps(lineups.content_of(export_lineup(account_id)), indent=2) + "\n"
        if file is None:
            self.stdout.write(text, ending="")
            return
        try:
            file.write_text(text, encoding="utf-8")
        except OSError as error:
            raise CommandError(f"{file} cannot be written: {error.strerror}") from error
        self.stdout.write(f"Written to {file}.")

    def _show(self, view: dict[str, Any], *, as_json: bool) -> None:
        if as_json:
            self.stdout.write(json.dumps(view, cls=DjangoJSONEncoder))
            return
        for step in view["steps"]:
            changes = "".join(f"\n    {row['field']}: {row['before']} -> {row['after']}" for row in step["changes"])
            shares = f"{plain(step['percent_before'])} -> {plain(step['percent_after'])} %"
            self.stdout.write(f"{step['action']:<7} {step['bot']:<24} {shares}{changes}")
        for obstacle in view["obstacles"]:
            self.stdout.write(f"In the way: {obstacle}")


def _plan(word: str, without: list[str]) -> lineups.Plan:
    path = lineups.SHIPPED.get(word.upper(), Path(word))
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise lineups.BadPlan(f"The plan {path} cannot be read: {getattr(error, 'strerror', None) or error}.") from error
    return lineups.parse(text, source=f"The plan {path}", name=path.stem, without=[key.upper() for key in without])
