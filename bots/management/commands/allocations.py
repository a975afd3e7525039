"""Preview, set, re-base and roll back how the bots share the account, and show every version."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.core.serializers.json import DjangoJSONEncoder
from django.utils import timezone

from bots import lineups, selectors, services
from bots.models import Bot
from portfolio.allocations_view import allocations_view, versions_view
from portfolio.models import Book
from portfolio.selectors.allocations import AllocationPlan, versions
from portfolio.selectors.worth import worth
from portfolio.services import (
    UnableToAllocate,
    preview_allocations,
    preview_rollback,
    rebase_allocations,
    roll_back_allocations,
    set_allocations,
)
from trading.ledger import plain

EXPECTED = (selectors.AccountUnclear, lineups.UnknownBot, lineups.BadPlan, UnableToAllocate)
SHOWN = 20
STATES = {"waits_for_cash": "waits for cash", "waits_for_capital_in_use": "waits for capital in use", "funded": ""}


class Command(BaseCommand):
    """Shares of the account."""

    help = "Shares of the account: show, preview, set, rebase, versions, rollback."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the words of the command."""
        parser.add_argument("--account", type=int, help="id of the account; default: the one enabled account")
        parser.add_argument("--json", action="store_true", help="print facts as JSON")
        actions = parser.add_subparsers(dest="action", required=True)
        actions.add_parser("show", help="the shares in force")
        for name, what in (("preview", "what new shares would do"), ("set", "set shares")):
            action = actions.add_parser(name, help=what)
            action.add_argument("words", nargs="*", metavar="BOT=PCT", help="shares in percent, for example GridTrading=25")
            action.add_argument("--lock", nargs="+", default=[], metavar="BOT", help="have re-bases leave these bots alone")
            action.add_argument("--unlock", nargs="+", default=[], metavar="BOT", help="have re-bases touch them again")
            action.add_argument("--reserve", metavar="PCT", help="never dealt out")
            action.add_argument("--band", metavar="PCT", help="of the account: re-bases leave smaller differences alone")
            action.add_argument("--rebase-hours", type=int, help="hours of market time between re-bases; 0 for never")
            action.add_argument("--after-flows", choices=("yes", "no"), help="re-base after deposits and withdrawals")
        actions.add_parser("rebase", help="deal gains, losses and deposits out anew")
        actions.add_parser("versions", help="every version and what it changed")
        rollback = actions.add_parser("rollback", help="set an earlier version again, as a new one")
        rollback.add_argument("number", type=int)
        rollback.add_argument("--preview", action="store_true", help="only say what it would do")
        for action in actions.choices.values():
            action.add_argument("--version-seen", type=int, help="refuse if another version is in force by now")
            action.add_argument("--note", default="", help="why, for the history")
            action.add_argument("--json", action="store_true", default=argparse.SUPPRESS, help="print facts as JSON")

    def handle(self, *_words: Any, **options: Any) -> None:
        """Do what was asked and show what came of it."""
        try:
            account_id = options["account"] or selectors.only_account()
            if options["action"] == "versions":
                self._versions(account_id, as_json=options["json"])
                return
            plan = _act(account_id, options)
        except EXPECTED as error:
            raise CommandError(str(error)) from error
        self._show(account_id, plan, as_json=options["json"])

    def _show(self, account_id: int, plan: AllocationPlan | None, *, as_json: bool) -> None:
        view = allocations_view(worth(account_id), plan=plan)
        if as_json:
            self.stdout.write(_json(view))
            return
        policy = view["policy"]
        self.stdout.write(
            f"Version {view['version']} of {_money(view['total'])}: reserve {plain(policy['reserve_percent'])} %, "
            f"band {plain(policy['band_percent'])} %, unallocated {_money(view['unallocated'])}"
        )
        for row in view["shares"]:
            lock = " locked" if row["is_locked"] else ""
            state = f"  {_money(abs(row['pending']))} {STATES[row['state']]}" if row["pending"] else ""
            self.stdout.write(
                f"{row['bot']:<24} {plain(row['percent']):>8} %  target {_money(row['target']):>12}  "
                f"moves {row['moved']:>+12,.2f}  then {_money(row['funded']):>12}{state}{lock}"
            )
        if plan is not None and Decimal(0) < plan.remainder < 1:
            names = {row["book"]: row["bot"] for row in view["shares"]}
            even = " ".join(f"{names[book_id]}={plain(percent)}" for book_id, percent in plan.even.items())
            self.stdout.write(f"{plain(plan.remainder)} % stays unallocated. To share out all: {even}")

    def _versions(self, account_id: int, *, as_json: bool) -> None:
        names = dict(Book.objects.filter(account=account_id).values_list("id", "name"))
        rows = versions_view(versions(account_id=account_id, cursor=None, limit=SHOWN), names)
        if as_json:
            self.stdout.write(_json(rows))
            return
        for row in rows:
            changes = ", ".join(
                f"{change['bot']} {_percent(change['percent_before'])} -> {_percent(change['percent_after'])} %"
                for change in row["changes"]
            )
            note = f"  {row['note']}" if row["note"] else ""
            self.stdout.write(
                f"{row['number']:>5}  {row['set_at']:%Y-%m-%d %H:%M}  {row['set_by']:<12} {row['cause']:<9} {changes}{note}"
            )


def _act(account_id: int, options: dict[str, Any]) -> AllocationPlan | None:
    asked = {"by": None, "now": timezone.now(), "expected": options["version_seen"], "note": options["note"][:200]}
    if options["action"] == "rebase":
        rebase_allocations(account_id=account_id, **asked)
        return None
    if options["action"] == "rollback":
        if options["preview"]:
            return preview_rollback(account_id=account_id, number=options["number"])
        roll_back_allocations(account_id=account_id, number=options["number"], **asked)
        return None
    if options["action"] == "show":
        return None
    wanted = _wanted(account_id, options)
    if options["action"] == "preview":
        return preview_allocations(account_id=account_id, **wanted)
    set_allocations(account_id=account_id, **wanted, **asked)
    return None


def _wanted(account_id: int, options: dict[str, Any]) -> dict[str, Any]:
    bots = list(selectors.bots(account_id))
    aliases = lineups.aliases_of(lineups.load())
    books = {bot.pk: bot.book_id for bot in bots}
    shares = services.read_shares(options["words"], bots, aliases)

    def named(words: Sequence[str]) -> list[int]:
        found: list[Bot] = [lineups.find(word, bots, aliases) for word in words]
        return [bot.book_id for bot in found]

    policy: dict[str, Any] = {
        "reserve_percent": lineups.percent(options["reserve"], "The reserve") if options["reserve"] else None,
        "band_percent": lineups.percent(options["band"], "The band") if options["band"] else None,
        "rebase_hours": options["rebase_hours"],
        "rebases_after_flows": {"yes": True, "no": False}.get(options["after_flows"] or ""),
    }
    return {
        "percents": {books[bot_id]: share for bot_id, share in shares.items()},
        "locks": dict.fromkeys(named(options["lock"]), True) | dict.fromkeys(named(options["unlock"]), False),
        "policy": {name: value for name, value in policy.items() if value is not None},
    }


def _json(facts: Any) -> str:
    return json.dumps(facts, cls=DjangoJSONEncoder)


def _money(amount: Decimal) -> str:
    return f"{amount:,.2f}"


def _percent(percent: Decimal | None) -> str:
    return "none" if percent is None else plain(percent)
