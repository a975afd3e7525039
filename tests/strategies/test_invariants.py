"""What holds for every strategy, whatever the market does."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest

from strategies import registry
from tests.strategies.cases import ALLOCATION, CASES, fingerprint, market, outcome, simulation
from tests.strategies.panels import PANELS, ROUGH, panel_fingerprint, panel_market, panel_simulation, rough_simulation
from tests.trading.markets import ETH, FIVE_MINUTES, random_walk, without
from trading import live_step
from trading.bars import Candles, panel_with_gaps
from trading.kernels.backtest import Simulation
from trading.kernels.runner import advance, answer
from trading.strategy import MAX_FACTS, Reason

PROJECT = Path(__file__).resolve().parents[2]
INTERPRETED_BARS = 1100


# The third generation wants an oversold price above its slow average: a random walk hardly has one.
@pytest.mark.parametrize("case", [case for case in CASES if case != "sasha_hybrid legacy"])
def test_it_trades_on_a_wild_market(case: str) -> None:
    # Without trades every other test here would be empty.
    fills = outcome(case).fills

    assert sum(fill.side == "sell" for fill in fills) >= 5


@pytest.mark.parity("P8")
@pytest.mark.parametrize("case", CASES)
def test_its_fills_explain_its_money_to_the_last_unit(case: str) -> None:
    result = outcome(case)
    cash, base = ALLOCATION, Decimal(0)

    times = [fill.time for fill in result.fills]
    assert times == sorted(times)
    for fill in result.fills:
        amount = fill.quantity * fill.price
        cash += -amount if fill.side == "buy" else amount - fill.fee
        base += fill.quantity - fill.fee if fill.side == "buy" else -fill.quantity
        assert cash >= 0
        assert base >= 0

    assert (cash, base) == (result.cash, result.base)


@pytest.mark.parametrize("case", CASES)
def test_its_position_keeps_to_its_share(case: str) -> None:
    share = Decimal("0.10")
    base, spent = Decimal(0), Decimal(0)
    for fill in outcome(case).fills:
        base += fill.quantity - fill.fee if fill.side == "buy" else -fill.quantity
        if fill.side == "buy":
            spent = base * fill.price
            # A lot of rounding and a bar of movement between the decision and its fill.
            assert spent <= ALLOCATION * share * Decimal("1.03")


@pytest.mark.parity("P3")
@pytest.mark.parametrize("case", CASES)
def test_the_future_cannot_change_the_past(case: str) -> None:
    whole = outcome(case)
    for bars in (700, 1501, 2222):
        cut = market()
        prefix = Candles(cut.interval_ms, cut.times[:bars], np.ascontiguousarray(cut.values[:, :bars]))
        prepared = simulation(case, candles=prefix)
        prepared.run()
        fills = prepared.result().fills

        assert fills == whole.fills[: len(fills)]
        assert all(fill.time > prefix.times[-1] for fill in whole.fills[len(fills) : len(fills) + 1])


@pytest.mark.parity("P4")
@pytest.mark.parametrize("case", CASES)
def test_a_restart_in_the_middle_changes_nothing(case: str) -> None:
    straight = simulation(case)
    straight.run()
    restarted = simulation(case)
    definition = restarted.definition

    for until in range(0, len(market()) + 97, 97):
        restarted.run(until)
        stored = live_step.state_to_bytes(definition, restarted.state)
        restarted.state = live_step.state_from_bytes(definition, stored)
        restarted.world = restarted.world.copy()

    assert fingerprint(restarted) == fingerprint(straight)


@pytest.mark.parity("P6")
@pytest.mark.parametrize("case", CASES)
def test_the_live_path_decides_what_the_compiled_loop_decides(case: str) -> None:
    straight, live = simulation(case), simulation(case)
    straight.run()

    step_by_step(live)

    assert fingerprint(live) == fingerprint(straight)


def step_by_step(prepared: Simulation) -> None:
    """Decide the way the live shell does: state as bytes, a panel of one bar, readable answers."""
    definition, world, tape = prepared.definition, prepared.world, prepared.tape
    stored = live_step.state_to_bytes(definition, prepared.state)
    while advance(world, tape, len(tape.times)):
        bar = int(world[0].bar)
        panel = np.ascontiguousarray(tape.panel[:, :, bar : bar + 1])
        times = prepared.strategy_times[bar : bar + 1]
        result = live_step.run_step(definition, prepared.params, stored, panel, times, 0, tape.book)
        stored = result.state_bytes
        assert result.decisions
        for decision in result.decisions:
            assert decision.reason is not Reason.NONE
            assert len(decision.facts) == MAX_FACTS
        tape.decisions[:] = result.records
        answer(world, tape, result.count)
    prepared.state = live_step.state_from_bytes(definition, stored)


# With a cold cache it compiles every loop over several markets as well.
@pytest.mark.timeout(900)
@pytest.mark.parity("P6")
def test_the_compiled_and_the_interpreted_step_agree_to_the_last_bit() -> None:
    environment = {**os.environ, "NUMBA_DISABLE_JIT": "1", "PYTHONPATH": str(PROJECT)}
    program = [sys.executable, "-m", "tests.strategies.interpreted_fingerprints", str(INTERPRETED_BARS)]
    answered = subprocess.run(program, cwd=PROJECT, env=environment, capture_output=True, text=True, check=True)
    interpreted = json.loads(answered.stdout)

    for case in CASES:
        prepared = simulation(case, candles=market(INTERPRETED_BARS))
        prepared.run()
        assert interpreted[case] == [fingerprint(prepared), int(prepared.world[0].fill_count)], case
    for case in PANELS:
        together = panel_simulation(case, candles=panel_market(INTERPRETED_BARS))
        together.run()
        told = [panel_fingerprint(together), int(together.worlds[0].fill_count)]
        assert interpreted[f"panel {case}"] == told, case
    for case in ROUGH:
        rough = rough_simulation(case, bars=INTERPRETED_BARS)
        rough.run()
        assert interpreted[f"rough {case}"] == [panel_fingerprint(rough), int(rough.worlds[0].fill_count)], case
    assert sum(fills for _, fills in interpreted.values()) > 100


@pytest.mark.parametrize("case", CASES)
def test_missing_bars_may_be_stepped_over_or_left_out(case: str) -> None:
    gappy = without(market(1200), 300, 301, 302, 640, 900, 901)
    name, values = CASES[case]
    definition, params = registry.definition(name), registry.make_params(name, values)
    _, with_gaps = panel_with_gaps(gappy)

    left_out = live_step.warm(definition, params, np.ascontiguousarray(gappy.values[:, np.newaxis, :]))
    stepped = live_step.warm(definition, params, np.ascontiguousarray(with_gaps))

    assert stepped == left_out


@pytest.mark.parametrize("case", CASES)
def test_a_dead_market_gives_no_reason_to_act(case: str) -> None:
    dead = random_walk(seed=1, bars=1200)
    dead.values[:4] = 3000.0
    prepared = simulation(case, candles=dead)
    prepared.run()
    result = prepared.result()

    # A grid stocks itself at its start and then waits; nothing else has an opinion.
    expected = {"ENTRY"} if case.startswith("grid") and "climbing" not in case else set()
    assert {fill.kind for fill in result.fills} == expected


@pytest.mark.parametrize("case", CASES)
def test_finer_base_candles_make_the_same_bars(case: str) -> None:
    fine = random_walk(seed=13, bars=6000, interval_ms=60_000)
    prepared = simulation(case, candles=fine, interval_ms=FIVE_MINUTES)
    prepared.run()
    result = prepared.result()

    assert len(result.times) > 100
    assert not np.isnan(result.equity[:-1]).any()
    assert all(fill.quantity % ETH.lot_size == 0 and fill.price % ETH.tick_size == 0 for fill in result.fills)
