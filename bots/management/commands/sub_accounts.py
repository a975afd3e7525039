"""Open sub-accounts, move money between them and the master, even them out, and see all of them together."""

from __future__ import annotations

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
from bots.opening import open_at_local_venue
from bots.services import UnableToOperate
from exchange.errors import ExchangeTrouble, KeyRefused
from portfolio import services
from portfolio.families_view import family_view
from portfolio.models import Account, AccountTransfer
from portfolio.services import UnableToAllocate, UnableToOpen, UnableToTransfer
from portfolio.services.credentials import UnableToStore
from portfolio.trader.keys import UnableToTrade
from trading.ledger import plain

EXPECTED = (
    selectors.AccountUnclear, lineups.BadPlan, venue_control.VenueAway, UnableToOperate, UnableToOpen, UnableToStore,
    UnableToTrade, UnableToTransfer, UnableToAllocate, ExchangeTrouble, KeyRefused,
)  # fmt: skip
WAIT_SECONDS: Final = 30.0


class Command(BaseCommand):
    """A master and its sub-accounts."""

    help = "Sub-accounts: show, open A|B|FILE, limits, transfer FROM TO AMOUNT ASSET, targets ACCOUNT=PCT ..., rebalance."

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
        self._add_moving(actions)

    def _add_moving(self, actions: Any) -> None:
        moving = actions.add_parser("transfer", help="move money; the master's trader carries it")
        moving.add_argument("sender", help="name or id")
        moving.add_argument("receiver", help="name or id")
        moving.add_argument("amount")
        moving.add_argument("asset")
        moving.add_argument("--recall", action="store_true", help="take what is missing from the free cash of the sender's bot")
        targets = actions.add_parser("targets", help="shares of the family: ACCOUNT=PCT, or ACCOUNT=none; moves nothing")
        targets.add_argument("shares", nargs="*", metavar="ACCOUNT=PCT")
        targets.add_argument("--band", metavar="PCT", help="smaller differences are left alone")
        evening = actions.add_parser("rebalance", help="the transfers that would bring all back to their shares")
        evening.add_argument("--yes", action="store_true", help="send them")
        for part in (moving, evening):
            part.add_argument("--reason", default="")
            part.add_argument(
                "--wait", type=float, default=WAIT_SECONDS, metavar="SECONDS", help="how long to wait for the outcome"
            )

    def handle(self, *_words: Any, **options: Any) -> None:
        """Do what was asked and say what came of it."""
        actions = {
            "open": self._open,
            "limits": self._limits,
            "transfer": self._transfer,
            "targets": self._targets,
            "rebalance": self._rebalance,
        }
        try:
            master = Account.objects.select_related("market").get(id=options["account"] or selectors.only_account())
            action = actions.get(options["action"])
            if action is not None:
                action(master, options)
            self._show(master, as_json=options["json"])
        except Account.DoesNotExist as error:
            raise CommandError("There is no such account.") from error
        except EXPECTED as error:
            raise CommandError(str(error)) from error

    def _open(self, master: Account, options: dict[str, Any]) -> None:
        planned = lineups.load(lineups.SHIPPED.get(options["plan"].upper(), Path(options["plan"]))).bots
        for account in open_at_local_venue(master_id=master.pk, planned=planned, now=timezone.now()):
            self.stderr.write(f"{account.name} is open. `python manage.py up` starts its trader.")

    def _limits(self, master: Account, options: dict[str, Any]) -> None:
        services.set_transfer_limits(
            account_id=master.pk,
            per_transfer=_amount(options["per_transfer"]),
            per_day=_amount(options["per_day"]),
            by=None,
            now=timezone.now(),
        )

    def _transfer(self, _master: Account, options: dict[str, Any]) -> None:
        row = services.request_transfer(
            sender_id=_account(options["sender"]).pk,
            receiver_id=_account(options["receiver"]).pk,
            asset=options["asset"].upper(),
            amount=_amount(options["amount"]),
            recall=options["recall"],
            by=None,
            now=timezone.now(),
            reason=options["reason"],
        )
        self._await([row], options["wait"])

    def _targets(self, master: Account, options: dict[str, Any]) -> None:
        percents: dict[int, Decimal | None] = {}
        for word in options["shares"]:
            name, is_said, share = word.rpartition("=")
            if not is_said:
                raise CommandError(f"Say ACCOUNT=PCT, not {word!r}.")
            percents[_account(name).pk] = None if share == "none" else _amount(share)
        band = None if options["band"] is None else _amount(options["band"])
        services.set_targets(master_id=master.pk, percents=percents, band_percent=band, by=None, now=timezone.now())

    def _rebalance(self, master: Account, options: dict[str, Any]) -> None:
        found = services.propose_transfers(master.pk, now=timezone.now())
        names = {standing.account_id: standing.name for standing in found.standings}
        if found.code:
            raise UnableToTransfer(found.code, found.message)
        for move in found.moves:
            self.stderr.write(f"{names[move.sender_id]} -> {names[move.receiver_id]}: {plain(move.amount)} {master.quote_asset}")
        for standing in found.standings:
            if standing.held_back:
                self.stderr.write(f"{standing.name} is off by {plain(standing.off)}: {standing.held_back}")
        if not found.moves:
            self.stderr.write("Nothing to move.")
        elif options["yes"]:
            rows = services.execute_proposals(
                master_id=master.pk, moves=found.moves, by=None, now=timezone.now(), reason=options["reason"]
            )
            self._await(rows, options["wait"])

    def _await(self, rows: Sequence[AccountTransfer], seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while any(row.state in AccountTransfer.OPEN for row in rows) and time.monotonic() < deadline:
            time.sleep(0.2)
            for row in rows:
                row.refresh_from_db()
        failed = [row for row in rows if row.state in (AccountTransfer.State.REFUSED, AccountTransfer.State.ABSENT)]
        if failed:
            raise CommandError(" ".join(f"{row.client_id}: {row.get_state_display()}. {row.outcome}" for row in failed))
        for row in rows:
            if row.state != AccountTransfer.State.DONE:
                self.stderr.write(
                    f"{row.client_id}: {row.get_state_display()}. The master's trader goes on with it; never send it again."
                )

    def _show(self, master: Account, *, as_json: bool) -> None:
        view = family_view(master, now=timezone.now())
        if as_json:
            self.stdout.write(json.dumps(_as_text(view), cls=DjangoJSONEncoder))
            return
        names = {}
        for row in view["accounts"]:
            names[row["account"]] = row["name"]
            words = f"equity {plain(row['equity']):>16}  made {plain(row['pnl']):>14}  free {plain(row['free']):>14}"
            trader = "" if row["is_trader_alive"] else "  no trader"
            said = f"{row['state']} {row['state_reason']}".rstrip()
            self.stdout.write(f"{row['account']:>3} {row['name']:<40} {words}  {said}{trader}")
        self.stdout.write(f"All: equity {plain(view['equity'])}, made {plain(view['pnl'])}.")
        for row in view["transfers"]:
            ends = f"{names[row['sender']]} -> {names[row['receiver']]}"
            self.stdout.write(
                f"{row['id']} {ends}: {plain(row['amount'])} {row['asset']}, {row['state']} {row['outcome']}".rstrip()
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
    if isinstance(value, list | tuple):
        return [_as_text(inner) for inner in value]
    return plain(value) if isinstance(value, Decimal) else value
