"""Show and set how the bots share the account."""

from __future__ import annotations

import json
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.core.serializers.json import DjangoJSONEncoder
from django.utils import timezone

from bots import lineups, selectors, services
from bots.mode_view import mode_view
from portfolio.models import Account
from portfolio.selectors import account_overview
from portfolio.services import UnableToAllocate
from portfolio.services.modes import Preview, UnableToSwitch
from trading.handover import Mode
from trading.ledger import plain
from trading.rotation_text import RotationUnreadable, parse_policy

EXPECTED = (selectors.AccountUnclear, UnableToSwitch, RotationUnreadable, lineups.UnknownBot, lineups.BadPlan, UnableToAllocate)
FATES = {"sold": "is sold", "kept": "is kept, exits only", "handed_on": "passes to", "waits": "waits until its bot is flat"}


class Command(BaseCommand):
    """Operator modes."""

    help = "Operator modes: show, single BOT, rotation FILE, percentage [BOT=PCT ...]."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the words of the command."""
        parser.add_argument("mode", choices=("show", *(str(mode) for mode in Mode)))
        parser.add_argument(
            "words", nargs="*", metavar="BOT|FILE|BOT=PCT", help="a bot; a file of slots; or shares: GridTrading=25"
        )
        parser.add_argument("--policy", default="flatten", help="of open positions: flatten, carry, transfer, or 'wait 30m'")
        parser.add_argument("--budget", help="most that the one who trades is sized by; default: all there is")
        parser.add_argument("--reason", default="", help="why, for the audit")
        parser.add_argument("--preview", action="store_true", help="say what it would do, and do nothing")
        parser.add_argument("--account", type=int, help="id of the account; default: the one enabled account")
        parser.add_argument("--json", action="store_true", help="print facts as JSON")

    def handle(self, *_words: Any, **options: Any) -> None:
        """Switch if asked to, and show."""
        try:
            account_id = options["account"] or selectors.only_account()
            if options["mode"] != "show":
                wish = _wish(options)
                if options["preview"]:
                    self._preview(services.preview_switch(account_id=account_id, wish=wish, now=timezone.now()))
                    return
                self._set(account_id, wish, options)
        except EXPECTED as error:
            raise CommandError(str(error)) from error
        self._show(account_id, as_json=options["json"])

    def _set(self, account_id: int, wish: services.Wish, options: dict[str, Any]) -> None:
        words, now = options["words"], timezone.now()
        bots = list(selectors.bots(account_id))
        is_percentage = wish.mode == Mode.PERCENTAGE
        percents = services.read_shares(words, bots, lineups.aliases_of(lineups.load())) if is_percentage else {}
        is_in_force = Account.objects.get(id=account_id).allocation_mode == wish.mode
        if is_percentage and is_in_force and not words:
            raise lineups.BadPlan("Say the shares, for example: mode percentage GridTrading=25 TripleEMA=15")
        if not (is_percentage and is_in_force):
            services.switch_mode(account_id=account_id, wish=wish, by=None, now=now, reason=options["reason"])
        if percents:
            services.set_shares(account_id=account_id, percents=percents, by=None, now=now)

    def _preview(self, preview: Preview) -> None:
        say = self.stdout.write
        for finding in preview.findings:
            say(f"{'Refused' if finding.is_refusal else 'Note'}: {finding.code}: {finding.message}")
        if preview.unknown_orders:
            say(f"Refused while nobody knows what became of {', '.join(preview.unknown_orders)}.")
        sized = "" if preview.sized_by is None else f", sized by {_money(preview.sized_by)} at most"
        say(f"Would trade: {', '.join(preview.incoming) or 'nobody'}{sized}. {preview.entries_cancelled} entry orders would go.")
        for fate in preview.fates:
            holding = f"{plain(fate.quantity)} of {fate.symbol} (about {_money(fate.value)})"
            say(f"{fate.book}: {holding} {FATES[fate.fate]}{f' {fate.heir}' if fate.heir else ''}.")

    def _show(self, account_id: int, *, as_json: bool) -> None:
        account, overview = Account.objects.select_related("market").get(id=account_id), account_overview(account_id)
        view = mode_view(account)
        if as_json:
            rows = [
                {
                    "bot": book.name,
                    "percent": plain(book.percent),
                    "target": plain(book.target),
                    "allocation": plain(book.base_equity),
                    "equity": plain(book.equity),
                }
                for book in overview.books
            ]
            self.stdout.write(
                json.dumps(view | {"unallocated": plain(overview.unallocated), "bots": rows}, cls=DjangoJSONEncoder)
            )
            return
        self.stdout.write(f"Mode: {account.allocation_mode}. Unallocated: {_money(overview.unallocated)} {account.quote_asset}")
        if view["hand_over"]:
            passing = view["hand_over"]
            self.stdout.write(
                f"Trading now: {', '.join(view['active']) or 'nobody'} (hand-over {passing['epoch']}: {passing['says']})"
            )
        for switch in view["switches"]:
            after = switch["after"] or "nobody"
            self.stdout.write(
                f"  {switch['at']:%a %Y-%m-%d %H:%M} UTC  {switch['local']} {view['zone']}  {switch['policy']}  -> {after}"
            )
        for book in overview.books:
            figures = f"allocation {_money(book.base_equity):>12}  equity {_money(book.equity):>12}"
            self.stdout.write(f"{book.name:<24} {plain(book.percent):>6} %  {figures}")


def _wish(options: dict[str, Any]) -> services.Wish:
    mode, words = options["mode"], options["words"]
    policy, wait_minutes = parse_policy(options["policy"].split())
    bot = rotation = ""
    if mode == Mode.SINGLE:
        if len(words) != 1:
            raise lineups.BadPlan("Say which bot trades, for example: mode single MeanReversion")
        bot = words[0]
    elif mode == Mode.ROTATION:
        rotation = _read_file(words)
    return services.Wish(
        mode=mode, bot=bot, budget=_budget(options["budget"]), policy=policy, wait_minutes=wait_minutes, rotation=rotation
    )


def _read_file(words: list[str]) -> str:
    if len(words) != 1:
        raise lineups.BadPlan("Say the file with the slots, for example: mode rotation week.txt")
    try:
        return Path(words[0]).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise lineups.BadPlan(f"The rotation {words[0]} cannot be read: {error}.") from error


def _budget(text: str | None) -> Decimal | None:
    try:
        return None if text is None else Decimal(text)
    except InvalidOperation:
        raise lineups.BadPlan(f"The budget is an amount in quote, not {text!r}.") from None


def _money(amount: Decimal) -> str:
    return f"{amount:,.2f}"
