"""Open sub-accounts, move money between them and the master, and see all of them together."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Sequence
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, Final

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.core.serializers.json import DjangoJSONEncoder
from django.utils import timezone

from bots import lineups, selectors, venue_control
from bots.lineups import PlannedBot
from bots.services import UnableToOperate
from bots.services.sub_accounts import OpenedAtExchange, open_for_bots
from exchange.errors import ExchangeTrouble, KeyRefused
from exchange.ports import SubAccount
from portfolio.families_view import family_view
from portfolio.models import Account, AccountTransfer, Credential
from portfolio.services import UnableToAllocate, UnableToOpen, UnableToTransfer, request_transfer, set_transfer_limits
from portfolio.services.credentials import UnableToStore, store_credential
from portfolio.trader import keys
from portfolio.trader.keys import UnableToTrade
from trading.ledger import plain

EXPECTED = (
    selectors.AccountUnclear, lineups.BadPlan, venue_control.VenueAway, UnableToOperate, UnableToOpen, UnableToStore,
    UnableToTrade, UnableToTransfer, UnableToAllocate, ExchangeTrouble, KeyRefused,
)  # fmt: skip
WAIT_SECONDS: Final = 30.0


class Command(BaseCommand):
    """A master and its sub-accounts."""

    help = "Sub-accounts: show, open A|B|FILE, limits, transfer FROM TO AMOUNT ASSET."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the words of the command."""
        parser.add_argument("--account", type=int, help="id of the master; default: the one enabled account")
        parser.add_argument("--json", action="store_true", help="print facts as JSON")
        actions = parser.add_subparsers(dest="action", required=True)
        actions.add_parser("show", help="all accounts together, and the newest transfers")
        opening = actions.add_parser("open", help="a sub-account, a key and a bot for each bot of a line-up (local venue)")
        opening.add_argument("plan", metavar="A|B|FILE")
        limits = actions.add_parser("limits", help="how much may move; without limits nothing does")
        limits.add_argument("--per-transfer", required=True, metavar="QUOTE")
        limits.add_argument("--per-day", required=True, metavar="QUOTE")
        moving = actions.add_parser("transfer", help="move unallocated money; the master's trader carries it")
        moving.add_argument("sender", help="name or id")
        moving.add_argument("receiver", help="name or id")
        moving.add_argument("amount")
        moving.add_argument("asset")
        moving.add_argument("--reason", default="")
        moving.add_argument(
            "--wait", type=float, default=WAIT_SECONDS, metavar="SECONDS", help="how long to wait for the outcome"
        )

    def handle(self, *_words: Any, **options: Any) -> None:
        """Do what was asked and say what came of it."""
        try:
            master = Account.objects.select_related("market").get(id=options["account"] or selectors.only_account())
            action = {"open": self._open, "limits": self._limits, "transfer": self._transfer}.get(options["action"])
            if action is not None:
                action(master, options)
            self._show(master, as_json=options["json"])
        except Account.DoesNotExist as error:
            raise CommandError("There is no such account.") from error
        except EXPECTED as error:
            raise CommandError(str(error)) from error

    def _open(self, master: Account, options: dict[str, Any]) -> None:
        control_url = master.market.control_url
        if not control_url:
            raise CommandError(
                "Only the local venue opens sub-accounts with keys by itself: on an exchange a person makes the keys."
            )
        planned = lineups.load(lineups.SHIPPED.get(options["plan"].upper(), Path(options["plan"]))).bots
        now = timezone.now()
        if not Credential.objects.filter(account=master, role=Credential.Role.TRANSFER).exists():
            key = venue_control.open_transfer_key(control_url, uid=master.venue_uid)
            store_credential(account=master, key=key.api_key, secret=key.api_secret, now=now, role=Credential.Role.TRANSFER)
        found = asyncio.run(_open_at_exchange(*keys.account_and_key(master.pk, roles=(Credential.Role.TRANSFER,)), planned))
        opened = [_with_key(control_url, bot, account) for bot, account in zip(planned, found, strict=True)]
        for account in open_for_bots(master_id=master.pk, opened=opened, by=None, now=now):
            self.stderr.write(f"{account.name} is open. `python manage.py up` starts its trader.")

    def _limits(self, master: Account, options: dict[str, Any]) -> None:
        per_transfer, per_day = _amount(options["per_transfer"]), _amount(options["per_day"])
        set_transfer_limits(account_id=master.pk, per_transfer=per_transfer, per_day=per_day, by=None, now=timezone.now())

    def _transfer(self, _master: Account, options: dict[str, Any]) -> None:
        row = request_transfer(
            sender_id=_account(options["sender"]).pk,
            receiver_id=_account(options["receiver"]).pk,
            asset=options["asset"].upper(),
            amount=_amount(options["amount"]),
            by=None,
            now=timezone.now(),
            reason=options["reason"],
        )
        deadline = time.monotonic() + options["wait"]
        while row.state in AccountTransfer.OPEN and time.monotonic() < deadline:
            time.sleep(0.2)
            row.refresh_from_db()
        if row.state in (AccountTransfer.State.REFUSED, AccountTransfer.State.ABSENT):
            raise CommandError(f"{row.client_id}: {row.get_state_display()}. {row.outcome}")
        if row.state != AccountTransfer.State.DONE:
            self.stderr.write(
                f"{row.client_id}: {row.get_state_display()}. The master's trader goes on with it; never send it again."
            )

    def _show(self, master: Account, *, as_json: bool) -> None:
        view = family_view(master)
        if as_json:
            self.stdout.write(json.dumps(_as_text(view), cls=DjangoJSONEncoder))
            return
        names = {}
        for row in view["accounts"]:
            names[row["account"]] = row["name"]
            words = (
                f"equity {plain(row['equity']):>16}  made {plain(row['pnl']):>14}  unallocated {plain(row['unallocated']):>14}"
            )
            self.stdout.write(f"{row['account']:>3} {row['name']:<40} {words}  {row['state']} {row['state_reason']}".rstrip())
        self.stdout.write(f"All: equity {plain(view['equity'])}, made {plain(view['pnl'])}.")
        for row in view["transfers"]:
            ends = f"{names[row['sender']]} -> {names[row['receiver']]}"
            self.stdout.write(
                f"{row['id']} {ends}: {plain(row['amount'])} {row['asset']}, {row['state']} {row['outcome']}".rstrip()
            )


