"""Open sub-accounts: an account row, a key and a ledger of its own for each, under one master."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from django.db import transaction

from portfolio.models import Account
from portfolio.services.accounts import open_account
from portfolio.services.credentials import store_credential
from portfolio.writers import accounts, audit

if TYPE_CHECKING:
    from django.contrib.auth.models import User

    from exchange.ports import KeyPermissions


class UnableToOpen(Exception):
    """Raised when a sub-account cannot be opened; carries a reason code."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def open_sub_account(
    *,
    master_id: int,
    name: str,
    venue_name: str,
    venue_uid: str,
    deploy: str,
    key: str,
    secret: str,
    by: User | None,
    now: datetime,
    rights: KeyPermissions | None = None,
) -> Account:
    """Take an account that the exchange has opened under a master into the books, empty; safe to repeat.

    Its number at the exchange is demanded: the adapter is bound to it and refuses the answers of any other (I-36).
    """
    with transaction.atomic():
        master = accounts.lock(master_id)
        if master.master_id is not None:
            raise UnableToOpen("SUBACCOUNT_NESTED", f"{master.name} is a sub-account itself.")
        if not venue_uid or venue_uid == master.venue_uid:
            raise UnableToOpen("SUBACCOUNT_UID", f"{name} needs a number of its own at the exchange.")
        known = Account.objects.filter(name=name).first()
        if known is not None:
            if (known.master_id, known.venue_uid) != (master.pk, venue_uid):
                raise UnableToOpen("SUBACCOUNT_TAKEN", f"There is another account called {name}.")
            return known
        if Account.objects.filter(market=master.market, venue_uid=venue_uid).exists():
            raise UnableToOpen("SUBACCOUNT_UID", f"The exchange's account {venue_uid} is in the books already.")
        opened = open_account(
            name=name,
            market=master.market,
            mode=master.mode,
            deploy=deploy,
            quote_asset=master.quote_asset,
            balances={},
            books=[],
            now=now,
            market_at=master.synced_through_at,
            venue_uid=venue_uid,
        )
        opened.master, opened.venue_name = master, venue_name
        accounts.changed(opened, "master", "venue_name")
        store_credential(account=opened, key=key, secret=secret, now=now, rights=rights, by=by)
        audit.record(
            action="account.adopt",
            subject=f"account:{opened.pk}",
            actor=by,
            after={"master": master.pk, "venue_name": venue_name, "venue_uid": venue_uid},
            now=now,
        )
        return opened
