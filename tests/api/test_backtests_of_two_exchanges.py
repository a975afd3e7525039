"""Backtests over the candles of two exchanges: which market a symbol means, and what a taker pays in each."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from django.utils import timezone

from backtests import jobs, selectors
from backtests.models import BacktestRun
from tests.api.conftest import Api
from tests.bots.conftest import FIVE_MINUTES, MARKET_START, Desk, open_desk
from trading.instruments import UnknownSymbol

BARS = 600


def swinging(phase: float) -> Callable[[int], np.ndarray[Any, Any]]:
    """Draw a market whose price leaves that of another phase again and again."""
    return lambda bars: np.round(100.0 + np.sin(np.arange(bars) / 9.0 + phase), 2)


@pytest.fixture
def desks(db: None) -> tuple[Desk, Desk]:
    """Open accounts at two exchanges, each with a history of its own."""
    near, far = open_desk(), open_desk(name="far", epoch="far", deploy="t2")
    for desk, phase in ((near, 0.0), (far, 1.0)):
        desk.bot("FIRST")
        desk.history(swinging(phase), bars=BARS)
    return near, far


def asked(desks: tuple[Desk, Desk], **changes: Any) -> dict[str, Any]:
    return {
        "strategy": "arbitrage",
        "params": {"share": 1},
        "symbol": "BTC/USDT",
        "others": [f"BTC/USDT@{desks[1].market.pk}"],
        "interval": "5m",
        "begin_at": (MARKET_START - FIVE_MINUTES * BARS).isoformat(),
        "end_at": MARKET_START.isoformat(),
        "allocation": "5000",
        **changes,
    }


def run(api: Api, body: dict[str, Any]) -> BacktestRun:
    answer = api.post("backtests", body)
    assert answer.status_code == 201, answer.content
    assert jobs.run_backtest(run_id=answer.json()["id"], clock=timezone.now)
    return BacktestRun.objects.get(pk=answer.json()["id"])


def paid(found: BacktestRun) -> dict[str, set[Decimal]]:
    """Answer the rates that fills paid, to a hundredth of a basis point, by market."""
    rates: dict[str, set[Decimal]] = {}
    for fill in found.fills.all():
        whole = fill.quantity if fill.side == "buy" else fill.quantity * fill.price
        rates.setdefault(fill.symbol, set()).add(round(fill.fee / whole, 6))
    return rates


def test_each_side_of_an_arbitrage_pays_its_own_fee(api: Api, desks: tuple[Desk, Desk]) -> None:
    far = f"BTC/USDT@{desks[1].market.pk}"
    same, apart = run(api, asked(desks)), run(api, asked(desks, taker_fees=["0.001", "0.003"]))

    assert paid(same) == {"BTC/USDT": {Decimal("0.001")}, far: {Decimal("0.001")}}
    assert paid(apart) == {"BTC/USDT": {Decimal("0.001")}, far: {Decimal("0.003")}}
    assert same.fingerprint != apart.fingerprint
    # Who pays more is left with less to earn.
    assert Decimal(str(same.metrics["total_return"])) > Decimal(str(apart.metrics["total_return"]))
    told = api.get(f"backtests/{apart.pk}").json()
    assert (told["taker_fees"], told["symbols"]) == (["0.001", "0.003"], ["BTC/USDT", far])
    report = api.get(f"backtests/{apart.pk}/report").json()
    assert report["is_synthetic"]
    assert f"on {far}" in api.get(f"backtests/{apart.pk}/file").content.decode()


def test_a_symbol_means_the_exchange_that_was_there_first_unless_another_is_named(desks: tuple[Desk, Desk]) -> None:
    near, far = desks
    hour = {"begin_at": MARKET_START - timedelta(hours=1), "end_at": MARKET_START}
    closes = {
        symbol: selectors.load_candles(folder="", symbol=symbol, interval="5m", **hour).values[3].tolist()
        for symbol in ("BTC/USDT", f"BTC/USDT@{near.market.pk}", f"BTC/USDT@{far.market.pk}", "BTC/USDT@binance")
    }

    assert closes["BTC/USDT"] == swinging(0.0)(BARS)[-12:].tolist()
    assert closes["BTC/USDT"] == closes[f"BTC/USDT@{near.market.pk}"] == closes["BTC/USDT@binance"]
    assert closes[f"BTC/USDT@{far.market.pk}"] == swinging(1.0)(BARS)[-12:].tolist()
    assert selectors.known_instrument(f"btcusdt@{far.market.pk}").symbol == f"BTC/USDT@{far.market.pk}"
    with pytest.raises(UnknownSymbol, match=rf"No market @kraken .* @binance \(@{near.market.pk}\)"):
        selectors.known_instrument("BTC/USDT@kraken")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"taker_fees": ["0.001"]}, "or one for each: not 1"),
        ({"taker_fees": ["0.001", "0.002", "0.003"]}, "or one for each: not 3"),
        ({"taker_fees": ["0.001", "-1"]}, "taker_fees"),
        ({"taker_fees": ["0.001", "0.002"], "frictions": {"latency_ms": 100}}, "go with no frictions"),
        ({"others": ["BTC/USDT@nowhere"]}, "No market @nowhere"),
        ({"others": ["BTC/USDT@4711"]}, "No market @4711"),
        ({"others": ["BTC/USDT@binance"]}, "two of these are one market"),
    ],
)
def test_what_cannot_be_is_refused_with_the_reason(
    api: Api, desks: tuple[Desk, Desk], changes: dict[str, Any], words: str
) -> None:
    answer = api.post("backtests", asked(desks, **changes))

    assert answer.status_code == 422, answer.content
    assert words in answer.content.decode()
    assert not BacktestRun.objects.exists()
