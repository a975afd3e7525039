"""Open sub-accounts at the local venue: an account there, a key and a bot for each bot of a line-up; safe to repeat."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime

from bots import venue_control
from bots.lineups import PlannedBot
from bots.services.operating import UnableToOperate
from bots.services.sub_accounts import OpenedAtExchange, open_for_bots
from exchange.ports import SubAccount
from portfolio.models import Account, Credential
from portfolio.services.credentials import store_credential
from portfolio.trader import keys


def open_at_local_venue(*, master_id: int, planned: Sequence[PlannedBot], now: datetime) -> list[Account]:
    """Open what is missing at the venue and in the books, with a stopped bot in each; answer all accounts."""
    master = Account.objects.select_related("market").get(id=master_id)
    control_url = master.market.control_url
    if not control_url:
        raise UnableToOperate(
            "SUBACCOUNTS_BY_HAND",
            "Only the local venue opens sub-accounts with keys by itself: on an exchange a person makes the keys.",
        )
    if not Credential.objects.filter(account=master, role=Credential.Role.TRANSFER).exists():
        key = venue_control.open_transfer_key(control_url, uid=master.venue_uid)
        store_credential(account=master, key=key.api_key, secret=key.api_secret, now=now, role=Credential.Role.TRANSFER)
    found = asyncio.run(_open_at_exchange(*keys.account_and_key(master.pk, roles=(Credential.Role.TRANSFER,)), planned))
    opened = [_with_key(control_url, bot, account) for bot, account in zip(planned, found, strict=True)]
    return open_for_bots(master_id=master.pk, opened=opened, by=None, now=now)


async def _open_at_exchange(master: Account, key: str, secret: str, planned: Sequence[PlannedBot]) -> list[SubAccount]:
    port = keys.open_transfer_port(master, key, secret)
    try:
        await port.server_time_ms()
        await port.balances()
        return [await port.open_sub_account(f"{bot.key}_{master.venue_uid}") for bot in planned]
    finally:
        await port.close()


def _with_key(control_url: str, planned: PlannedBot, opened: SubAccount) -> OpenedAtExchange:
    key = venue_control.open_paper_account(control_url, name=opened.venue_name, balances={})
    return OpenedAtExchange(
        planned=planned, venue_name=opened.venue_name, uid=opened.uid, api_key=key.api_key, api_secret=key.api_secret
    )
