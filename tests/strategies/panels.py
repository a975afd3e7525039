"""Every strategy that trades several markets at once, on markets with holes, wild enough to make it trade."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from functools import cache
from typing import Any

from strategies import registry
from tests.strategies.cases import ALLOCATION, CASES, COSTS
from tests.trading.markets import BTC, ETH, FIVE_MINUTES, random_walk, without
from trading.bars import Candles, aggregate
from trading.frictions import FeeIn, FeeTier, Frictions, Rest
from trading.instruments import Instrument
from trading.kernels.backtest import Costs
from trading.kernels.panel_backtest import PanelResult, PanelSimulation, prepare_panel_backtest

BNB = Instrument("BNB/USDT", "BNB", "USDT", Decimal("0.1"), Decimal("0.001"), Decimal("0.001"), Decimal(9000), Decimal(5))
MARKETS = (BTC, ETH, BNB)

PANELS: Mapping[str, tuple[str, dict[str, Any]]] = {
    "sma_cross": ("sma_cross", {"cost_gate": 0, "adx_least": 10, "trend_filter": False, "bars_per_day": 288}),
    "scalping": ("scalping", {"bars_per_hour": 1, "vwap_bars": 48, "cost_gate": 2, "target_atr": 2, "slots": 2}),
    "scalping fade": ("scalping", {"setup": "fade", "entry": "taker", "bars_per_hour": 1, "vwap_bars": 48, "cost_gate": 2}),
    "momentum": ("momentum", {"bars_per_day": 1, "top": 1, "keep_rank": 2, "rebalance_band": 0.05, "rebalance_days": 2}),
    "momentum donchian": ("momentum", {"mode": "donchian", "units": 4, "stop_atr": 2}),
    "hedge": ("hedge", {"bars_per_day": 288, "check_bars": 3, "trend_bars": 50, "volatility_bars": 60}),
    "hedge diversifier": (
        "hedge",
        {"mode": "diversifier", "correlation_window": 30, "correlation_most": 0.0, "check_bars": 6},
    ),
}

ROUGH: Mapping[str, tuple[str, Frictions]] = {
    "wait": (
        "scalping fade",
        Frictions(
            slippage_volatility=Decimal("0.1"),
            slippage_impact=Decimal("0.5"),
            rest=Rest.WAIT,
            fee_tiers=(FeeTier(Decimal(50_000), Decimal("0.0009"), Decimal("0.0004")),),
        ),
    ),
    "cancel": ("momentum donchian", Frictions(fee_in=FeeIn.QUOTE, rest=Rest.CANCEL, slippage_impact=Decimal(1))),
    "late": ("momentum donchian", Frictions(latency_ms=FIVE_MINUTES, rest=Rest.WAIT)),
    "details": ("grid", Frictions()),
}


@cache
def panel_market(bars: int = 2500) -> tuple[Candles, ...]:
    """Make three markets: one whole, one with holes, one that opens late."""
    whole = random_walk(seed=31, bars=bars, start=40_000.0)
    holed = without(random_walk(seed=32, bars=bars), 640, 641, 642, 900, 1050, 1051)
    late = random_walk(seed=33, bars=bars, start=300.0, tick=0.1)
    return whole, holed, without(late, *range(200))


def panel_simulation(
    case: str,
    *,
    candles: Sequence[Candles] | None = None,
    costs: Costs = COSTS,
    allocation: Decimal = ALLOCATION,
) -> PanelSimulation:
    """Prepare a case, ready to run."""
    name, values = PANELS[case]
    return prepare_panel_backtest(
        definition=registry.definition(name),
        params=registry.make_params(name, values),
        candles=panel_market() if candles is None else candles,
        interval_ms=FIVE_MINUTES,
        instruments=MARKETS,
        costs=costs,
        allocation=allocation,
    )


def rough_simulation(case: str, *, bars: int = 2500) -> PanelSimulation:
    """Prepare a case with frictions, large enough for its candles to be too thin for it."""
    if case == "details":
        return _detailed(bars)
    of, frictions = ROUGH[case]
    costs = replace(COSTS, frictions=frictions)
    return panel_simulation(of, candles=panel_market(bars), costs=costs, allocation=Decimal(400_000))


def _detailed(bars: int) -> PanelSimulation:
    """Prepare a grid, which has orders on both sides, on one market whose details are known."""
    name, values = CASES["grid"]
    fine = random_walk(seed=41, bars=5 * bars, interval_ms=60_000)
    # Some details are missing, and some tell another story than their candle.
    told = without(fine, *range(2000, 2600))
    told.values[1, 3000:3400] *= 1.5
    return prepare_panel_backtest(
        definition=registry.definition(name),
        params=registry.make_params(name, values),
        candles=[aggregate(fine, FIVE_MINUTES)],
        interval_ms=FIVE_MINUTES,
        instruments=[ETH],
        costs=COSTS,
        allocation=ALLOCATION,
        details=[told],
    )


@cache
def panel_outcome(case: str) -> PanelResult:
    """Run a case from beginning to end."""
    prepared = panel_simulation(case)
    prepared.run()
    return prepared.result()


def panel_fingerprint(prepared: PanelSimulation) -> str:
    """Digest everything a run left behind: money, fills, the strategy's state, equity."""
    digest = hashlib.sha256()
    tape, worlds = prepared.tape, prepared.worlds
    told = tape.journal[: worlds[0].fill_count]
    for content in (worlds, told, prepared.state, tape.equity, tape.reasons, tape.denials):
        digest.update(content.tobytes())
    return digest.hexdigest()
