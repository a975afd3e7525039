"""People from the machine's own shell: `users invite EMAIL --role R`, `users list`, `users role NAME --role R`."""

from __future__ import annotations

import json
from typing import Any

from django.conf import settings
from django.contrib.auth.models import User
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from tradeapp import environment, people, roles, second_factor
from tradeapp.access import Role


class Command(BaseCommand):
    """Invite, list and change people."""

    help = "Invite people and change what they may do."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the options."""
        parser.add_argument("what", choices=["invite", "list", "role", "disable", "enable", "reset-second-factor"])
        parser.add_argument("name", nargs="?", default="", help="e-mail address or name")
        parser.add_argument("--role", choices=list(Role), default=None)
        parser.add_argument("--base-url", help="address of the dashboard; by default that of the running system")
        parser.add_argument("--json", action="store_true")

    def handle(self, *_words: Any, **options: Any) -> None:
        """Do it and say so."""
        try:
            facts = self._do(options["what"], options)
        except people.UnableToAdmit as refused:
            raise CommandError(f"{refused.code}: {refused}") from refused
        if options["json"]:
            self.stdout.write(json.dumps(facts))
            return
        for fact in facts:
            self.stdout.write("  ".join(str(value) for value in fact.values()))

    def _do(self, what: str, options: dict[str, Any]) -> list[dict[str, Any]]:
        now = timezone.now()
        if what == "list":
            return [_describe(user) for user in User.objects.order_by("id")]
        if what == "invite":
            if options["role"] is None:
                raise CommandError("Say as what: --role viewer, operator or admin.")
            remembered = environment.remembered_addresses(settings.TRADEAPP_DATA_DIR).get("DASHBOARD_URL")
            base_url = options["base_url"] or remembered or "http://127.0.0.1:8000"
            user, link = people.invite(email=options["name"], role=options["role"], by=None, base_url=base_url, now=now)
            return [_describe(user) | {"sign_in_link": link}]
        found = User.objects.filter(username=options["name"]).first()
        if found is None:
            raise CommandError(f"There is nobody named {options['name'] or '(no name given)'}: `users list` shows them.")
        if what == "role":
            people.set_role(user_id=found.pk, role=options["role"] or "", by=None, now=now)
        elif what == "reset-second-factor":
            second_factor.remove(found, by=None, now=now)
        else:
            people.set_active(user_id=found.pk, is_active=what == "enable", by=None, now=now)
        return [_describe(User.objects.get(pk=found.pk))]


def _describe(user: User) -> dict[str, Any]:
    return {
        "name": user.get_username(),
        "role": str(roles.stored_role(user)),
        "is_active": user.is_active,
        "has_second_factor": second_factor.is_set_up(user),
    }
