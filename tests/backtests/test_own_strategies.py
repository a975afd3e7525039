"""Strategies of one's own from the template to figures: checked, backtested, swept and simulated like shipped ones."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from backtests import jobs, runs, selectors, services
from backtests.models import BacktestRun, PlanComparison, Sweep
from backtests.selectors import sweeps
from backtests.sweep_spec import parse_grid
from marketdata.models import Instrument
from plugins import folder as own_folder
from strategies import registry, sources
from tests.backtests.test_backtest_command import folder, instrument, make_spec
from tests.backtests.test_comparisons import NOW, clock, content
from tests.backtests.test_comparisons import make_spec as make_comparison
from tests.backtests.test_sweeps import make_spec as make_sweep
from tests.plugins.own import quick, write
from tests.plugins.test_source import here

__all__ = ["folder", "instrument"]


@pytest.fixture
def own(tmp_path_factory: pytest.TempPathFactory, settings: Any) -> Iterator[Path]:
    """A folder with one strategy, registered."""
    place = tmp_path_factory.mktemp("own") / "strategies"
    write(place)
    settings.STRATEGIES_DIR = place
    opened, before = quick(place), sources.get()
    sources.register(lambda: opened)
    yield place
    sources.register(lambda: before)
    opened.close()


def command(*words: str) -> str:
    out = StringIO()
    call_command(*words, stdout=out)
    return out.getvalue()


def test_the_template_keeps_every_promise(tmp_path: Path) -> None:
    place = tmp_path / "strategies"
    command("strategies", "new", "my_idea", "--folder", str(place))
    said = command("strategies", "check", "my_idea", "--bars", "560", "--folder", str(place))

    assert "my_idea: keeps every promise" in said
    assert "the future cannot change the past" in said
    assert "shut" in said
    assert (place / "test_my_idea.py").is_file()
    assert own_folder.names(place) == ["my_idea"]
    assert (place.stat().st_mode & 0o777, (place / "my_idea.py").stat().st_mode & 0o022) == (0o700, 0)


@pytest.mark.parametrize(("name", "why"), [("grid", "already"), ("Bad-Name", "is no name"), ("../x", "is no name")])
def test_a_name_that_cannot_be_is_refused(tmp_path: Path, name: str, why: str) -> None:
    with pytest.raises(CommandError, match=why):
        command("strategies", "new", name, "--folder", str(tmp_path))


def test_a_look_into_the_future_is_found(tmp_path: Path) -> None:
    place = tmp_path / "strategies"
    write(place, "seer", "panel = np.roll(panel, -1, axis=2)", head="import numpy as np\n")

    with pytest.raises(CommandError, match="promises are not kept"):
        command("strategies", "check", "seer", "--bars", "560", "--folder", str(place))


def test_a_backtest_is_stored_and_equals_one_without_walls(folder: Path, instrument: Instrument, own: Path) -> None:
    spec = replace(make_spec(folder), strategy="mine", params={"period": 20})
    found = services.record_backtest(spec=spec, by=None, now=NOW)
    assert jobs.run_backtest(run_id=found.id, clock=clock)

    found.refresh_from_db()
    assert (found.state, found.source_hash) == (BacktestRun.State.DONE, registry.definition("mine").source_hash)
    assert found.fills.count() > 10
    params = registry.record_of(here(), {"period": 20})
    there = runs.run_definition(
        here(), params, spec.checked(), candles=selectors.candles(spec), instruments=[selectors.known_instrument("ETH/USDT")]
    )
    assert json.loads(json.dumps(there.metrics)) == found.metrics


def test_one_that_breaks_amid_a_backtest_is_told_with_its_line(folder: Path, instrument: Instrument, own: Path) -> None:
    path = write(own, "mine", "if state[0].holding == 1: raise ArithmeticError('enough')")
    line = path.read_text().splitlines().index("    if state[0].holding == 1: raise ArithmeticError('enough')") + 1
    found = services.record_backtest(spec=replace(make_spec(folder), strategy="mine", params={}), by=None, now=NOW)
    assert jobs.run_backtest(run_id=found.id, clock=clock)

    found.refresh_from_db()
    assert (found.state, found.error) == (BacktestRun.State.FAILED, f"mine.py:{line}: ArithmeticError: enough")


def test_its_parameters_are_swept(folder: Path, instrument: Instrument, own: Path) -> None:
    grid = parse_grid(["period=20:40:20", "stop_atr=2,3"])
    asked = services.record_sweep(spec=make_sweep(folder, strategy="mine", grid=grid), by=None, now=NOW)
    while jobs.run_sweep_chunk(sweep_id=asked.id, clock=clock):
        pass
    asked.refresh_from_db()
    table = sweeps.results(asked)

    assert asked.state == Sweep.State.DONE, asked.error
    assert table is not None
    assert table.num_rows == 4
    assert len(set(table.column("total_return").to_pylist())) == 4


def test_a_file_that_changes_amid_a_sweep_ends_it(folder: Path, instrument: Instrument, own: Path) -> None:
    asked = services.record_sweep(spec=make_sweep(folder, strategy="mine", grid=parse_grid(["period=20,40"])), by=None, now=NOW)
    write(own, "mine", "pass")

    assert not jobs.run_sweep_chunk(sweep_id=asked.id, clock=clock)
    asked.refresh_from_db()
    assert (asked.state, asked.error[:16]) == (Sweep.State.FAILED, "The code changed")


def test_an_account_with_it_is_simulated(folder: Path, instrument: Instrument, own: Path) -> None:
    plan = content(folder)
    plan["bots"][1] |= {"strategy": "mine", "params": {"period": 20}}
    asked = make_comparison(folder, *(replace(one, content=plan) for one in make_comparison(folder).plans[:1]))
    found = services.record_comparison(spec=asked, by=None, now=NOW)
    assert jobs.run_comparison_plan(comparison_id=found.id, clock=clock)

    found.refresh_from_db()
    (told,) = found.plans.all()
    assert found.state == PlanComparison.State.DONE
    assert [bot["fills"] > 0 for bot in told.report["bots"]] == [True, True]
