"""What must be true whenever the market stands still, whatever was broken before."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import Any

from tools.chaos.system import PROJECT, System

SETTLE_SECONDS = 120.0
# Orders that the timed starts place past the product carry such names; the ledger books their trades as made by hand.
BY_HAND = "byhand-"
MOVING = ("ready", "sending", "unknown", "cancelling")
LIVE = (*MOVING, "open", "partial")
# Never seen at the exchange, and proven so.
NEVER_LIVED = ("ready", "withdrawn", "rejected", "absent")
_LEDGER = """
    SELECT asset, sum(balance) FROM portfolio_ledgeraccount
    WHERE account_id = %s AND kind NOT LIKE 'external%%' GROUP BY asset
"""
_SUSPENSE = "SELECT asset, balance FROM portfolio_ledgeraccount WHERE account_id = %s AND kind = 'suspense' AND balance <> 0"


def come_to_rest(system: System) -> None:
    """Let the market stand still and everything that is on its way arrive."""
    system.control("pause", {})
    account, _ = system.account()
    system.wait(lambda: _is_at_rest(system, account), "every order has its outcome", seconds=SETTLE_SECONDS, every=0.2)


def go_on(system: System) -> None:
    """Let the market go on."""
    system.control("resume", {})


def violations(system: System) -> list[str]:
    """Compare ledger and exchange to the last unit; answer everything that is wrong."""
    account, uid = system.account()
    books = system.control(f"books/{uid}")
    return [
        *_names(system, account, books),
        *_outcomes(system, account, books),
        *_totals(system, account, books),
        *_trades(system, account, books),
        *_alarms(system, account),
    ]


def audit(system: System, token: Path) -> list[str]:
    """Have the independent audit compare everything; answer its differences."""
    words = ["--api", f"http://127.0.0.1:{system.port}", "--control", system.address("VENUE_CONTROL_URL")]
    answer = subprocess.run(
        [sys.executable, "tools/audit.py", *words, "--token-file", str(token), "--json"],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        timeout=600,
    )
    if answer.returncode == 2 or not answer.stdout:
        return [f"audit: {answer.stderr.strip()[-500:]}"]
    return [f"audit: {line}" for line in json.loads(answer.stdout)["differences"]]


def order_states(system: System) -> Counter[str]:
    """Count live orders by status; nothing while the database is away."""
    statement = "SELECT status, count(*) FROM portfolio_order WHERE status = ANY(%s) GROUP BY status"
    return Counter({str(status): int(count) for status, count in system.rows_if_there(statement, list(LIVE))})


def _is_at_rest(system: System, account: int) -> bool:
    moving = """
        SELECT count(*) FROM portfolio_order
        WHERE account_id = %s AND (status = ANY(%s) OR (final_status <> '' AND status = ANY(%s)))
    """
    waiting = """
        SELECT count(*) FROM portfolio_intent JOIN portfolio_book ON portfolio_book.id = book_id
        WHERE account_id = %s AND state = 'waiting'
    """
    posted = system.rows_if_there("SELECT trades_posted, venue_uid FROM portfolio_account WHERE id = %s", account)
    if not posted or system.rows(moving, account, list(MOVING), list(LIVE))[0][0] or system.rows(waiting, account)[0][0]:
        return False
    # What the exchange has booked must have arrived, and what rests there must be known to rest.
    books = system.control(f"books/{posted[0][1]}")
    return int(posted[0][0]) == len(books["trades"]) and not _outcomes(system, account, books)


def _names(system: System, account: int, books: dict[str, Any]) -> list[str]:
    """No name was used twice, none is foreign, none of ours is missing."""
    names = [str(order["clientOrderId"]) for order in books["orders"]]
    used = Counter(name for name in names if not name.startswith(BY_HAND))
    found = [f"order {name} was sent {count} times" for name, count in used.items() if count > 1]
    ours = system.rows("SELECT client_order_id, status FROM portfolio_order WHERE account_id = %s", account)
    sent = {name for name, status in ours if status not in NEVER_LIVED}
    found += [f"orphan at the exchange: {name}" for name in sorted(used.keys() - {name for name, _ in ours})]
    found += [
        f"order {name} was called dead and lives at the exchange" for name in sorted((used.keys() & {n for n, _ in ours}) - sent)
    ]
    return found + [f"order {name} is missing at the exchange" for name in sorted(sent - used.keys())]


def _outcomes(system: System, account: int, books: dict[str, Any]) -> list[str]:
    """Every order that was sent has an outcome, and both sides agree which orders rest."""
    rows = system.rows(
        "SELECT client_order_id, status FROM portfolio_order WHERE account_id = %s AND status = ANY(%s)", account, list(LIVE)
    )
    found = [f"order {name} is {status} at rest" for name, status in rows if status in MOVING]
    resting = {str(order["clientOrderId"]) for order in books["orders"] if order["status"] in ("NEW", "PARTIALLY_FILLED")}
    known = {name for name, _ in rows}
    found += [f"order {name} rests at the exchange and not in the books" for name in sorted(resting - known)]
    return found + [f"order {name} rests in the books and not at the exchange" for name in sorted(known - resting)]


def _totals(system: System, account: int, books: dict[str, Any]) -> list[str]:
    """The ledger is the exchange's balance, to the last unit, and nothing is unexplained."""
    ours = {str(asset): Decimal(total) for asset, total in system.rows(_LEDGER, account) if total}
    theirs = {asset: Decimal(row["free"]) + Decimal(row["locked"]) for asset, row in books["balances"].items()}
    found = [
        f"{asset}: ledger {ours.get(asset, 0)}, exchange {theirs.get(asset, 0)}"
        for asset in sorted(ours.keys() | theirs.keys())
        if ours.get(asset, Decimal(0)) != theirs.get(asset, Decimal(0))
    ]
    return found + [f"suspense: {balance} {asset}" for asset, balance in system.rows(_SUSPENSE, account)]


def _trades(system: System, account: int, books: dict[str, Any]) -> list[str]:
    """Every trade is posted once and belongs to the order whose name it carries."""
    statement = """
        SELECT instrument.venue_symbol, fill.trade_id, "order".client_order_id FROM portfolio_fill AS fill
        JOIN marketdata_instrument AS instrument ON instrument.id = fill.instrument_id
        LEFT JOIN portfolio_order AS "order" ON "order".id = fill.order_id WHERE fill.account_id = %s
    """
    ours = Counter((str(symbol), int(number), name or "") for symbol, number, name in system.rows(statement, account))
    theirs = Counter((str(row["symbol"]), int(row["id"]), _owned_name(str(row["clientOrderId"]))) for row in books["trades"])
    found = [f"trade {key} is posted {count} times" for key, count in ours.items() if count > 1]
    found += [f"trade {key} is not posted" for key in sorted((theirs - ours).keys())]
    return found + [f"trade {key} never happened" for key in sorted((ours - theirs).keys())]


def _owned_name(name: str) -> str:
    return "" if name.startswith(BY_HAND) else name


def _alarms(system: System, account: int) -> list[str]:
    """Nothing was ever unexplained, and nothing is halted: an alarm that rang for nothing is a defect, too."""
    found = [
        f"a reconciliation ({cause}) found a residual at {at:%H:%M:%S}"
        for cause, at in system.rows(
            "SELECT cause, finished_at FROM portfolio_reconciliation WHERE account_id = %s AND outcome = 'residual'", account
        )
    ]
    ((state, reason),) = system.rows("SELECT state, state_reason FROM portfolio_account WHERE id = %s", account)
    return found if state == "active" else [*found, f"the account is {state}: {reason}"]
