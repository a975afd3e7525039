"""End a halt that waits for a person."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from portfolio import services
from portfolio.models import Account


class Command(BaseCommand):
    """Resume one account."""

    help = "Let an account trade again that was halted until a person had looked (crash loop, broken books, adopted order)."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the options."""
        parser.add_argument("--account", required=True, help="name or id of the account")
        parser.add_argument("--reason", required=True, help="what you found")

    def handle(self, *_words: Any, **options: Any) -> None:
        """Resume, or say why there is nothing to resume."""
        named = options["account"]
        rows = Account.objects.filter(id=named) if named.isdigit() else Account.objects.filter(name=named)
        account = rows.first()
        if account is None:
            raise CommandError(f"There is no account {named}.")
        try:
            account = services.resume_trading(account.pk, by=None, reason=options["reason"], now=timezone.now())
        except services.UnableToResume as refused:
            raise CommandError(str(refused)) from None
        self.stdout.write(f"{account.name}: {account.state} {account.state_reason}".rstrip())
