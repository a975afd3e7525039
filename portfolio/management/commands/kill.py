"""Stop all new entries at once, and cancel what is live; works with the database alone."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any, Final

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import InterfaceError, OperationalError
from django.utils import timezone

from portfolio import services
from portfolio.models import Account, Heartbeat
from portfolio.trader.process import KILL_FILE

_ALIVE: Final = timedelta(seconds=10)


class Command(BaseCommand):
    """Kill, or release."""

    help = "Stop all entries and cancel every live order; --release lets the bots trade again."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the options."""
        parser.add_argument("--account", help="name or id of one account; all of them unless given")
        parser.add_argument("--release", action="store_true", help="let entries be taken again")
        parser.add_argument("--reason", default="", help="why; needed to release")

    def handle(self, *_words: Any, **options: Any) -> None:
        """Write the decision down first; the traders act on it."""
        file = Path(settings.TRADEAPP_DATA_DIR) / KILL_FILE
        if options["release"] and not options["reason"]:
            raise CommandError("Say why it is safe to trade again: --release --reason '...'.")
        if options["release"] and file.exists():
            raise CommandError(f"The file {file} keeps every account killed. Remove it, then release.")
        try:
            for account in _accounts(options["account"]):
                if options["release"]:
                    self._release(account, options["reason"])
                else:
                    self._kill(account, options["reason"] or "kill command")
        except (OperationalError, InterfaceError) as error:
            if options["release"]:
                raise CommandError(f"The database does not answer; nothing was released: {error}".strip()) from error
            file.touch()
            raise CommandError(
                f"The database does not answer, so {file} was written instead: every trader obeys it within a second "
                f"once it can work at all. ({str(error).strip()})"
            ) from error

    def _kill(self, account: Account, reason: str) -> None:
        services.kill(account.pk, by=None, reason=reason, now=timezone.now())
        self.stdout.write(f"{account.name}: killed. No entry is sent any more, and every live order is being cancelled.")
        beat = Heartbeat.objects.filter(process__startswith="trader", facts__account=account.pk).order_by("-beat_at").first()
        if beat is None or timezone.now() - beat.beat_at > _ALIVE:
            self.stdout.write(
                f"{account.name}: its trader is not running, so cancels wait for its next start. "
                "If you cannot start it, revoke the API key at the exchange and cancel the orders there."
            )

    def _release(self, account: Account, reason: str) -> None:
        services.release_kill(account.pk, by=None, reason=reason, now=timezone.now())
        self.stdout.write(f"{account.name}: released. Bots that are running may enter again.")


def _accounts(wanted: str | None) -> list[Account]:
    rows = Account.objects.filter(is_enabled=True)
    if wanted:
        rows = Account.objects.filter(id=int(wanted)) if wanted.isdigit() else Account.objects.filter(name=wanted)
    found = list(rows.order_by("id"))
    if not found:
        names = ", ".join(Account.objects.order_by("name").values_list("name", flat=True)) or "none"
        raise CommandError(f"There is no such account. Known: {names}.")
    return found
