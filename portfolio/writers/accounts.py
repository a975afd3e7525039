"""Lock an account and keep its head: state, version, sequences."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from functools import partial

from django.db import connection, transaction

from portfolio.models import Account, LedgerAccount
from portfolio.writers import alarms, audit
from portfolio.writers.loading import locked_account
from stream.publish import publish_on_commit

RECONCILE_RESIDUAL = alarms.RECONCILE_RESIDUAL
# The books come from a backup: nothing is sent before a person has them reopened.
RESTORED = "RESTORED"


def lock(account_id: int) -> Account:
    """Lock the account's row: the first statement of every money transaction.

    Use the returned object through the whole transaction: its sequences are counted in memory.
    """
    return locked_account(account_id)


def changed(account: Account, *fields: str) -> None:
    """Save these fields with a raised version and tell the browsers, once for each transaction."""
    account.version += 1
    account.save(update_fields=["version", *fields])
    if not account.is_announced:
        account.is_announced = True
        transaction.on_commit(partial(_announce, account))


def wake_trader(account_id: int, word: str) -> None:
    """Wake the account's trader at commit: orders, cancel, kill, bars or advanced."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_notify(%s, %s)", [f"trader_{account_id}", word])


def set_state(account: Account, state: str, reason: str, *, now: datetime) -> None:
    """Move the account to a state, with an audit entry if that is news."""
    if (account.state, account.state_reason) == (state, reason):
        return
    before = {"state": account.state, "reason": account.state_reason}
    account.state, account.state_reason = state, reason
    changed(account, "state", "state_reason")
    audit.record(
        action="account.state",
        subject=f"account:{account.pk}",
        before=before,
        after={"state": state, "reason": reason},
        now=now,
    )
    alarms.follow_state(account, now=now)
    publish_on_commit("health", "changed", {"account": account.pk}, seq=account.version)


def halt_entries(account: Account, reason: str, *, now: datetime) -> None:
    """Stop entries on the account; exits keep working. A full halt is not softened."""
    if account.state != Account.State.HALTED:
        set_state(account, Account.State.ENTRIES_HALTED, reason, now=now)


def lift_halt(account: Account, *, now: datetime) -> None:
    """End a halt of entries; what is unexplained in the ledger still halts them."""
    is_unexplained = LedgerAccount.objects.filter(account=account, kind=LedgerAccount.Kind.SUSPENSE).exclude(balance=0).exists()
    if is_unexplained:
        set_state(account, Account.State.ENTRIES_HALTED, RECONCILE_RESIDUAL, now=now)
    else:
        set_state(account, Account.State.ACTIVE, "", now=now)


def mark_synced(account: Account, market_at: datetime) -> None:
    """Note that every fill up to this market time is posted; time never runs backwards."""
    if account.synced_through_at is None or account.synced_through_at < market_at:
        account.synced_through_at = market_at
        account.save(update_fields=["synced_through_at"])


def _announce(account: Account) -> None:
    # The version is read at the commit: later changes of the same transaction have raised it.
    account.is_announced = False
    for topic in ("portfolio", "orders"):
        publish_on_commit(topic, "changed", {"account": account.pk}, seq=account.version)


def add_flow(account: Account, amount_quote: Decimal) -> None:
    """Count a deposit or withdrawal, valued in quote, so that it never looks like profit."""
    account.net_flows += amount_quote
    account.save(update_fields=["net_flows"])
