"""A stop triggers into another book's bid on an exchange that knows no way but to end the newcomer."""

from __future__ import annotations

import asyncio
from decimal import Decimal

import pytest

from tests.simulation.faults import TAKERS_GIVE_WAY
from tests.simulation.sweep import Asked
from trading.desk.plain import Order

D = Decimal
BID = D(49500)


class StopMeetsBid(Asked):
    """Book 1 holds with a stop at the price of book 2's bid; the market takes part of the bid, then the stop triggers."""

    def __init__(self, *, is_answer_lost: bool) -> None:
        """Prepare it; no fault strikes."""
        super().__init__(0, allowed=frozenset((TAKERS_GIVE_WAY,)))
        self.world.faults.known |= {TAKERS_GIVE_WAY}
        self.world.shell.expire_takers_alone()
        self._is_deaf = is_answer_lost

    async def _run(self) -> None:
        world = self.world
        world.start_trader()
        supervisor = self.loop.create_task(self._supervise())
        await asyncio.sleep(1.0)
        self.ask(1, 1, "enter", lots=300, limit_price=D(50500), stop_price=BID)
        await asyncio.sleep(2.0)
        self.ask(2, 1, "place", lots=400, limit_price=BID, slot=0)
        await asyncio.sleep(2.0)
        assert (self._newest("stop").status, self._newest("place").status) == ("open", "open")
        if self._is_deaf:
            # Nobody hears of it: it must be found out by reading.
            world.trader.port.cut("cut")
        world.exchange.move("BTCUSDT", BID)
        ((taker, rival),) = world.exchange.self_trades
        assert (taker.status, taker.executed, rival.status) == ("EXPIRED_IN_MATCH", D(0), "PARTIALLY_FILLED")
        await self._look(supervisor)
        stop, position = self._newest("stop"), world.shell.tables().positions[1, 1]
        assert (stop.status, stop.reservation.remaining) == ("expired", D(0))
        assert (position.is_unprotected, position.stop_price) == (True, BID)
        # The bot leaves: above the bid that is in its way, and nobody buys there; the bid goes, and it is out.
        self.ask(1, 1, "exit")
        await self._look(supervisor)
        first = self._newest("exit")
        assert (first.status, first.price, first.filled_quantity) == ("expired", BID + D("0.01"), D(0))
        assert world.shell.tables().positions[1, 1].is_unprotected
        self.ask(2, 1, "cancel", slot=0)
        await self._look(supervisor)
        self.ask(1, 1, "exit")
        await self._look(supervisor)
        assert (self._newest("exit").type, self._newest("exit").status) == ("MARKET", "filled")
        await self.settle(supervisor)
        self.checker.check_settled()
        self.checker.check_chain()

    async def _look(self, supervisor: asyncio.Task[None]) -> None:
        """Give the trader the time in which every live order is looked at."""
        await asyncio.sleep(12.0)
        self._check_alive(supervisor)
        self.checker.check_now()

    def _newest(self, kind: str) -> Order:
        rows = [row for row in self.world.shell.tables().orders.values() if row.intent.kind == kind]
        return max(rows, key=lambda row: row.intent.seq)


@pytest.mark.fault("E37")
@pytest.mark.parametrize("is_answer_lost", [False, True], ids=["told", "read"])
def test_a_stop_that_gives_way_leaves_its_position_marked(is_answer_lost: bool) -> None:
    """I-39 has one exception; nothing is sold to ourselves, the position says that it is bare, and its bot gets out."""
    history = StopMeetsBid(is_answer_lost=is_answer_lost)
    result = history.run()
    assert len(history.world.exchange.self_trades) == 1
    assert result.statuses["expired"] == 2
