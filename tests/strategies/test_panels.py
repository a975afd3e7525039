"""What holds for every strategy that trades several markets at once."""

from __future__ import annotations

from collections import defaultdict
from decimal import Decimal

import numpy as np
import pytest

from strategies import registry
from tests.strategies.cases import ALLOCATION, CASES, COSTS, market, outcome
from tests.strategies.panels import MARKETS, PANELS, panel_fingerprint, panel_market, panel_outcome, panel_simulation
from tests.trading.markets import ETH, FIVE_MINUTES
from trading import live_step
from trading.bars import Candles
from trading.kernels.backtest import UnableToBacktest
from trading.kernels.panel_backtest import PanelSimulation, lay_panel, prepare_panel_backtest
from trading.kernels.panel_runner import advance, answer
from trading.strategy import Reason


@pytest.mark.parametrize("case", CASES)
def test_one_market_in_a_panel_trades_as_it_does_alone(case: str) -> None:
    name, values = CASES[case]
    prepared = prepare_panel_backtest(
        definition=registry.definition(name),
        params=registry.make_params(name, values),
        candles=[market()],
        interval_ms=FIVE_MINUTES,
        instruments=[ETH],
        costs=COSTS,
        allocation=ALLOCATION,
    )
    prepared.run()
    together, alone = prepared.result(), outcome(case)

    assert together.fills == alone.fills
    assert together.equity.tobytes() == alone.equity.tobytes()
    assert (together.cash, together.base[0], together.reasons) == (alone.cash, alone.base, alone.reasons)
    assert together.denials == alone.denials


@pytest.mark.parametrize("case", PANELS)
def test_it_trades_in_every_market(case: str) -> None:
    sells: dict[str, int] = defaultdict(int)
    for fill in panel_outcome(case).fills:
        sells[fill.symbol] += fill.side == "sell"

    assert sum(sells.values()) >= 15
    # A diversifier never holds the market it diversifies from.
    assert set(sells) == {instrument.symbol for instrument in MARKETS[case == "hedge diversifier" :]}


@pytest.mark.parity("P8")
@pytest.mark.parametrize("case", PANELS)
def test_one_purse_pays_for_all_to_the_last_unit(case: str) -> None:
    result = panel_outcome(case)
    cash, base = ALLOCATION, dict.fromkeys(result.symbols, Decimal(0))

    times = [fill.time for fill in result.fills]
    assert times == sorted(times)
    for fill in result.fills:
        amount = fill.quantity * fill.price
        cash += -amount if fill.side == "buy" else amount - fill.fee
        base[fill.symbol] += fill.quantity - fill.fee if fill.side == "buy" else -fill.quantity
        assert cash >= 0
        assert base[fill.symbol] >= 0

    assert (cash, tuple(base.values())) == (result.cash, result.base)


@pytest.mark.parity("P3")
@pytest.mark.parametrize("case", PANELS)
def test_the_future_of_any_market_cannot_change_the_past(case: str) -> None:
    whole = panel_outcome(case)
    for bars in (900, 1733):
        end = int(panel_market()[0].times[bars])
        prefix = [_until(candles, end) for candles in panel_market()]
        prepared = panel_simulation(case, candles=prefix)
        prepared.run()
        fills = prepared.result().fills

        assert fills == whole.fills[: len(fills)]
        assert all(fill.time >= end for fill in whole.fills[len(fills) : len(fills) + 1])


@pytest.mark.parity("P4")
@pytest.mark.parametrize("case", PANELS)
def test_a_restart_in_the_middle_changes_nothing_in_any_market(case: str) -> None:
    straight, restarted = panel_simulation(case), panel_simulation(case)
    straight.run()

    for until in range(0, len(restarted.tape.times) + 97, 97):
        restarted.run(until)
        stored = live_step.state_to_bytes(restarted.definition, restarted.state)
        restarted.state = live_step.state_from_bytes(restarted.definition, stored)
        restarted.worlds = restarted.worlds.copy()

    assert panel_fingerprint(restarted) == panel_fingerprint(straight)


@pytest.mark.parity("P6")
@pytest.mark.parametrize("case", PANELS)
def test_the_live_path_decides_over_a_panel_what_the_compiled_loop_decides(case: str) -> None:
    straight, live = panel_simulation(case), panel_simulation(case)
    straight.run()

    step_by_step(live)

    assert panel_fingerprint(live) == panel_fingerprint(straight)


def step_by_step(prepared: PanelSimulation) -> None:
    """Decide the way the live shell does: state as bytes, a panel of one bar, readable answers."""
    definition, worlds, tape = prepared.definition, prepared.worlds, prepared.tape
    stored = live_step.state_to_bytes(definition, prepared.state)
    while advance(worlds, tape, len(tape.times)):
        bar = int(worlds[0].bar)
        panel = np.ascontiguousarray(tape.panel[:, :, bar : bar + 1])
        result = live_step.run_step(
            definition, prepared.params, stored, panel, prepared.strategy_times[bar : bar + 1], 0, tape.book
        )
        stored = result.state_bytes
        # Every market has an answer, and every answer a reason.
        assert {decision.symbol for decision in result.decisions} == set(range(len(MARKETS)))
        assert all(decision.reason is not Reason.NONE for decision in result.decisions)
        tape.decisions[:] = result.records
        answer(worlds, tape, result.count)
    prepared.state = live_step.state_from_bytes(definition, stored)


@pytest.mark.parametrize("case", PANELS)
def test_a_bar_that_no_market_has_may_be_stepped_over_or_left_out(case: str) -> None:
    name, values = PANELS[case]
    definition, params = registry.definition(name), registry.make_params(name, values)
    _, panel = lay_panel([_until(candles, int(candles.times[900])) for candles in panel_market()])
    empty = np.insert(panel, (300, 301, 640), np.nan, axis=2)

    left_out = live_step.warm(definition, params, panel)
    stepped = live_step.warm(definition, params, np.ascontiguousarray(empty))

    assert stepped == left_out


def test_nothing_is_traded_in_a_market_while_its_candles_are_missing() -> None:
    result = panel_outcome("sma_cross")
    holes = set(panel_market()[0].times) - set(panel_market()[1].times)

    assert len(holes) == 6
    assert not [fill for fill in result.fills if fill.symbol == "ETH/USDT" and fill.time in holes]


def test_markets_that_do_not_fit_together_are_refused() -> None:
    definition, params = registry.definition("sma_cross"), registry.make_params("sma_cross")

    def prepare(**changes: object) -> None:
        given: dict[str, object] = {
            "definition": definition,
            "params": params,
            "candles": panel_market()[:2],
            "interval_ms": FIVE_MINUTES,
            "instruments": MARKETS[:2],
            "costs": COSTS,
            "allocation": ALLOCATION,
        }
        prepare_panel_backtest(**{**given, **changes})  # type: ignore[arg-type]

    with pytest.raises(UnableToBacktest, match="named twice"):
        prepare(instruments=(ETH, ETH))
    with pytest.raises(UnableToBacktest, match="2 series of candles for 3 markets"):
        prepare(instruments=MARKETS)
    with pytest.raises(UnableToBacktest, match="grid trades 1 to 1 markets, not 2"):
        prepare(definition=registry.definition("grid"), params=registry.make_params("grid"))


def _until(candles: Candles, end: int) -> Candles:
    count = int(np.searchsorted(candles.times, end))
    return Candles(candles.interval_ms, candles.times[:count], np.ascontiguousarray(candles.values[:, :count]))
