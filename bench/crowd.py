"""Measure fifty bots on one account: a lone order while all of them step, and all of their orders at once.

    python manage.py up --market synthetic --speed 60         # with TRADEAPP_DATA_DIR=DIR, in another terminal
    TRADEAPP_DATA_DIR=DIR python bench/crowd.py [--bars 240] [--bots 50]

Lines up so many bots of `sma_cross` on a throw-away paper installation. Most of them are alike and trade one market, so
they enter in the same bar; a few trade a market each, faster, so a bar often has one order while all others only step.
A bar's close is when another client of the venue hears of it, an order's arrival is the venue's own timestamp.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import time
from collections import Counter, defaultdict
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tradeapp.settings")

from bench import latency, venue_control

if TYPE_CHECKING:
    from portfolio.models import Account

CAPITAL = Decimal(500_000)
CROWD_SYMBOL = "BTC/USDT"
LONERS = 8
STOPS = 100
# Nothing but the crossing decides, and no stop moves in between.
PLAIN = {
    "confirm": "none",
    "adx_least": 0.0,
    "trend_filter": False,
    "volatility_rank": 1.0,
    "cost_gate": 0.0,
    "trail_atr": 0.0,
    "fresh_bars": 1,
}


def main() -> None:
    """Line up, watch, and print what it took."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bars", type=int, default=240)
    parser.add_argument("--bots", type=int, default=50)
    arguments = parser.parse_args()
    if not Path(os.environ.get("TRADEAPP_DATA_DIR", "?"), "addresses.json").exists():
        print("Left out: it measures a running installation. Start one, and name its TRADEAPP_DATA_DIR.")
        return
    places = latency.find()
    from portfolio.models import Account

    account = Account.objects.get(pk=places.account_id)
    limits = venue_control.control(places.control, "/control/limits", {"weight": 600_000, "orders": 10_000})
    print(f"limits of the venue: weight {limits['weight']} a minute, {limits['orders']} orders in 10 s")
    _raise_stops(account, places.control)
    venue_control.fund(account, places.control, CAPITAL)
    _line_up(places.account_id, arguments.bots)
    began = time.time_ns() // 1_000_000
    seen = latency.Seen()
    asyncio.run(latency.watch_candles(places, seen, symbol=CROWD_SYMBOL.replace("/", ""), bars=arguments.bars))
    time.sleep(2)
    _print(places, seen, began, crowd=arguments.bots - LONERS)


def _raise_stops(account: Account, control: str) -> None:
    """Let the crowd have more than five stops in its market."""
    rule = {"id": "E41", "action": "filters", "with": {"symbol": CROWD_SYMBOL.replace("/", ""), "max_algo_orders": STOPS}}
    venue_control.control(control, "/control/faults", rule)
    venue_control.begin_anew(account)
    print(f"filters of the venue: {STOPS} stops in {CROWD_SYMBOL} instead of 5")


def _line_up(account_id: int, count: int) -> None:
    from django.utils import timezone

    from bots.lineups import Plan, PlannedBot
    from bots.services.lineups import apply_lineup
    from marketdata.models import Instrument
    from portfolio.models import Account

    account = Account.objects.get(pk=account_id)
    pairs = Instrument.objects.filter(market=account.market_id, quote=account.quote_asset).exclude(symbol=CROWD_SYMBOL)
    others = list(pairs.order_by("symbol").values_list("symbol", flat=True)[:LONERS])
    symbols = [*others, *[CROWD_SYMBOL] * (count - len(others))]
    share = (Decimal(95) / count).quantize(Decimal("0.01"))
    bots = tuple(
        PlannedBot(
            key=f"CROWD_{number:02}",
            name=f"Crowd{number:02}",
            aliases=(),
            strategy="sma_cross",
            symbols=(symbol,),
            interval=latency.INTERVAL,
            percent=share,
            position_cap_percent=Decimal(50),
            params={**PLAIN, "fast": 5, "slow": 20},
        )
        for number, symbol in enumerate(symbols)
    )
    apply_lineup(account_id=account_id, plan=Plan("crowd", bots), by=None, now=timezone.now(), is_starting=True)


def _print(places: latency.Places, seen: latency.Seen, began: float, *, crowd: int) -> None:
    from portfolio.models import DecisionRecord

    orders = [order for order in latency.orders_since(latency.venue_books(places), began, seen) if order["type"] == "LIMIT"]
    bars: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for order in orders:
        bars[order["time"]].append(order)
    denied = DecisionRecord.objects.filter(book__account=places.account_id, outcome="denied").values_list("denial", flat=True)
    print(f"bars {len(seen.closes)}, with entries {len(bars)}, refused: {dict(Counter(denied))}")
    lone = [order for found in bars.values() if len(found) == 1 for order in found]
    latency.row("lone entry while all step, close to wire", [latency.delay(order, seen) for order in lone])
    latency.print_stages(lone, seen)
    full = {at: found for at, found in bars.items() if len(found) >= crowd}
    latency.row(
        f"last of at least {crowd} at once", [max(latency.delay(order, seen) for order in found) for found in full.values()]
    )
    latency.row("... the first of them", [min(latency.delay(order, seen) for order in found) for found in full.values()])
    sizes = Counter(len(found) for found in bars.values())
    print("entries in a bar: " + ", ".join(f"{size} in {count}" for size, count in sorted(sizes.items())))


if __name__ == "__main__":
    main()
