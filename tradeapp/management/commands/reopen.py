"""Reopen an account that was restored, or whose exchange was reset."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from exchange.errors import ExchangeTrouble, KeyRefused
from portfolio.models import Account
from portfolio.services.resets import EXCHANGE_RESET
from portfolio.trader.keys import UnableToTrade
from tradeapp.backups import new_books, reopening
from tradeapp.backups.earlier_lives import UnableToReopen
from tradeapp.backups.new_books import NewBooks
from tradeapp.backups.reopening import Reopened


class Command(BaseCommand):
    """Have restored books take in what they missed, or close forgotten books and open new ones; then let the account trade."""

    help = (
        "Reopen an account that was restored from a backup, or whose exchange was reset; "
        "exit code 1 unless ledger and exchange agree to the last unit."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the options."""
        parser.add_argument("--account", required=True, help="name of the account")
        parser.add_argument("--confirm", required=True, help="the name again: no other installation trades this account")
        parser.add_argument(
            "--watch", type=float, default=reopening.WATCH_SECONDS, help="seconds to watch for others (%(default)g)"
        )
        parser.add_argument("--reason", default="the exchange was reset", help="for the audit, after a reset")
        parser.add_argument("--json", action="store_true", help="print facts as JSON")

    def handle(self, *_words: Any, **options: Any) -> None:
        """Reopen, or say why not."""
        if options["confirm"] != options["account"]:
            raise CommandError("--confirm must repeat the account's name: you vouch that nobody else trades it.")
        try:
            account = Account.objects.get(name=options["account"])
            done: Reopened | NewBooks
            if account.state_reason == EXCHANGE_RESET:
                done = new_books.open_new_books(account_id=account.pk, reason=options["reason"], clock=timezone.now)
            else:
                done = reopening.reopen(account_id=account.pk, watch_seconds=options["watch"], clock=timezone.now)
        except Account.DoesNotExist as error:
            raise CommandError(f"There is no account {options['account']}.") from error
        except UnableToReopen as error:
            raise CommandError(f"{error.code}: {error}") from error
        except (UnableToTrade, KeyRefused, ExchangeTrouble) as error:
            raise CommandError(str(error)) from error
        if options["json"]:
            self.stdout.write(json.dumps(asdict(done) | {"is_open": done.is_open}, indent=1))
        elif isinstance(done, NewBooks):
            self._tell_new_books(done)
        else:
            self._tell(done)
        if not done.is_open:
            raise CommandError("Ledger and exchange differ: the account stays halted.")

    def _tell_new_books(self, done: NewBooks) -> None:
        self.stdout.write(f"Closed the old books as they were: account {done.closed_account}, now named {done.closed!r}.")
        self.stdout.write(f"Opened account {done.account} with what the exchange holds now:")
        for asset, amount in done.balances.items():
            self.stdout.write(f"  {amount} {asset}")
        for name in done.bots:
            self.stdout.write(f"{name} follows with its share, its limits and no position")
        for asset, left in done.residuals.items():
            self.stdout.write(f"{asset}: the exchange holds {left} more than the new books explain")
        if done.is_open:
            self.stdout.write(f"Residual zero in every asset. New orders are named {done.deploy}-...")
            self.stdout.write(f"Restart `up`, or start its trader: `python manage.py run_trader --account {done.account}`.")

    def _tell(self, done: Reopened) -> None:
        for name in done.cancelled:
            self.stdout.write(f"cancelled {name}: these books had never heard of it")
        self.stdout.write(f"{done.trades_posted} missed trades posted")
        for asset, left in done.residuals.items():
            self.stdout.write(f"{asset}: the exchange holds {left} more than the books explain")
        if done.is_open:
            self.stdout.write(f"Residual zero in every asset. New orders are named {done.deploy}-...; the trader goes on now.")
