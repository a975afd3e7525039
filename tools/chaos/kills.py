"""Kill processes at seeded random moments, one after the other, and time how soon each is back."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import asdict, dataclass, field
from random import Random
from typing import Any

from tools.chaos import rest
from tools.chaos.figures import percentile, table
from tools.chaos.system import Stuck, System, family, kill

VICTIMS = ("trader", "worker trading", "venue", "postgres", "valkey")
# Which process must give a new sign of life before a killed one counts as back; a server shows through those who use it.
WITNESSES = {"trader": "trader", "worker trading": "worker trading", "postgres": "trader", "venue": "trader", "valkey": ""}
BACK_SECONDS = 180.0
# The market has gone on when so many candles have closed since.
BARS_AFTER = 2
CALM_SECONDS_MAX = 2.0
# Half of the kills wait for an order that is on its way to the exchange, half of those for the few milliseconds on the wire.
ON_THE_WAY = frozenset({"ready", "sending", "cancelling", "unknown"})
ON_THE_WIRE = frozenset({"sending"})
AIMS = ((frozenset[str](), 0.0), (frozenset[str](), 0.0), (ON_THE_WAY, 4.0), (ON_THE_WIRE, 8.0))
CLASSES = ("READY", "SENDING", "CANCEL", "OPEN", "none")
_MOMENTS = {
    "SENDING": ("sending", "unknown"),
    "READY": ("ready",),
    "CANCEL": ("cancelling",),
    "OPEN": ("open", "partial"),
}


@dataclass(frozen=True, slots=True)
class Kill:
    """One kill and what came of it."""

    number: int
    victim: str
    processes: int
    orders: dict[str, int]
    ready_seconds: float
    trading_seconds: float

    @property
    def moment(self) -> str:
        """Say at which step of an order's way it struck."""
        for name, statuses in _MOMENTS.items():
            if any(self.orders.get(status) for status in statuses):
                return name
        return "none"


@dataclass(slots=True)
class Campaign:
    """A series of kills."""

    system: System
    random: Random
    kills: list[Kill] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)
    checks: int = 0

    def run(self, count: int, *, check_every: int) -> None:
        """Kill so many times; check the books now and then, with the market at rest."""
        try:
            for number, victim in enumerate(self._victims(count), 1):
                self.kills.append(self._kill(number, victim))
                if number % check_every == 0 and number < count:
                    self._check(number)
        except KeyboardInterrupt:
            print("stopped by hand: the books are compared once more", flush=True)
        self._check(len(self.kills))

    def facts(self) -> dict[str, Any]:
        """Return everything as plain data."""
        return {
            "kills": [asdict(kill) | {"moment": kill.moment} for kill in self.kills],
            "checks": self.checks,
            "violations": self.violations,
        }

    def report(self) -> str:
        """Return the table."""
        header = ["process", "kills", "ready p50", "p99", "trading p50", "p99", *CLASSES]
        rows = [self._row(victim, [kill for kill in self.kills if kill.victim == victim]) for victim in VICTIMS]
        rows = [row for row in rows if row[1] != "0"]
        return table(header, [*rows, self._row("all", self.kills)])

    def _victims(self, count: int) -> list[str]:
        """Share the kills out evenly, in a random order."""
        victims = [VICTIMS[number % len(VICTIMS)] for number in range(count)]
        self.random.shuffle(victims)
        return victims

    def _kill(self, number: int, victim: str) -> Kill:
        system = self.system
        clock = system.control("clock")
        goal = int(clock["market_time"]) + BARS_AFTER * int(clock["base_interval_ms"])
        witness = _name(system, WITNESSES[victim])
        doomed = family(system.find(victim))
        killed = doomed[0].pid
        orders = self._choose_moment()
        kill(doomed)
        struck = time.monotonic()
        ready = system.wait(lambda: self._is_back(victim, killed, witness), f"{victim} is back", seconds=BACK_SECONDS)
        system.wait(lambda: (system.market_time() or 0) >= goal, "the market goes on", seconds=BACK_SECONDS)
        done = Kill(number, victim, len(doomed), dict(orders), ready, time.monotonic() - struck)
        print(
            f"{number:>4}  {victim:<15} orders {dict(orders) or 'none'}: ready {done.ready_seconds:.1f} s, "
            f"trading {done.trading_seconds:.1f} s",
            flush=True,
        )
        return done

    def _choose_moment(self) -> Counter[str]:
        """Wait a random moment, and perhaps on for orders in certain states."""
        wanted, seconds = self.random.choice(AIMS)
        time.sleep(self.random.uniform(0.0, CALM_SECONDS_MAX))
        deadline = time.monotonic() + seconds
        while True:
            states = rest.order_states(self.system)
            if wanted & states.keys() or time.monotonic() >= deadline:
                return states

    def _is_back(self, victim: str, killed: int, witness: str) -> bool:
        """Say whether the successor works: its witness gave a sign of life after it had begun."""
        system = self.system
        try:
            process = system.find(victim)
        except Stuck:
            return False
        if process.pid == killed or system.market_time() is None:
            return False
        if not witness:
            return True
        sign = system.sign_of_life(witness)
        if sign is None or sign.given_at < process.create_time():
            return False
        if victim == "worker trading":
            return sign.pid == process.pid
        is_recovered = bool(sign.facts.get("is_recovered")) and bool(sign.facts.get("is_stream_open"))
        return is_recovered and (victim != "trader" or sign.pid == process.pid)

    def _check(self, number: int) -> None:
        rest.come_to_rest(self.system)
        found = rest.violations(self.system)
        self.violations += [f"after kill {number}: {line}" for line in found]
        self.checks += 1
        print(f"      books compared after {number} kills: {'; '.join(found) or 'equal to the last unit'}", flush=True)
        rest.go_on(self.system)

    def _row(self, name: str, kills: list[Kill]) -> list[str]:
        if not kills:
            return [name, "0", *[""] * (4 + len(CLASSES))]
        ready, trading = [kill.ready_seconds for kill in kills], [kill.trading_seconds for kill in kills]
        moments = Counter(kill.moment for kill in kills)
        times = [percentile(ready, 0.5), percentile(ready, 0.99), percentile(trading, 0.5), percentile(trading, 0.99)]
        return [name, str(len(kills)), *[f"{seconds:.1f} s" for seconds in times], *[str(moments[name]) for name in CLASSES]]


def _name(system: System, witness: str) -> str:
    return f"trader {system.account()[0]}" if witness == "trader" else witness
