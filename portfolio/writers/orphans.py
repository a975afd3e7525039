"""Let go of one live order."""

from __future__ import annotations

from datetime import datetime

from portfolio.models import Account
from portfolio.writers.store import open_desk
from trading.desk.releases import call_off, note_lost_stop
from trading.ledger import exactly


@exactly
def cancel_one(account: Account, client_order_id: str, *, reason: str, now: datetime) -> bool:
    """Ask for the cancel of one live order, or take it back if it was never sent; False when it does not live (any more).

    A protective stop that goes leaves its position marked as unprotected. The account is locked.
    """
    desk = open_desk(account, now=now)
    found = [order for order in desk.live if order.client_order_id == client_order_id]
    for place in sorted(call_off(desk, found, [], reason=reason)):
        note_lost_stop(desk, *place)
    if found:
        desk.touch_account()
    desk.write()
    return bool(found)
