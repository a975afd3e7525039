"""Measure a running paper installation: bar close to order on the wire, and fill to browser.

    TRADEAPP_DATA_DIR=DIR python bench/latency.py [--bars 500]

Watches the venue's candle stream and the dashboard's stream like two more clients, for so many closed candles of the
bots' interval. Arrival of an order is the venue's own timestamp; so is the booking of a fill. Orders that first need the
cancel of a stop are counted apart: they take one more round trip.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import sys
import time
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import websockets

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tradeapp.settings")

INTERVAL = "5m"


@dataclass(slots=True)
class Seen:
    """What was seen and when, in wall milliseconds."""

    closes: dict[int, float] = field(default_factory=dict)
    fills: list[tuple[int, float]] = field(default_factory=list)


@dataclass(slots=True)
class Places:
    """Where the installation answers."""

    venue: str
    control: str
    dashboard: str
    cookie: str
    account_id: int
    uid: str


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bars", type=int, default=500)
    parser.add_argument("--symbol", default="BTCUSDT")
    arguments = parser.parse_args()
    if not Path(os.environ.get("TRADEAPP_DATA_DIR", "?"), "addresses.json").exists():
        print("Left out: it measures a running installation. Start one, and name its TRADEAPP_DATA_DIR.")
        return
    places = find()
    began, spent = time.time_ns() // 1_000_000, _trader_seconds(places)
    seen = asyncio.run(_watch(places, symbol=arguments.symbol, bars=arguments.bars))
    _print(places, seen, began_ms=began)
    if spent is not None and (spent_since := _trader_seconds(places)) is not None:
        # Processor time, because a busy machine says nothing about the trader.
        print(f"processor time of the trader, a bar           {(spent_since - spent) / max(len(seen.closes), 1) * 1000:.1f} ms")


def find() -> Places:
    """Return where the running installation answers, signed in as its first administrator."""
    import django

    django.setup()
    from django.conf import settings
    from django.contrib.auth.models import User
    from django.test import Client

    from portfolio.models import Account

    account = Account.objects.get(is_enabled=True)
    client = Client()
    client.force_login(User.objects.filter(is_superuser=True)[0])
    addresses = json.loads((Path(settings.TRADEAPP_DATA_DIR) / "addresses.json").read_text(encoding="utf-8"))
    return Places(
        venue=addresses["VENUE_URL"],
        control=addresses["VENUE_CONTROL_URL"],
        dashboard=addresses["DASHBOARD_URL"],
        cookie=f"sessionid={client.cookies['sessionid'].value}",
        account_id=account.pk,
        uid=account.venue_uid,
    )


def _trader_seconds(places: Places) -> float | None:
    """Return the processor time that the account's trader has used; None without one."""
    from portfolio.models import Heartbeat

    facts = Heartbeat.objects.filter(process=f"trader {places.account_id}").values_list("facts", flat=True).first()
    try:
        times = psutil.Process(int(facts["pid"])).cpu_times() if facts else None
    except psutil.NoSuchProcess:
        return None
    return times.user + times.system if times is not None else None


async def _watch(places: Places, *, symbol: str, bars: int) -> Seen:
    seen = Seen()
    watchers = [
        asyncio.create_task(watch_candles(places, seen, symbol=symbol, bars=bars)),
        asyncio.create_task(_watch_browser(places, seen)),
    ]
    done, pending = await asyncio.wait(watchers, return_when=asyncio.FIRST_COMPLETED)
    for task in pending:
        task.cancel()
    for task in done:
        task.result()
    return seen


async def watch_candles(places: Places, seen: Seen, *, symbol: str, bars: int) -> None:
    """Note when each candle of the bots' interval closes, as another client of the venue sees it."""
    address = f"{places.venue.replace('http', 'ws', 1)}/ws/{symbol.lower()}@kline_{INTERVAL}"
    async with websockets.connect(address) as socket:
        async for message in socket:
            candle = json.loads(message)["k"]
            if candle["x"]:
                seen.closes[int(candle["T"]) + 1] = wall_ms()
                if len(seen.closes) >= bars:
                    return


async def _watch_browser(places: Places, seen: Seen) -> None:
    address = f"{places.dashboard.replace('http', 'ws', 1)}/ws/stream/"
    headers = {"Cookie": places.cookie}
    async with websockets.connect(address, additional_headers=headers, origin=places.dashboard) as socket:  # type: ignore[arg-type]
        await socket.send(json.dumps({"type": "subscribe", "topics": ["orders"]}))
        async for message in socket:
            newest = _newest_fill(json.loads(message))
            if newest is not None:
                seen.fills.append((newest, wall_ms()))


