"""Freeze the trader with an order on its way, let a standby take over, thaw it: a zombie sends and writes nothing (C20)."""

from __future__ import annotations

import subprocess
import sys
import time
from dataclasses import dataclass, field
from typing import Any

import psutil

from tools.chaos import rest
from tools.chaos.system import PROJECT, Stuck, System

AIM_SECONDS = 20.0
TAKE_OVER_SECONDS = 60.0
# What a zombie does, it does at once: it is watched for so long, and the market goes on meanwhile.
WATCH_SECONDS = 15.0
_LEASE = "SELECT epoch, holder FROM portfolio_lease WHERE name = %s"
_SENT = "SELECT client_order_id, epoch FROM portfolio_order WHERE account_id = %s AND epoch <= %s AND sent_at > to_timestamp(%s)"


@dataclass(slots=True)
class Freeze:
    """One trader that stood still, and what it did afterwards."""

    system: System
    seconds: float
    account: int = 0
    epoch: int = 0
    frozen_at: float = 0.0
    taken_over_seconds: float = 0.0
    violations: list[str] = field(default_factory=list)

    def run(self) -> dict[str, Any]:
        """Freeze, take over, thaw, watch."""
        system = self.system
        self.account, uid = system.account()
        zombie = system.find("trader")
        self.epoch, _ = self._lease()
        orders = self._wait_for_an_order()
        zombie.suspend()
        self.frozen_at = time.time()
        standby = self._start_standby()
        try:
            self._wait_for_take_over(standby)
            time.sleep(max(0.0, self.frozen_at + self.seconds - time.time()))
            before = self._names(uid)
            zombie.resume()
            self._watch(zombie, uid, before)
            rest.come_to_rest(system)
            self.violations += rest.violations(system)
            rest.go_on(system)
        finally:
            standby.terminate()
            standby.wait(30)
        system.wait(system.is_ready, "the supervised trader has the account again", seconds=TAKE_OVER_SECONDS)
        print(
            f"frozen for {self.seconds:g} s with orders {dict(orders) or 'none'}: a standby worked after "
            f"{self.taken_over_seconds:.1f} s; awake, the zombie {'; '.join(self.violations) or 'sent and wrote nothing'}",
            flush=True,
        )
        return {
            "frozen_seconds": self.seconds,
            "orders": dict(orders),
            "taken_over_seconds": self.taken_over_seconds,
            "violations": self.violations,
        }

    def _wait_for_an_order(self) -> dict[str, int]:
        """Wait for an order on its way, so that the zombie has something to do when it wakes."""
        deadline = time.monotonic() + AIM_SECONDS
        while time.monotonic() < deadline:
            states = rest.order_states(self.system)
            if states.keys() & {"ready", "sending"}:
                return states
        return rest.order_states(self.system)

    def _start_standby(self) -> subprocess.Popen[bytes]:
        system = self.system
        with (system.data_dir / "logs" / "standby.log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "manage.py", "run_trader", "--account", str(self.account)],
                cwd=PROJECT,
                env=system.environment(f"trader {self.account}"),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def _wait_for_take_over(self, standby: subprocess.Popen[bytes]) -> None:
        def has_taken_over() -> bool:
            sign = self.system.sign_of_life(f"trader {self.account}")
            return sign is not None and sign.pid == standby.pid and bool(sign.facts.get("is_recovered"))

        self.system.wait(has_taken_over, "a standby trades the account", seconds=TAKE_OVER_SECONDS)
        self.taken_over_seconds = time.time() - self.frozen_at
        epoch, _ = self._lease()
        if epoch <= self.epoch:
            raise Stuck(f"the standby trades with the old epoch {epoch}")

    def _watch(self, zombie: psutil.Process, uid: str, before: set[str]) -> None:
        """Look at everything that carries an epoch or a process number while the zombie is awake."""
        process = f"trader {self.account}"
        number = zombie.pid
        deadline = time.monotonic() + WATCH_SECONDS
        beats: set[float] = set()
        while time.monotonic() < deadline:
            sign = self.system.sign_of_life(process)
            if sign is not None and sign.pid == number and sign.given_at > self.frozen_at:
                beats.add(sign.given_at)
            time.sleep(0.01)
        self.violations += [f"gave a sign of life at {at:.3f}" for at in sorted(beats)]
        if zombie.is_running() and zombie.status() != psutil.STATUS_ZOMBIE:
            self.violations.append("still runs: it has not noticed that its lease is gone")
        old = self.system.rows(_SENT, self.account, self.epoch, self.frozen_at)
        self.violations += [f"marked {name} as sent with epoch {epoch}" for name, epoch in old]
        self.violations += self._sent_by_nobody(self._names(uid) - before)
        if self._lease()[0] <= self.epoch:
            self.violations.append("has the lease back")

    def _sent_by_nobody(self, names: set[str]) -> list[str]:
        """Every order that reached the exchange since must have been claimed with a newer epoch."""
        statement = "SELECT client_order_id, epoch FROM portfolio_order WHERE client_order_id = ANY(%s)"
        epochs = {str(name): int(epoch) for name, epoch in self.system.rows(statement, sorted(names))}
        return [f"sent {name} (epoch {epochs.get(name)})" for name in sorted(names) if epochs.get(name, 0) <= self.epoch]

    def _names(self, uid: str) -> set[str]:
        return {str(order["clientOrderId"]) for order in self.system.control(f"books/{uid}")["orders"]}

    def _lease(self) -> tuple[int, str]:
        ((epoch, holder),) = self.system.rows(_LEASE, f"trader:{self.account}")
        return int(epoch), str(holder)
