"""Who may act for an account at this moment."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Final

from portfolio.models import Lease

# No order is written so close to the end of the lease that its request could still be valid after it.
SEND_MARGIN_SECONDS: Final = 6


def traders_away(account_ids: Collection[int], *, now: datetime) -> list[int]:
    """Return the accounts of these that have no trader who could send an order now."""
    names = {f"trader:{account_id}": account_id for account_id in account_ids}
    until = now + timedelta(seconds=SEND_MARGIN_SECONDS)
    there = set(Lease.objects.filter(name__in=names, expires_at__gt=until).exclude(holder="").values_list("name", flat=True))
    return sorted(account_id for name, account_id in names.items() if name not in there)