def _newest_fill(said: dict[str, Any]) -> int | None:
    """Return the newest fill that a snapshot or delta of the orders topic tells of."""
    data = said.get("data") or {}
    if said.get("type") == "snapshot":
        return int(data["fill"]) if "fill" in data else None
    return next((int(value) for path, value in data.get("set", []) if list(path) == ["fill"]), None)


def _print(places: Places, seen: Seen, *, began_ms: float) -> None:
    books = venue_books(places)
    orders = orders_since(books, began_ms, seen)
    first = [order for order in orders if order["type"] in ("LIMIT", "LIMIT_MAKER")]
    after_cancel = [order for order in orders if order["type"] == "MARKET"]
    bars_with_orders = len({order["time"] for order in first})
    print(f"bars {len(seen.closes)}, entries and limits {len(first)} in {bars_with_orders} bars, exits {len(after_cancel)}")
    row("bar close to order on the wire", [delay(order, seen) for order in first])
    row("... first order of each bar", list(_earliest(first, seen).values()))
    row("... exits, after the cancel of their stop", [delay(order, seen) for order in after_cancel])
    print_stages(first, seen)
    row("fill at the venue to browser", _fill_delays(places, seen, books, began_ms))


def print_stages(orders: list[dict[str, Any]], seen: Seen) -> None:
    """Say where the time between a bar's close and the wire goes."""
    from portfolio.models import Order

    names = [order["clientOrderId"] for order in orders]
    rows = Order.objects.filter(client_order_id__in=names).values_list("client_order_id", "created_at", "sent_at")
    ours = {name: (created.timestamp() * 1000, sent.timestamp() * 1000) for name, created, sent in rows if sent}
    known = [(order, *ours[order["clientOrderId"]]) for order in orders if order["clientOrderId"] in ours]
    row("... close to decisions made", [created - seen.closes[order["time"]] for order, created, _ in known])
    row("... decisions made to claimed for sending", [sent - created for _, created, sent in known])
    row("... claimed to on the wire", [float(order["received_at_wall_ms"]) - sent for order, _, sent in known])


def venue_books(places: Places) -> dict[str, Any]:
    """Return what the venue's own books say of the account's orders and trades."""
    with urllib.request.urlopen(f"{places.control}/control/books/{places.uid}", timeout=60) as answer:
        books: dict[str, Any] = json.load(answer)
    return books


def orders_since(books: dict[str, Any], began_ms: float, seen: Seen) -> list[dict[str, Any]]:
    """Return the orders that bars gave since a moment."""
    return [order for order in books["orders"] if order["received_at_wall_ms"] >= began_ms and order["time"] in seen.closes]


def delay(order: dict[str, Any], seen: Seen) -> float:
    """Return how long after its bar's close an order was on the wire, in milliseconds."""
    return float(order["received_at_wall_ms"]) - seen.closes[order["time"]]


def _earliest(orders: list[dict[str, Any]], seen: Seen) -> dict[int, float]:
    earliest: dict[int, float] = {}
    for order in orders:
        took = delay(order, seen)
        earliest[order["time"]] = min(took, earliest.get(order["time"], took))
    return earliest


def _fill_delays(places: Places, seen: Seen, books: dict[str, Any], began_ms: float) -> list[float]:
    from portfolio.models import Fill

    booked = {(trade["symbol"], trade["id"]): trade["booked_at_wall_ms"] for trade in books["trades"]}
    fills = Fill.objects.filter(account_id=places.account_id).values_list("id", "instrument__venue_symbol", "trade_id")
    delays = []
    for number, symbol, trade_id in fills.order_by("id"):
        at = booked.get((symbol, trade_id), 0)
        shown = next((wall for newest, wall in seen.fills if newest >= number), None)
        if at >= began_ms and shown is not None:
            delays.append(shown - at)
    return delays


def row(what: str, delays: list[float]) -> None:
    """Print how long something took, in milliseconds."""
    if len(delays) < 2:
        print(f"{what:45} n={len(delays)}")
        return
    cuts = statistics.quantiles(delays, n=100, method="inclusive")
    print(f"{what:45} n={len(delays):4} p50 {cuts[49]:7.1f} ms  p99 {cuts[98]:7.1f} ms  max {max(delays):7.1f} ms")


def wall_ms() -> float:
    return time.time_ns() / 1_000_000


if __name__ == "__main__":
    main()
