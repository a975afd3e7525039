"""Open accounts and stop them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING

from django.db import transaction

from marketdata.models import Market
from portfolio.models import Account, Book
from portfolio.writers import accounts, audit, flows, risk
from trading.ledger import ZERO, exactly

if TYPE_CHECKING:
    from django.contrib.auth.models import User


@exactly
def open_account(
    *,
    name: str,
    market: Market,
    mode: str,
    deploy: str,
    quote_asset: str,
    balances: Mapping[str, Decimal],
    books: Sequence[tuple[int, str]],
    now: datetime,
    market_at: datetime | None = None,
    venue_uid: str = "",
) -> Account:
    """Open an account with its books and post the opening balances as the operator's deposit.

    Safe to repeat: the account of that name comes back, and only books it lacks are opened.
    """
    with transaction.atomic():
        account, is_new = Account.objects.get_or_create(
            name=name,
            defaults={
                "market": market,
                "mode": mode,
                "deploy": deploy,
                "quote_asset": quote_asset,
                "venue_uid": venue_uid,
                "created_at": now,
            },
        )
        account = accounts.lock(account.pk)
        for number, book_name in books:
            Book.objects.get_or_create(account=account, number=number, defaults={"name": book_name, "opened_at": now})
        if account.opened_at is None:
            for asset, amount in sorted(balances.items()):
                if amount != ZERO:
                    reference = f"opening:{asset}"
                    flows.record_flow(
                        account, asset=asset, amount=amount, reference=reference, market_at=market_at or now, now=now
                    )
            account.opened_at = now
            accounts.changed(account, "opened_at")
            risk.open_limits(account, equity=account.net_flows, now=now)
        if is_new:
            audit.record(
                action="account.open",
                subject=f"account:{account.pk}",
                after={"name": name, "balances": {asset: str(amount) for asset, amount in balances.items()}},
                now=now,
            )
        return account


def kill(account_id: int, *, by: User | None, reason: str, now: datetime, request_id: str = "") -> Account:
    """Stop all new entries at once, durably; the trader cancels what is live."""
    with transaction.atomic():
        account = accounts.lock(account_id)
        if not account.is_killed:
            account.is_killed, account.killed_at, account.killed_reason = True, now, reason[:200]
            accounts.changed(account, "is_killed", "killed_at", "killed_reason")
            audit.record(
                action="account.kill",
                subject=f"account:{account.pk}",
                actor=by,
                after={"reason": reason},
                now=now,
                request_id=request_id,
            )
        accounts.wake_trader(account.pk, "kill")
        return account


def release_kill(account_id: int, *, by: User | None, reason: str, now: datetime, request_id: str = "") -> Account:
    """Let entries be taken again; only a person does this."""
    with transaction.atomic():
        account = accounts.lock(account_id)
        if account.is_killed:
            before = {"reason": account.killed_reason}
            account.is_killed, account.killed_at, account.killed_reason = False, None, ""
            accounts.changed(account, "is_killed", "killed_at", "killed_reason")
            audit.record(
                action="account.release_kill",
                subject=f"account:{account.pk}",
                actor=by,
                before=before,
                after={"reason": reason},
                now=now,
                request_id=request_id,
            )
        accounts.wake_trader(account.pk, "kill")
        return account
