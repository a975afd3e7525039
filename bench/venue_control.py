"""What a benchmark asks of the venue: limits beyond a real exchange's, and money that the ledger knows before it is used."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
import urllib.request
from collections.abc import Callable
from decimal import Decimal
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from portfolio.models import Account


def fund(account: Account, address: str, capital: Decimal) -> None:
    """Bring the money, and wait until the ledger has it as a deposit: what nobody heard come would halt entries.

    Leaves with a message when the account does not become active, or the deposit is not booked, within a minute.
    """
    _wait(account, lambda: account.state == "active", "the trader to have recovered")
    flows = account.net_flows
    control(address, "/control/faucet", {"uid": account.venue_uid, "asset": account.quote_asset, "amount": str(capital)})
    _wait(account, lambda: account.net_flows >= flows + capital, "the deposit to be booked")


def control(address: str, path: str, body: dict[str, Any]) -> dict[str, Any]:
    """Ask the venue's control address for something; raise HTTPError when it refuses."""
    data = json.dumps(body).encode()
    request = urllib.request.Request(f"{address}{path}", data=data, headers={"Content-Type": "application/json"}, method="POST")
    with urllib.request.urlopen(request, timeout=10) as answer:
        told: dict[str, Any] = json.load(answer)
    return told


def begin_anew(account: Account) -> None:
    """End the trader, which reads limits and filters when it begins; the supervisor starts another."""
    from portfolio.models import Heartbeat

    def facts() -> dict[str, Any]:
        told: dict[str, Any] = Heartbeat.objects.values_list("facts", flat=True).get(process=f"trader {account.pk}")
        return told

    before = facts()["pid"]
    os.kill(int(before), signal.SIGTERM)
    _wait(account, lambda: facts()["pid"] != before and facts()["is_recovered"], "another trader")
    account.refresh_from_db()


def _wait(account: Account, is_so: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 60
    while not is_so():
        if time.monotonic() > deadline:
            sys.exit(f"Waited a minute for {what}; the account is {account.state} ({account.state_reason}).")
        time.sleep(0.5)
        account.refresh_from_db()
