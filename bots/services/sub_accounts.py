"""Give every bot of a line-up a sub-account of its own: own key, own ledger, own trader."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Final

from django.db import transaction

from bots.lineups import PlannedBot
from bots.models import Bot
from bots.services.creating import create_bot
from bots.services.shares import set_shares
from portfolio.models import Account
from portfolio.services import open_sub_account
from portfolio.writers import accounts

if TYPE_CHECKING:
    from django.contrib.auth.models import User

_LETTERS: Final = "0123456789abcdefghjkmnpqrstvwxyz"
_DEPLOY_LENGTH: Final = 6
_WHOLE: Final = Decimal(100)


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenedAtExchange:
    """A sub-account as the exchange opened it, with a key that may read and trade."""

    planned: PlannedBot
    venue_name: str
    uid: str
    api_key: str
    api_secret: str


def account_name(master: Account, planned: PlannedBot) -> str:
    """Name the account of a bot after its master."""
    return f"{master.name} / {planned.key}"


def open_for_bots(*, master_id: int, opened: Sequence[OpenedAtExchange], by: User | None, now: datetime) -> list[Account]:
    """Take the sub-accounts of a line-up into the books, with one stopped bot each that owns all of it; all or none.

    The money comes by transfers, each of which is dealt out to the bot when it has arrived.
    """
    master = Account.objects.get(id=master_id)
    found = []
    with transaction.atomic():
        for one in opened:
            account = open_sub_account(
                master_id=master_id,
                name=account_name(master, one.planned),
                venue_name=one.venue_name,
                venue_uid=one.uid,
                deploy="".join(secrets.choice(_LETTERS) for _ in range(_DEPLOY_LENGTH)),
                key=one.api_key,
                secret=one.api_secret,
                by=by,
                now=now,
            )
            if account.target_percent is None and one.planned.percent:
                account.target_percent = one.planned.percent
                accounts.changed(account, "target_percent")
            if not Bot.objects.filter(book__account=account).exists():
                bot = create_bot(account_id=account.pk, planned=one.planned, by=by, now=now)
                set_shares(account_id=account.pk, percents={bot.pk: _WHOLE}, by=by, now=now, after_flows=True)
            found.append(account)
    return found
