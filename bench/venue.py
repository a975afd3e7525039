"""Measure the local exchange: orders a second on loopback, what its faults cost, and bars a second when it is paced.

What faults cost is told as the exchange's own processor time for an order, with nothing armed and with one rule that
looks at every request and matches none: wall time says nothing on a machine that does other work.

Run it as `python bench/venue.py`; it starts an exchange of its own in a temporary folder.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import hmac
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import aiohttp

ROOT = Path(__file__).resolve().parent.parent
CONNECTIONS = 8
RESTING_PER_CONNECTION = 12
TURNS = 8


class Client:
    """Signs and sends requests for one account."""

    def __init__(self, session: aiohttp.ClientSession, base: str, keys: dict[str, str]) -> None:
        self._session, self._base, self._keys = session, base, keys

    async def send(self, method: str, path: str, **parameters: object) -> Any:
        """Send a signed request; fail loudly on a refusal."""
        query = urlencode(parameters | {"timestamp": time.time_ns() // 1_000_000})
        signature = hmac.new(self._keys["api_secret"].encode(), query.encode(), hashlib.sha256).hexdigest()
        url = f"{self._base}{path}?{query}&signature={signature}"
        async with self._session.request(method, url, headers={"X-MBX-APIKEY": self._keys["api_key"]}) as answer:
            body = json.loads(await answer.read())
            if answer.status != 200:
                raise RuntimeError(f"{answer.status} {body}")
            return body


async def measure_orders(session: aiohttp.ClientSession, port: int, control: int, seconds: float) -> dict[str, float]:
    """Place and cancel as fast as some connections can: every answer is durable."""
    base = f"http://127.0.0.1:{port}"
    latencies: list[float] = []
    deadline = time.monotonic() + seconds

    async def trade(number: int) -> int:
        account = {"name": f"bench-{number}", "balances": {"USDT": "1000000", "ETH": "1000"}}
        async with session.post(f"http://127.0.0.1:{control}/control/accounts", json=account) as answer:
            client = Client(session, base, await answer.json())
        async with session.get(f"{base}/api/v3/ticker/price?symbol=ETHUSDT") as answer:
            price = float((await answer.json())["price"])
        placed, resting = 0, []
        while time.monotonic() < deadline:
            began = time.perf_counter()
            wishes: dict[str, object] = {"symbol": "ETHUSDT", "side": "BUY", "quantity": "0.01", "newOrderRespType": "FULL"}
            if placed % 4 == 3:
                await client.send("POST", "/api/v3/order", type="MARKET", **wishes)
            else:
                wishes |= {"type": "LIMIT", "timeInForce": "GTC", "price": f"{price * 0.9:.2f}"}
                resting.append((await client.send("POST", "/api/v3/order", **wishes))["orderId"])
            latencies.append(time.perf_counter() - began)
            placed += 1
            if len(resting) > RESTING_PER_CONNECTION:
                await client.send("DELETE", "/api/v3/order", symbol="ETHUSDT", orderId=resting.pop(0))
        return placed

    began = time.monotonic()
    placed = sum(await asyncio.gather(*(trade(number) for number in range(CONNECTIONS))))
    elapsed = time.monotonic() - began
    cuts = statistics.quantiles(latencies, n=100)
    return {"orders": placed, "orders/s": placed / elapsed, "order p50 ms": cuts[49] * 1000, "order p99 ms": cuts[98] * 1000}


async def measure_bars(session: aiohttp.ClientSession, control: int, seconds: float) -> dict[str, float]:
    """Acknowledge every hold at once: what is left is the exchange's own time per bar."""
    base = f"http://127.0.0.1:{control}/control"
    async with session.post(f"{base}/clients", json={"client": "bench"}) as answer:
        after = (await answer.json())["market_time"] - 1
    async with session.post(f"{base}/speed", json={"speed": 1_000_000}) as answer:
        answer.raise_for_status()
    bars, deadline, began = 0, time.monotonic() + seconds, time.monotonic()
    while time.monotonic() < deadline:
        async with session.get(f"{base}/hold?after={after}&timeout=10") as answer:
            after = (await answer.json())["hold_time"]
        async with session.post(f"{base}/ack", json={"client": "bench", "hold_time": after, "trades": {}}) as answer:
            answer.raise_for_status()
        bars += 1
    return {"paced bars/s": bars / (time.monotonic() - began)}


async def measure_seams(session: aiohttp.ClientSession, port: int, control: int, pid: int, seconds: float) -> dict[str, float]:
    """Compare orders with nothing armed to orders with a rule that matches none, in turns on one exchange."""
    faults = f"http://127.0.0.1:{control}/control/faults"
    rule = {"id": "E00", "action": "drop_answer", "times": 0, "match": {"client_id": "^nobody$"}}
    spent: dict[str, list[float]] = {"nothing armed": [], "one rule armed": []}
    for turn in range(TURNS):
        name = "one rule armed" if turn % 2 else "nothing armed"
        if turn % 2:
            async with session.post(faults, json=rule) as answer:
                answer.raise_for_status()
        began = _processor_seconds(pid)
        placed = (await measure_orders(session, port, control, seconds / TURNS))["orders"]
        spent[name].append((_processor_seconds(pid) - began) * 1000 / placed)
        async with session.delete(faults) as answer:
            answer.raise_for_status()
    return {f"ms/order, {name}": statistics.median(figures) for name, figures in spent.items()}


def _processor_seconds(pid: int) -> float:
    """Read how much processor time a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def measure(port: int, control: int, pid: int, seconds: float) -> dict[str, float]:
    """Wait for the exchange and run all measurements."""
    async with aiohttp.ClientSession() as session:
        for _ in range(100):
            try:
                async with session.get(f"http://127.0.0.1:{control}/control/clock"):
                    break
            except aiohttp.ClientError:
                await asyncio.sleep(0.05)
        orders = await measure_orders(session, port, control, seconds)
        orders.pop("orders")
        seams = await measure_seams(session, port, control, pid, 2 * seconds)
        return orders | seams | await measure_bars(session, control, seconds)


def main() -> None:
    """Start an exchange, measure it, print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=5.0, help="how long each measurement runs")
    parser.add_argument("--port", type=int, default=8190, help="first of two ports to use")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        words = ["--data-dir", folder, "--port", str(given.port), "--control-port", str(given.port + 1), "--speed", "60"]
        process = subprocess.Popen([sys.executable, "-m", "venue", *words], cwd=ROOT, stderr=subprocess.DEVNULL)
        try:
            figures = asyncio.run(measure(given.port, given.port + 1, process.pid, given.seconds))
        finally:
            process.terminate()
            process.wait(timeout=10)
    for name, figure in figures.items():
        print(f"{name:<28}{figure:>10.3f}")


if __name__ == "__main__":
    main()