async def _open_at_exchange(master: Account, key: str, secret: str, planned: Sequence[PlannedBot]) -> list[SubAccount]:
    port = keys.open_transfer_port(master, key, secret)
    try:
        await port.server_time_ms()
        await port.balances()
        return [await port.open_sub_account(f"{bot.key}_{master.venue_uid}") for bot in planned]
    finally:
        await port.close()


def _with_key(control_url: str, planned: PlannedBot, opened: SubAccount) -> OpenedAtExchange:
    key = venue_control.open_paper_account(control_url, name=opened.venue_name, balances={})
    return OpenedAtExchange(
        planned=planned, venue_name=opened.venue_name, uid=opened.uid, api_key=key.api_key, api_secret=key.api_secret
    )


def _account(word: str) -> Account:
    rows = Account.objects.filter(id=int(word)) if word.isdigit() else Account.objects.filter(name=word)
    account = rows.first()
    if account is None:
        raise CommandError(f"There is no account {word}. Known: {', '.join(Account.objects.values_list('name', flat=True))}.")
    return account


def _amount(text: str) -> Decimal:
    try:
        return Decimal(text)
    except InvalidOperation:
        raise CommandError(f"{text!r} is no amount.") from None


def _as_text(value: Any) -> Any:
    """Write amounts as the API does: exact decimal text."""
    if isinstance(value, dict):
        return {name: _as_text(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_as_text(inner) for inner in value]
    return plain(value) if isinstance(value, Decimal) else value
