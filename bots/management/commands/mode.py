"""Show and set how the bots share the account."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from bots import lineups, selectors, services
from portfolio.models import Account
from portfolio.selectors import account_overview
from portfolio.services import UnableToAllocate

EXPECTED = (selectors.AccountUnclear, services.ModeNotBuilt, lineups.UnknownBot, lineups.BadPlan, UnableToAllocate)


class Command(BaseCommand):
    """Operator modes."""

    help = "Operator modes: show, percentage BOT=PCT ...; single, rotation and subaccounts come later."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the words of the command."""
        parser.add_argument("mode", choices=("show", *services.MODES))
        parser.add_argument("words", nargs="*", metavar="BOT=PCT", help="shares in percent, for example GridTrading=25")
        parser.add_argument("--account", type=int, help="id of the account; default: the one enabled account")
        parser.add_argument("--json", action="store_true", help="print facts as JSON")

    def handle(self, *_words: Any, **options: Any) -> None:
        """Set the shares if asked to, and show them."""
        try:
            account_id = options["account"] or selectors.only_account()
            if options["mode"] != "show":
                self._set(account_id, options["mode"], options["words"])
        except EXPECTED as error:
            raise CommandError(str(error)) from error
        self._show(account_id, as_json=options["json"])

    def _set(self, account_id: int, mode: str, words: list[str]) -> None:
        services.demand_built(mode)
        bots = list(selectors.bots(account_id))
        if not words:
            raise lineups.BadPlan("Say the shares, for example: mode percentage GridTrading=25 TripleEMA=15")
        percents = services.read_shares(words, bots, lineups.aliases_of(lineups.load()))
        services.set_shares(account_id=account_id, percents=percents, by=None, now=timezone.now())

    def _show(self, account_id: int, *, as_json: bool) -> None:
        account, overview = Account.objects.get(id=account_id), account_overview(account_id)
        if as_json:
            rows = [
                {
                    "bot": book.name,
                    "percent": _plain(book.percent),
                    "target": _plain(book.target),
                    "allocation": _plain(book.base_equity),
                    "equity": _plain(book.equity),
                }
                for book in overview.books
            ]
            facts = {"mode": account.allocation_mode, "unallocated": _plain(overview.unallocated), "bots": rows}
            self.stdout.write(json.dumps(facts))
            return
        self.stdout.write(f"Mode: {account.allocation_mode}. Unallocated: {_money(overview.unallocated)} {account.quote_asset}")
        for book in overview.books:
            figures = f"allocation {_money(book.base_equity):>12}  equity {_money(book.equity):>12}"
            self.stdout.write(f"{book.name:<24} {_plain(book.percent):>6} %  {figures}")


def _plain(amount: Decimal) -> str:
    return f"{amount.normalize():f}"


def _money(amount: Decimal) -> str:
    return f"{amount:,.2f}"
