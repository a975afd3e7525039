"""Open the keys of an account; they stay in the memory of the process that asked."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from django.conf import settings

from exchange import connect, redaction, secrets
from exchange.addresses import trouble_with_address
from exchange.ports import TradingPort, TransferPort
from portfolio.models import Account, Credential
from portfolio.writers.accounts import RESTORED

Role = Credential.Role


class UnableToTrade(Exception):
    """Raised when this account cannot be traded until a person has changed something."""


class AwaitsReopening(Exception):
    """Raised when the books come from a backup and no person has had them compared with the exchange yet."""


def demand_open_books(account_id: int) -> None:
    """Refuse to act for an account that was restored and not reopened: its first installation may still be alive."""
    name, reason = Account.objects.values_list("name", "state_reason").get(id=account_id)
    if reason == RESTORED:
        raise AwaitsReopening(
            f"{name} was restored from a backup: `python manage.py reopen` compares it with the exchange first."
        )


def open_port(account: Account, key: str, secret: str) -> TradingPort:
    """Connect to the exchange of an account. Needs a running event loop."""
    return connect.trading_port(key=key, secret=secret, **_address(account))


def open_transfer_port(account: Account, key: str, secret: str) -> TransferPort:
    """Connect to the exchange as a master that moves money between its accounts. Needs a running event loop."""
    return connect.transfer_port(key=key, secret=secret, **_address(account))


def account_and_key(account_id: int, *, roles: tuple[str, ...] = (Role.TRADE,)) -> tuple[Account, str, str]:
    """Load an account and decrypt the first key it has in these roles."""
    account = Account.objects.select_related("market").get(id=account_id)
    if not account.is_enabled:
        raise UnableToTrade(f"Account {account.name} is disabled.")
    kept = {credential.role: credential for credential in Credential.objects.filter(account=account)}
    for role in roles:
        if role in kept:
            return account, *_open(kept[role])
    raise UnableToTrade(f"Account {account.name} has no key that may {roles[0]}. Store one first.")


def _address(account: Account) -> dict[str, Any]:
    market = account.market
    has_real_money = account.mode == Account.Mode.LIVE
    trouble = trouble_with_address(exchange=market.exchange, rest_url=market.rest_url, has_real_money=has_real_money)
    if trouble:
        raise UnableToTrade(trouble)
    return {
        "exchange": market.exchange,
        "rest_url": market.rest_url,
        "stream_url": market.stream_url,
        "is_local": bool(market.control_url),
        "uid": account.venue_uid,
    }


def _demand_trader(credential: Credential) -> None:
    """Refuse processes that have no business with keys: pages, workers, feeds, and the traders of other accounts."""
    process: str = settings.TRADEAPP_PROCESS
    # "trader 3", and "trader 3 standby", which takes over when the first is gone.
    role, account = (*process.split(), "", "")[:2]
    if role.startswith(("web", "worker", "beat", "feed")) or (role == "trader" and account != str(credential.account_id)):
        raise UnableToTrade(f"The process {process} opens no keys of account {credential.account_id}.")


def _open(credential: Credential) -> tuple[str, str]:
    _demand_trader(credential)
    if credential.trouble:
        raise UnableToTrade(f"The {credential.role} key ending in {credential.key_last4} is not used: {credential.trouble}")
    context = secrets.credential_context(credential.account_id, credential.role)
    try:
        content = json.loads(secrets.unseal(credential.sealed, context=context, key_file=Path(settings.MASTER_KEY_FILE)))
    except (secrets.SealBroken, secrets.MasterKeyMissing) as error:
        raise UnableToTrade(str(error)) from error
    redaction.remember(content["key"])
    redaction.remember(content["secret"])
    return content["key"], content["secret"]
