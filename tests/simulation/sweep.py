"""Every crash point of the order path, with every fate an order can meet, with one crash and with two."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from itertools import product
from typing import Any, Final, NamedTuple

from tests.simulation.faults import POINTS
from tests.simulation.history import History
from trading.proposals import Proposal, ProposalKind

D = Decimal
FATES: Final = ("absent", "open", "part-filled", "filled", "rejected", "late")
# Met at every start: only the second start has an order's fate to find out.
AT_START: Final = ("in_recovery", "before_active", "during_reconcile")
BID: Final = D(49500)


class Case(NamedTuple):
    """Where the trader dies, what becomes of the order, and how often it dies."""

    point: str
    fate: str
    crashes: int


CASES: Final = tuple(Case(*case) for case in product(POINTS, FATES, (1, 2)))


class Asked(History):
    """A history in which bots ask for what it says, and for nothing else."""

    def ask(self, book: int, instrument: int, kind: str, **values: Any) -> None:
        """Have a bot ask for one thing."""
        self._legs += 1
        if kind in ("enter", "place"):
            values["side"] = "buy"
        proposal = Proposal(
            book_id=book, rank=book, leg=self._legs, instrument_id=instrument, kind=ProposalKind(kind), reason="TEST", **values
        )
        self.world.shell.decide([proposal], now=self.loop.now())
        self.world.stir()


class Swept(Asked):
    """One case, played to its end."""

    def __init__(self, case: Case, *, seed: int = 0) -> None:
        """Prepare the case; no fault strikes but the ones it names."""
        super().__init__(seed, allowed=frozenset())
        self.case = case
        first = 2 if case.point in AT_START else 1
        self.world.deadly[case.point, first] = True
        if case.crashes == 2:
            # Again in the recovery that follows, as late as possible; where that is the point itself, the time after.
            again = ("before_active", 2) if case.point not in AT_START else (case.point, 3)
            self.world.deadly[again] = True

    async def _run(self) -> None:
        world, fate = self.world, self.case.fate
        world.start_trader()
        supervisor = self.loop.create_task(self._supervise())
        await asyncio.sleep(1.0)
        world.fates["1"] = fate
        self.ask(1, 1, "place", lots=300, limit_price=BID, slot=0)
        await asyncio.sleep(0.3)
        if fate == "part-filled":
            world.exchange.move("BTCUSDT", BID)
        elif fate == "filled":
            world.exchange.move("BTCUSDT", BID - 1)
        if self.case.point in AT_START:
            self._crash(world.trader)
        self.checker.check_now()
        await asyncio.sleep(3.0)
        self.ask(2, 2, "enter", lots=2000, limit_price=D("2525.00"), stop_price=D(2300))
        self.ask(2, 2, "place", lots=100, limit_price=D(2200), slot=1)
        world.fates["3"] = "rejected"
        self.ask(3, 2, "place", lots=100, limit_price=D(2300), slot=0)
        self.ask(2, 2, "place", lots=100, limit_price=D(2400), slot=2)
        await asyncio.sleep(1.0)
        # Something trades while nobody listens: the history tells it when the stream is back.
        world.trader.port.cut("cut")
        world.exchange.move("ETHUSDT", D(2399))
        await asyncio.sleep(11.0)
        self.checker.check_now()
        self.ask(2, 2, "cancel", slot=1)
        await asyncio.sleep(3.0)
        self.ask(3, 2, "place", lots=100, limit_price=D(2250), slot=1)
        await asyncio.sleep(3.0)
        world.kill()
        await asyncio.sleep(6.0)
        self._check_alive(supervisor)
        self.checker.check_now()
        await self.settle(supervisor)
        self.checker.check_settled()
        self.checker.check_chain()
