"""Compare the ledger with the exchange, asset by asset."""

from __future__ import annotations

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from exchange.errors import ExchangeTrouble, KeyRefused
from portfolio.models import Account
from portfolio.trader import inspection
from portfolio.trader.keys import UnableToTrade


class Command(BaseCommand):
    """Read, compare, print; exit 1 unless every residual is exactly zero."""

    help = "Compare ledger and exchange to the last unit; exit code 1 when anything is left over."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the options."""
        parser.add_argument("--account", help="name or id of one account; all enabled ones unless given")
        parser.add_argument("--json", action="store_true", help="print facts as JSON")

    def handle(self, *_words: Any, **options: Any) -> None:
        """Compare each account; end with one line when something differs."""
        reports = [self._inspect(account) for account in _accounts(options["account"])]
        if options["json"]:
            self.stdout.write(json.dumps([inspection.as_json(report) for report in reports], indent=2))
        else:
            for report in reports:
                self.stdout.write(inspection.as_text(report))
        different = [report.account_name for report in reports if not report.is_exact]
        if different:
            raise CommandError(f"Ledger and exchange differ on: {', '.join(different)}.", returncode=1)

    def _inspect(self, account: Account) -> inspection.Report:
        try:
            return inspection.inspect(account_id=account.pk, clock=timezone.now)
        except ExchangeTrouble as trouble:
            raise CommandError(f"{account.name}: the exchange does not answer: {trouble.message}") from trouble
        except (UnableToTrade, KeyRefused) as error:
            raise CommandError(f"{account.name}: {error}") from error


def _accounts(wanted: str | None) -> list[Account]:
    rows = Account.objects.filter(is_enabled=True)
    if wanted:
        rows = Account.objects.filter(id=int(wanted)) if wanted.isdigit() else Account.objects.filter(name=wanted)
    found = list(rows.order_by("id"))
    if not found:
        names = ", ".join(Account.objects.order_by("name").values_list("name", flat=True)) or "none"
        raise CommandError(f"There is no such account. Known: {names}.")
    return found
