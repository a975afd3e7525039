"""Names, parameters and presets: what a person may type, and what is refused."""

from __future__ import annotations

import math

import numpy as np
import pytest

from strategies import registry
from strategies.sources import UnknownStrategy
from tests.trading.markets import ETH, random_walk
from trading import live_step
from trading.bars import to_panel
from trading.instruments import instrument_numbers
from trading.sizing import SIZED_DTYPE, size_decisions
from trading.strategy import DecisionKind, Reason, new_book, new_decisions


def test_both_line_ups_are_there() -> None:
    first = {"mean_reversion", "sasha_hybrid", "grid", "triple_ema", "ema_ribbon"}
    second = {"sma_cross", "scalping", "momentum", "hedge", "arbitrage"}

    assert set(registry.shipped_names()) == first | second


@pytest.mark.parametrize(("typed", "meant"), [("mean_revertion", "mean_reversion"), ("tripleema", "triple_ema")])
def test_an_unknown_strategy_gets_a_hint(typed: str, meant: str) -> None:
    with pytest.raises(UnknownStrategy, match=f"Did you mean '{meant}'"):
        registry.definition(typed)


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ({"oversol": 30}, "Did you mean 'oversold'"),
        ({"period": 9}, "from 10 to 50"),
        ({"period": 20.5}, "whole number"),
        ({"period": "many"}, "must be a number"),
        ({"width": math.nan}, "from 1 to 3"),
        ({"width": True}, "must be a number"),
        ({"mode": "magic"}, "bb_rsi, zscore, rsi2"),
        ({"trend_filter": "maybe"}, "true or false"),
    ],
)
def test_a_bad_parameter_is_refused_with_a_reason(values: dict[str, object], why: str) -> None:
    with pytest.raises(registry.BadParameter, match=why):
        registry.make_params("mean_reversion", values)


def test_averages_too_close_together_are_refused() -> None:
    with pytest.raises(ValueError, match=r"at least 1\.6"):
        registry.make_params("triple_ema", {"fast": 12, "middle": 15})


@pytest.mark.parametrize("name", registry.shipped_names())
def test_every_preset_and_default_is_in_range(name: str) -> None:
    definition = registry.definition(name)
    for interval in definition.presets:
        registry.make_params(name, {}, interval)
    for preset in definition.named_presets:
        registry.make_params(name, {}, "5m", preset)
    for row in registry.schema(name).values():
        assert row["description"].endswith(".")


def test_typed_text_and_numbers_make_the_same_record() -> None:
    typed = registry.make_params("mean_reversion", {"period": "25", "width": "2", "trend_filter": "yes", "mode": "zscore"})
    meant = registry.make_params("mean_reversion", {"period": 25, "width": 2.0, "trend_filter": True, "mode": "zscore"})

    assert typed.dtype == meant.dtype
    assert typed.tobytes() == meant.tobytes()


@pytest.mark.parametrize("name", registry.shipped_names())
def test_warming_up_never_wants_money(name: str) -> None:
    definition, params = registry.definition(name), registry.make_params(name, {})
    panel = np.repeat(to_panel(random_walk(seed=2, bars=700)), definition.symbols_least, axis=1)
    state, decisions = live_step.new_state(definition, params), new_decisions()

    for i in range(panel.shape[2]):
        count = definition.step(state, panel, i, new_book(), params, decisions)
        assert count == definition.symbols_least
        assert (decisions[:count]["kind"] == DecisionKind.HOLD).all()
        assert (decisions[:count]["reason"] == Reason.SIGNAL_WARMING_UP).all()


@pytest.mark.parametrize("name", registry.shipped_names())
def test_state_of_another_layout_is_refused(name: str) -> None:
    definition, params = registry.definition(name), registry.make_params(name, {})
    stored = live_step.state_to_bytes(definition, live_step.new_state(definition, params))

    with pytest.raises(live_step.StateSchemaChanged):
        live_step.state_from_bytes(definition, b"another!" + stored[8:])
    with pytest.raises(live_step.StateSchemaChanged):
        live_step.state_from_bytes(definition, stored[:-1])
    assert live_step.state_view(definition, stored)


def size(**wish: float) -> tuple[int, int, int, str]:
    book, decisions = new_book(), new_decisions()
    b, decision = book[0], decisions[0]
    b.cash = b.equity = b.allocation = 1976.46
    b.fee_rate, b.half_spread = 0.001, 0.0
    b.close[0], b.cash = 2000.0, wish.pop("cash", 1976.46)
    b.quantity[0] = wish.pop("owned", 0.0)
    decision.kind, decision.share = DecisionKind.ENTER, 0.1
    for name, value in wish.items():
        setattr(decision, name, value)
    sized = np.zeros(1, dtype=SIZED_DTYPE)
    size_decisions(decisions, 1, book, instrument_numbers(ETH), sized)
    return int(sized[0].lots), int(sized[0].limit_ticks), int(sized[0].stop_ticks), Reason(int(sized[0].deny)).name


@pytest.mark.parametrize(
    ("wish", "expect"),
    [
        # 197.646 at 2000 is 988.23 lots of 0.0001; the collar is one per cent above.
        ({}, (988, 202_000, 0, "NONE")),
        # One per cent of 1976.46 at risk over 200 is 0.0988; half of it over 400.
        ({"risk_share": 0.01, "stop": 1600.0}, (494, 202_000, 160_000, "NONE")),
        ({"owned": 0.05}, (488, 202_000, 0, "NONE")),
        ({"owned": 0.1}, (0, 202_000, 0, "RISK_POSITION_CAP")),
        ({"cash": 4.0}, (0, 202_000, 0, "CAPITAL_INSUFFICIENT")),
        ({"share": 0.002}, (0, 202_000, 0, "FILTER_MIN_NOTIONAL")),
        # Worth 5.4 now but only 2.7 at its stop: it could not be sold there.
        ({"share": 0.00274, "stop": 1000.0}, (0, 202_000, 100_000, "FILTER_MIN_NOTIONAL")),
        ({"stop": 2000.0}, (0, 202_000, 200_000, "SIGNAL_INVALID")),
        ({"stop": math.nan}, (0, 202_000, 0, "SIGNAL_INVALID")),
        ({"share": math.nan}, (0, 202_000, 0, "SIGNAL_INVALID")),
    ],
)
def test_an_entry_is_sized_or_denied(wish: dict[str, float], expect: tuple[int, int, int, str]) -> None:
    assert size(**wish) == expect


def test_the_whole_grid_fits_its_share_of_the_golden_allocation() -> None:
    """9,882.31 at 20 % is 1,976.46; a tenth of it in ten levels leaves each well above 5."""
    share = 1976.46 * 0.10 / 10

    assert share == pytest.approx(19.7646)
    assert share > 5
