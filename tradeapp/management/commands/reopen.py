"""Reopen a restored account."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from exchange.errors import ExchangeTrouble
from portfolio.models import Account
from portfolio.trader.keys import UnableToTrade
from tradeapp.backups import reopening
from tradeapp.backups.reopening import Reopened, UnableToReopen


class Command(BaseCommand):
    """Compare restored books with the exchange, take in what they missed, and let the account trade."""

    help = "Reopen a restored account; exit code 1 unless ledger and exchange agree to the last unit."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the options."""
        parser.add_argument("--account", required=True, help="name of the account")
        parser.add_argument("--confirm", required=True, help="the name again: no other installation trades this account")
        parser.add_argument(
            "--watch", type=float, default=reopening.WATCH_SECONDS, help="seconds to watch for others (%(default)g)"
        )
        parser.add_argument("--json", action="store_true", help="print facts as JSON")

    def handle(self, *_words: Any, **options: Any) -> None:
        """Reopen, or say why not."""
        if options["confirm"] != options["account"]:
            raise CommandError("--confirm must repeat the account's name: you vouch that nobody else trades it.")
        try:
            account = Account.objects.get(name=options["account"])
            done = reopening.reopen(account_id=account.pk, watch_seconds=options["watch"], clock=timezone.now)
        except Account.DoesNotExist as error:
            raise CommandError(f"There is no account {options['account']}.") from error
        except UnableToReopen as error:
            raise CommandError(f"{error.code}: {error}") from error
        except (UnableToTrade, ExchangeTrouble) as error:
            raise CommandError(str(error)) from error
        self._tell(done, as_json=options["json"])
        if not done.is_open:
            raise CommandError("Ledger and exchange differ: the account stays halted.")

    def _tell(self, done: Reopened, *, as_json: bool) -> None:
        if as_json:
            self.stdout.write(json.dumps(asdict(done) | {"is_open": done.is_open}, indent=1))
            return
        for name in done.cancelled:
            self.stdout.write(f"cancelled {name}: these books had never heard of it")
        self.stdout.write(f"{done.trades_posted} missed trades posted")
        for asset, left in done.residuals.items():
            self.stdout.write(f"{asset}: the exchange holds {left} more than the books explain")
        if done.is_open:
            self.stdout.write(f"Residual zero in every asset. New orders are named {done.deploy}-...; the trader goes on now.")
