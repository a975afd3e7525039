"""Every strategy in every mode it has, on a market wild enough to make it trade."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from decimal import Decimal
from functools import cache
from typing import Any

from strategies import registry
from tests.trading.markets import ETH, FIVE_MINUTES, random_walk
from trading.bars import Candles
from trading.kernels.backtest import BacktestResult, Costs, Simulation, prepare_backtest

ALLOCATION = Decimal("1976.46")
# Costs other than the default ones, so that no formula can hide behind a zero.
COSTS = Costs(maker_fee=Decimal("0.0008"), slippage=Decimal("0.0001"))

CASES: Mapping[str, tuple[str, dict[str, Any]]] = {
    "mean_reversion": ("mean_reversion", {"oversold": 40, "cost_gate": 0}),
    "mean_reversion zscore": ("mean_reversion", {"mode": "zscore", "half_life_max": 60, "cost_gate": 1}),
    "mean_reversion rsi2": ("mean_reversion", {"mode": "rsi2", "cost_gate": 1, "trend_filter": True}),
    "sasha_hybrid": ("sasha_hybrid", {"cost_gate": 1, "volatility_window": 100}),
    "sasha_hybrid legacy": ("sasha_hybrid", {"mode": "legacy_g3", "volatility_window": 100}),
    "grid": ("grid", {"half_width": 0.03, "spacing_costs": 2, "rebuild_bars": 10, "restart_bars": 20}),
    "grid climbing": ("grid", {"recentre": "trail_up", "half_width": 0.03, "spacing_costs": 2, "start_flat": True}),
    "grid arithmetic": ("grid", {"spacing_kind": "arithmetic", "range_from": "atr", "take_profit": 0.01, "restart_bars": 5}),
    "triple_ema": ("triple_ema", {"cost_gate": 0}),
    "triple_ema pullback": ("triple_ema", {"mode": "pullback", "exit_on": "slow", "target_atr": 4, "cost_gate": 0}),
    "ema_ribbon": ("ema_ribbon", {"cost_gate": 0, "volume_factor": 0.5}),
    "ema_ribbon breakout": ("ema_ribbon", {"mode": "breakout", "ribbon": "gmma", "cost_gate": 0, "target_atr": 5}),
    "ema_ribbon madrid": ("ema_ribbon", {"ribbon": "madrid", "cost_gate": 0}),
    "sma_cross": ("sma_cross", {"cost_gate": 0, "adx_least": 10, "trend_filter": False, "bars_per_day": 288}),
    "sma_cross bars": ("sma_cross", {"confirm": "bars", "fast": 5, "slow": 20, "cost_gate": 1, "volatility_rank": 1}),
    "scalping": ("scalping", {"bars_per_hour": 1, "vwap_bars": 48, "cost_gate": 2, "target_atr": 2}),
    "scalping fade": (
        "scalping",
        {"setup": "fade", "entry": "taker", "bars_per_hour": 1, "vwap_bars": 48, "cost_gate": 2, "loss_row": 2},
    ),
    "momentum": ("momentum", {"bars_per_day": 1}),
    "momentum donchian": ("momentum", {"mode": "donchian", "units": 4, "stop_atr": 2}),
    "momentum squeeze": ("momentum", {"mode": "squeeze", "squeeze_rank": 0.3, "stop_atr": 2}),
    "momentum volatility": ("momentum", {"mode": "volatility", "stop_atr": 2}),
    "hedge": ("hedge", {"bars_per_day": 288, "check_bars": 3, "trend_bars": 50, "volatility_bars": 60}),
}


@cache
def market(bars: int = 3000) -> Candles:
    """Make the market that all cases trade on."""
    return random_walk(seed=11, bars=bars)


def simulation(case: str, *, candles: Candles | None = None, interval_ms: int = FIVE_MINUTES) -> Simulation:
    """Prepare a case, ready to run."""
    name, values = CASES[case]
    return prepare_backtest(
        definition=registry.definition(name),
        params=registry.make_params(name, values),
        candles=market() if candles is None else candles,
        interval_ms=interval_ms,
        instrument=ETH,
        costs=COSTS,
        allocation=ALLOCATION,
    )


@cache
def outcome(case: str) -> BacktestResult:
    """Run a case from beginning to end."""
    prepared = simulation(case)
    prepared.run()
    return prepared.result()


def fingerprint(prepared: Simulation) -> str:
    """Digest everything a run left behind: money, fills, the strategy's state, equity."""
    digest = hashlib.sha256()
    tape, world = prepared.tape, prepared.world
    for content in (world, tape.journal[: world[0].fill_count], prepared.state, tape.equity, tape.reasons, tape.denials):
        digest.update(content.tobytes())
    return digest.hexdigest()
