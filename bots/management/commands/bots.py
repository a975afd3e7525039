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
from strategies.registry import BadParameter
from strategies.sources import UnknownStrategy
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
    """List, create, pair, start, stop, pause, resume and flatten bots."""

    help = (
        "Operate bots: list, create, pair, start, stop, pause, resume, flatten. `stop` leaves positions, `flatten` closes them."
    )

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
        _add_pair(actions.add_parser("pair", help="make a pair of bots that trades one coin on two accounts (arbitrage)"))

    def handle(self, *_words: Any, **options: Any) -> None:
        """Do what was asked and show the bots."""
        if options["action"] == "pair":
            self._make_pair(options)
            return
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

    def _make_pair(self, options: dict[str, Any]) -> None:
        try:
            home = options["account"] or selectors.only_account()
            planned = services.PlannedPair(
                key=options["key"],
                name=options["name"],
                account_ids=(home, options["far_account"]),
                symbols=(options["symbol"], options["far_symbol"] or options["symbol"]),
                interval=options["interval"],
                params=options["params"],
            )
            pair = services.create_pair(planned=planned, by=None, now=timezone.now())
        except EXPECTED as error:
            raise CommandError(str(error)) from error
        lines = selectors.lines_of(pair)
        if options["json"]:
            self.stdout.write(json.dumps([asdict(line) for line in lines], default=str))
            return
        for line in lines:
            self.stdout.write(f"{line.name:<24} {line.status:<8} {','.join(line.symbols):<10} {line.interval}  on {line.account}")
        self.stdout.write(
            "Next, give both sides a share of their account, then start either: the other starts with it.\n"
            + "".join(f"  python manage.py allocations --account {bot.book.account_id} set {bot.key}=20\n" for bot in pair)
            + f"  python manage.py bots --account {pair[0].book.account_id} start {pair[0].key}"
        )

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


def _add_pair(action: CommandParser) -> None:
    action.add_argument("--json", action="store_true", default=argparse.SUPPRESS, help="print facts as JSON")
    action.add_argument("--account", type=int, default=argparse.SUPPRESS, help="id of the account whose bot decides for both")
    action.add_argument("--far-account", type=int, required=True, help="id of the account on the other exchange")
    action.add_argument("--symbol", required=True, help="the coin, for example BTC/USDT")
    action.add_argument("--far-symbol", default="", help="as the other exchange writes it; default: the same")
    action.add_argument("--interval", default="5m", help="of the candles that are compared (default 5m)")
    action.add_argument("--key", default="ARBITRAGE", help="key of both bots (default ARBITRAGE)")
    action.add_argument("--name", default="Arbitrage", help="name of both bots (default Arbitrage)")
    action.add_argument("--params", type=_params, default={}, metavar="JSON", help="for example '{\"share\": 0.2}'")


def _params(text: str) -> dict[str, Any]:
    try:
        values = json.loads(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"not JSON: {error}") from error
    if not isinstance(values, dict):
        raise argparse.ArgumentTypeError('write the parameters as a JSON object, for example {"share": 0.2}')
    return values
