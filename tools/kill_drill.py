#!/usr/bin/env python3
"""Kill the processes of a running paper installation, again and again, and watch it recover.

    python tools/kill_drill.py --data-dir DIR [--rounds 3]

In every round the trader, the trading worker with its pool, the venue, PostgreSQL and Valkey are each killed with
SIGKILL while an order is being sent (or, when none comes by in time, while orders are open). After each kill the market
must go on by itself. At the end it reports what the ledger and the venue say: reconciliations, suspense, order names
used twice, orders left without an outcome. Exit code 0 when trading resumed every time and nothing was lost.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import sys
import time
import urllib.request
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

VICTIMS = ("trader", "worker trading", "venue", "postgres", "valkey")
LIVE = ["ready", "sending", "unknown", "open", "partial", "cancelling"]
WAIT_FOR_SENDING_SECONDS = 45.0
RESUME_SECONDS = 180.0
BARS_AFTER = 6


class Stuck(Exception):
    """Raised when the market did not go on."""


@dataclass(slots=True)
class Installation:
    """A running installation, found through its data directory."""

    data_dir: Path

    def address(self, name: str) -> str:
        """Return one of the addresses that `up` chose."""
        return str(json.loads((self.data_dir / "addresses.json").read_text(encoding="utf-8"))[name])

    def pid(self, name: str) -> int:
        """Return the process that is running now under a name."""
        newest = max((self.data_dir / "run").glob("*.json"), key=lambda path: path.stat().st_mtime)
        children = json.loads(newest.read_text(encoding="utf-8"))["children"]
        found = [row["pid"] for row in children if row["name"].startswith(name) and Path(f"/proc/{row['pid']}").exists()]
        if not found:
            raise Stuck(f"no process called {name} is running")
        return int(found[-1])

    def clock(self) -> dict[str, Any]:
        """Read the venue's clock."""
        return self._control("clock")

    def books(self, uid: str) -> dict[str, Any]:
        """Read the venue's own books."""
        return self._control(f"books/{uid}")

    def database(self) -> psycopg.Connection[tuple[Any, ...]]:
        """Open a connection of our own."""
        return psycopg.connect(self.address("DATABASE_URL"), autocommit=True)

    def _control(self, path: str) -> dict[str, Any]:
        with urllib.request.urlopen(f"{self.address('VENUE_CONTROL_URL')}/control/{path}", timeout=10) as answer:  # noqa: S310
            read: dict[str, Any] = json.load(answer)
            return read


def main() -> int:
    """Run the drill."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    installation = Installation(arguments.data_dir)
    try:
        for number in range(1, arguments.rounds + 1):
            for victim in VICTIMS:
                _kill_once(installation, victim, number)
        return _report(installation)
    except Stuck as stuck:
        print(f"STUCK: {stuck}", flush=True)
        return 1


def _kill_once(installation: Installation, victim: str, number: int) -> None:
    states = _wait_for_moment(installation)
    family = _family(installation.pid(victim))
    before = installation.clock()["market_time"]
    for pid in family:
        _kill(pid)
    began = time.monotonic()
    after = _wait_for_market(installation, before)
    seconds = time.monotonic() - began
    print(
        f"round {number}: killed {victim} ({len(family)} processes) with orders {states};"
        f" market went on by {(after - before) / 60_000:.0f} min after {seconds:.1f} s",
        flush=True,
    )


def _wait_for_moment(installation: Installation) -> dict[str, int]:
    """Wait until an order is on its way; take open orders when none comes by."""
    deadline = time.monotonic() + WAIT_FOR_SENDING_SECONDS
    with installation.database() as connection:
        while True:
            rows = connection.execute(
                "SELECT status, count(*) FROM portfolio_order WHERE status = ANY(%s) GROUP BY status", [LIVE]
            ).fetchall()
            states = {str(status): int(count) for status, count in rows}
            if "sending" in states or (time.monotonic() > deadline and states):
                return states
            if time.monotonic() > deadline + RESUME_SECONDS:
                raise Stuck("no order was live for minutes")


def _wait_for_market(installation: Installation, before: int) -> int:
    deadline = time.monotonic() + RESUME_SECONDS
    while time.monotonic() < deadline:
        try:
            clock = installation.clock()
        except OSError:
            time.sleep(0.1)
            continue
        if clock["market_time"] >= before + BARS_AFTER * clock["base_interval_ms"]:
            return int(clock["market_time"])
        time.sleep(0.1)
    raise Stuck(f"the market stands at {before}")


def _family(pid: int) -> list[int]:
    """Return a process and everything below it, parents first, so that nobody can start anew."""
    parents: dict[int, list[int]] = {}
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = entry.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        parents.setdefault(int(fields[1]), []).append(int(entry.parent.name))
    family = [pid]
    for member in family:
        family.extend(parents.get(member, []))
    return family


def _kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def _report(installation: Installation) -> int:
    with installation.database() as connection:
        uid = str(connection.execute("SELECT venue_uid FROM portfolio_account WHERE is_enabled").fetchall()[0][0])
        outcomes = dict(connection.execute("SELECT outcome, count(*) FROM portfolio_reconciliation GROUP BY outcome").fetchall())
        suspense = connection.execute("SELECT count(*) FROM portfolio_ledgertransaction WHERE kind = 'suspense'").fetchall()[0][0]
        unsettled = connection.execute("SELECT count(*) FROM portfolio_order WHERE status IN ('sending', 'unknown')").fetchall()[
            0
        ][0]
        statuses = dict(connection.execute("SELECT status, count(*) FROM portfolio_order GROUP BY status").fetchall())
    used = Counter(order["clientOrderId"] for order in installation.books(uid)["orders"])
    twice = {name: count for name, count in used.items() if count > 1}
    print(f"orders at the venue {sum(used.values())}, names used twice: {twice or 'none'}")
    print(f"orders by status: {statuses}")
    print(f"orders without an outcome: {unsettled}; reconciliations: {outcomes}; suspense transactions: {suspense}")
    return 1 if twice or suspense or outcomes.get("residual") else 0


if __name__ == "__main__":
    sys.exit(main())
