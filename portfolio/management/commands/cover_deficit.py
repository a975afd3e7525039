"""Cover what a book owes in coins."""

from __future__ import annotations

import json
from decimal import Decimal, InvalidOperation
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from portfolio.models import Account, Book
from portfolio.selectors.deficits import deficits
from portfolio.services.deficits import UnableToCover, cover_deficit
from trading.ledger import plain


class Command(BaseCommand):
    """List deficits in coins, or cover one."""

    help = "List what books owe in coins; with --book, --asset and --reason: buy it for the book at the mark."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the options."""
        parser.add_argument("--account", required=True, help="name or id of the account")
        parser.add_argument("--book", help="name of the book that owes; without it deficits are listed")
        parser.add_argument("--asset", help="the coin, for example BTC")
        parser.add_argument("--amount", help="how much of it; all unless given")
        parser.add_argument("--from", dest="source", help="name of the book that gives; the unallocated pool unless given")
        parser.add_argument("--reason", help="what you found")
        parser.add_argument("--json", action="store_true", help="print facts as JSON")

    def handle(self, *_words: Any, **options: Any) -> None:
        """List, or cover and say what it cost."""
        named = options["account"]
        account = Account.objects.filter(**{"id" if named.isdigit() else "name": named}).first()
        if account is None:
            raise CommandError(f"There is no account {named}.")
        if options["book"] is None:
            self._list(account, is_json=options["json"])
            return
        if not options["asset"] or not options["reason"]:
            raise CommandError("Say --asset and --reason.")
        try:
            row = cover_deficit(
                account_id=account.pk,
                book_id=_book(account, options["book"]),
                asset=options["asset"],
                source_id=None if options["source"] is None else _book(account, options["source"]),
                amount=None if options["amount"] is None else Decimal(options["amount"]),
                by=None,
                reason=options["reason"],
                now=timezone.now(),
            )
        except InvalidOperation:
            raise CommandError(f"{options['amount']} is no amount.") from None
        except UnableToCover as refused:
            raise CommandError(f"{refused.code}: {refused}") from None
        facts = {"amount": plain(row.quantity), "mark": plain(row.mark), "value": plain(row.value)}
        text = f"{options['book']} bought {facts['amount']} {options['asset']} at {facts['mark']} for {facts['value']}."
        self.stdout.write(json.dumps(facts) if options["json"] else text)

    def _list(self, account: Account, *, is_json: bool) -> None:
        found = deficits(account)
        if is_json:
            rows = [{"book": row.bot, "asset": row.asset, "amount": plain(row.amount)} for row in found]
            self.stdout.write(json.dumps(rows))
            return
        for row in found:
            sources = ", ".join(f"{source.name} has {plain(source.free)}" for source in row.sources) or "nobody has any free"
            self.stdout.write(f"{row.bot} owes {plain(row.amount)} {row.asset}; {sources}.")
        if not found:
            self.stdout.write(f"No book of {account.name} owes coins.")


def _book(account: Account, name: str) -> int:
    found = Book.objects.filter(account=account, name=name).first()
    if found is None:
        names = ", ".join(Book.objects.filter(account=account).order_by("number").values_list("name", flat=True))
        raise CommandError(f"There is no book {name}. Known: {names}.")
    return found.pk
