"""How soon a trader is ready when there is much to recover: 200 open orders, and 10,000 trades that it missed (T20).

Everything is prepared with the market standing still and the bots stopped. The orders are the books' own, accepted by the
coordinator; the trades are made by hand with the account's key while the trader is frozen, paid with a deposit.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import os
import time
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

import aiohttp
import django

from tools.chaos import rest
from tools.chaos.figures import percentile
from tools.chaos.system import Stuck, System, kill

STARTS = 10
READY_SECONDS = 300.0
DEPOSIT = "200000"
FIRST_PURCHASE, PIECE = "0.05", "0.0002"
AT_ONCE = 16
SETTLE_SECONDS = 120.0


@dataclass(slots=True)
class Starts:
    """Timed starts of one trader."""

    system: System
    violations: list[str] = field(default_factory=list)

    def run(self, *, orders: int, trades: int) -> dict[str, Any]:
        """Prepare both situations one after the other and time the starts."""
        system = self.system
        _prepare_django(system)
        from tools.chaos import preparation

        rest.come_to_rest(system)
        account, uid = system.account()
        preparation.stop_bots(account)
        rest.come_to_rest(system)
        preparation.place_orders(account, orders)
        system.wait(lambda: rest.order_states(system)["open"] >= orders, f"{orders} orders rest", seconds=SETTLE_SECONDS)
        open_orders = rest.order_states(system)["open"]
        with_orders = [self._start() for _ in range(STARTS)]
        self._compare()
        system.control("faucet", {"uid": uid, "asset": "USDT", "amount": DEPOSIT})
        system.wait(lambda: not rest.violations(system), "the deposit is booked", seconds=SETTLE_SECONDS, every=0.5)
        trader = system.find("trader")
        trader.suspend()
        key, secret = preparation.keys(account)
        placed = asyncio.run(_trade_by_hand(system.address("VENUE_URL"), key, secret, trades))
        with_trades = self._start()
        self._compare()
        print(
            f"{open_orders} open orders: ready after {percentile(with_orders, 0.5):.1f} s (p50), "
            f"{percentile(with_orders, 0.99):.1f} s (p99 of {STARTS}); {placed} missed trades: ready after {with_trades:.1f} s",
            flush=True,
        )
        return {
            "open_orders": open_orders,
            "with_open_orders_seconds": with_orders,
            "missed_trades": placed,
            "with_missed_trades_seconds": with_trades,
            "violations": self.violations,
        }

    def _start(self) -> float:
        """Kill the trader; answer the seconds from its successor's first moment until it has recovered."""
        system = self.system
        name = f"trader {system.account()[0]}"
        killed = system.find("trader")
        kill([killed])

        def is_ready() -> bool:
            sign = system.sign_of_life(name)
            return sign is not None and sign.pid != killed.pid and bool(sign.facts.get("is_recovered"))

        system.wait(is_ready, "the trader has recovered", seconds=READY_SECONDS, every=0.01)
        return time.time() - system.find("trader").create_time()

    def _compare(self) -> None:
        rest.come_to_rest(self.system)
        self.violations += rest.violations(self.system)


async def _trade_by_hand(address: str, key: str, secret: str, count: int) -> int:
    """Buy and sell a little, again and again; answer how many orders were filled."""
    async with aiohttp.ClientSession(headers={"X-MBX-APIKEY": key}) as session:

        async def order(number: int, side: str, quantity: str) -> None:
            name = f"{rest.BY_HAND}{number}"
            words = urlencode(
                {
                    "symbol": "BTCUSDT",
                    "side": side,
                    "type": "MARKET",
                    "quantity": quantity,
                    "newClientOrderId": name,
                    "newOrderRespType": "RESULT",
                    "recvWindow": 60_000,
                    "timestamp": int(time.time() * 1000),
                }
            )
            signature = hmac.new(secret.encode(), words.encode(), hashlib.sha256).hexdigest()
            async with session.post(f"{address}/api/v3/order?{words}&signature={signature}") as answer:
                said = await answer.json()
                if said.get("status") != "FILLED":
                    raise Stuck(f"an order by hand was not filled: {said}")

        await order(0, "BUY", FIRST_PURCHASE)
        numbers = iter(range(1, count))

        async def worker() -> None:
            for number in numbers:
                await order(number, "BUY" if number % 2 else "SELL", PIECE)

        async with asyncio.TaskGroup() as group:
            for _ in range(AT_ONCE):
                group.create_task(worker())
    return count


def _prepare_django(system: System) -> None:
    """Point this process at the installation, which is running by now."""
    for name in ("DATABASE_URL", "REDIS_URL"):
        os.environ.pop(name, None)
    os.environ |= system.environment("command") | {"DJANGO_SETTINGS_MODULE": "tradeapp.settings"}
    django.setup()
