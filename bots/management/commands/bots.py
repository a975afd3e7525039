"""Operate bots from the command line."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from bots import lineups, selectors, services
from bots.models import Bot
from strategies.registry import BadParameter, UnknownStrategy
from trading.bars import BadInterval
from trading.instruments import UnknownSymbol

OPERATIONS = {
    "start": services.start_bot,
    "stop": services.stop_bot,
    "pause": services.pause_bot,
    "resume": services.resume_bot,
    "flatten": services.flatten_bot,
}
EXPECTED = (
    selectors.AccountUnclear,
    services.UnableToOperate,
    lineups.UnknownBot,
    lineups.BadPlan,
    UnknownStrategy,
    BadParameter,
    UnknownSymbol,
    BadInterval,
)


class Command(BaseCommand):
    """List, create, start, stop, pause, resume and flatten bots."""

    help = "Operate bots: list, create, start, stop, pause, resume, flatten. `stop` leaves positions, `flatten` closes them."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the words of the command."""
        parser.add_argument("--json", action="store_true", help="print facts as JSON")
        parser.add_argument("--account", type=int, help="id of the account; default: the one enabled account")
        actions = parser.add_subparsers(dest="action", required=True)
        for name, what in (("list", "show every bot"), *((name, f"{name} bots") for name in OPERATIONS)):
            action = actions.add_parser(name, help=what)
            action.add_argument("--json", action="store_true", default=argparse.SUPPRESS, help="print facts as JSON")
            if name != "list":
                action.add_argument("bots", nargs="+", metavar="BOT", help="key, name or alias")
        create = actions.add_parser("create", help="create the bots of a plan file that are not there yet")
        create.add_argument("--json", action="store_true", default=argparse.SUPPRESS, help="print facts as JSON")
        create.add_argument("--plan", type=Path, default=lineups.LINEUP_A, help="plan file (default: line-up A)")

    def handle(self, *_words: Any, **options: Any) -> None:
        """Do what was asked and show the bots."""
        try:
            account_id = options["account"] or selectors.only_account()
            touched = self._act(account_id, options)
        except EXPECTED as error:
            raise CommandError(str(error)) from error
        rows = [line for line in selectors.lines(account_id) if touched is None or line.bot_id in touched]
        if options["json"]:
            self.stdout.write(json.dumps([asdict(row) for row in rows], default=str))
            return
        for row in rows:
            reason = f"  {row.status_reason}" if row.status_reason else ""
            self.stdout.write(
                f"{row.name:<24} {row.status:<8} {row.strategy:<16} {','.join(row.symbols):<10} {row.interval}{reason}"
            )
        if not rows:
            self.stdout.write("No bots. Create the shipped line-up with: python manage.py bots create")

    def _act(self, account_id: int, options: dict[str, Any]) -> set[int] | None:
        now, action = timezone.now(), options["action"]
        if action == "list":
            return None
        if action == "create":
            plan = lineups.load(options["plan"])
            return {bot.pk for bot in services.create_lineup(account_id=account_id, plan=plan, by=None, now=now)}
        bots = list(selectors.bots(account_id))
        aliases = lineups.aliases_of(lineups.load())
        chosen: list[Bot] = [lineups.find(word, bots, aliases) for word in options["bots"]]
        for bot in chosen:
            OPERATIONS[action](bot_id=bot.pk, by=None, now=now)
        return {bot.pk for bot in chosen}
