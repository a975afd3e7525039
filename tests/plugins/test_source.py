"""A user's strategy is a definition like any other: same answers, parameters checked, another one when its file changes."""

from __future__ import annotations

import sys
import time
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from plugins import children as children_of_users
from plugins import described
from plugins import source as sources_of_users
from plugins.source import FolderSource
from plugins.template import STRATEGY
from strategies import checks, registry, sources
from strategies.registry import BadParameter
from strategies.sources import BrokenStrategy, UnknownStrategy
from tests.plugins.own import candles, quick, walk, write
from trading import live_step
from trading.strategy import Range, StrategyDefinition, new_book, new_decisions


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of one's own with the template in it."""
    place = tmp_path / "strategies"
    write(place)
    return place


@pytest.fixture
def source(folder: Path) -> Iterator[FolderSource]:
    """The folder as the registry sees it."""
    opened, before = quick(folder), sources.get()
    sources.register(lambda: opened)
    yield opened
    sources.register(lambda: before)
    opened.close()


def here() -> StrategyDefinition:
    """Run the template in this process."""
    module = types.ModuleType("in_this_process")
    sys.modules[module.__name__] = module
    exec(compile(STRATEGY.format(name="mine", title="Mine"), "mine.py", "exec"), vars(module))
    found: StrategyDefinition = module.DEFINITION
    return found


def test_it_answers_bar_for_bar_what_it_answers_without_walls(source: FolderSource) -> None:
    definition, panel = here(), candles(600)
    inside = walk(source, panel)
    outside = checks.walk(definition, registry.record_of(definition, {}), panel)

    assert inside.said == outside.said
    assert inside.state[8:] == outside.state[8:]
    assert {int(kind) for answer in inside.decisions for kind in answer["kind"]} > {0}


def test_one_of_several_markets_sees_all_of_them(folder: Path, source: FolderSource) -> None:
    """The second market is what it looks at when it asks for the first; a candle that is missing is missing there as well."""
    path = write(folder, "several", "panel = panel[:, ::-1] if panel.shape[1] == 2 else None")
    path.write_text(path.read_text().replace("    regimes_expected=(),\n", "    regimes_expected=(),\n    symbols_most=2,\n"))
    one, other = candles(300), candles(300) * 2.0
    one[:, :, 100:103] = np.nan
    both = np.ascontiguousarray(np.concatenate([one, other], axis=1))

    assert (registry.definition("several").symbols_least, registry.definition("several").symbols_most) == (1, 2)
    told = walk(source, both, "several")
    alone = walk(source, other)
    assert [answer["facts"].tobytes() for answer in told.decisions] == [answer["facts"].tobytes() for answer in alone.decisions]
    # A bar of one market alone is told as what it is, too.
    holds = walk(source, np.ascontiguousarray(both[:, ::-1]), "several").decisions
    assert np.isnan(holds[101]["facts"]).all()


def test_the_registry_knows_it(source: FolderSource) -> None:
    found = registry.definition("mine")

    assert registry.own_names() == ("mine",)
    assert registry.names()[-1] == "mine"
    assert (found.title, found.symbols_least, found.symbols_most) == ("Mine", 1, 1)
    assert registry.schema("mine")["period"] == {
        "type": "int",
        "default": 50,
        "minimum": 5,
        "maximum": 200,
        "step": 1,
        "scale": "linear",
        "description": "Bars of the average.",
    }
    params = registry.make_params("mine", {"period": 20})
    assert found.warmup_bars(params) == 250
    assert found.fact_names(params, 29) == ("close", "average", "stop")


def test_its_parameters_are_checked_like_any_others(source: FolderSource) -> None:
    with pytest.raises(BadParameter, match=r"mine has no parameter 'perod'\. Did you mean 'period'"):
        registry.make_params("mine", {"perod": 20})
    with pytest.raises(BadParameter, match=r"mine\.period must be from 5 to 200, not 900"):
        registry.make_params("mine", {"period": 900})
    with pytest.raises(UnknownStrategy, match="Did you mean 'mine'"):
        registry.definition("mien")


def test_its_own_check_of_parameters_is_heard(folder: Path, source: FolderSource) -> None:
    path = write(folder, "strict")
    text = path.read_text().replace("    regimes_expected=(),\n", "    regimes_expected=(),\n    check=refuse_odd,\n")
    text = text.replace(
        "DEFINITION =",
        "def refuse_odd(values):\n    if values['period'] % 2:\n        raise ValueError('an even period')\n\n\nDEFINITION =",
    )
    path.write_text(text)

    assert registry.param_values("strict", {"period": 20})["period"] == 20
    with pytest.raises(ValueError, match="an even period"):
        registry.param_values("strict", {"period": 21})


def test_it_never_sees_another_bar(folder: Path, source: FolderSource) -> None:
    write(folder, "nosy", "state[0].average = panel[3, 0, i + 1]; decisions['reason'] = 12; return 1")
    definition = registry.definition("nosy")
    params, state = registry.make_params("nosy"), live_step.new_state(registry.definition("nosy"), registry.make_params("nosy"))
    decisions, book = (
        new_decisions(),
        new_book(),
    )
    definition.step(state, candles(), 5, book, params, decisions)

    # What lies beyond the bar is unknown there, whatever the caller's panel holds.
    assert np.isnan(state[0]["average"])


def test_a_file_that_changes_is_another_strategy(folder: Path, source: FolderSource) -> None:
    before = registry.definition("mine")
    code_before = registry.code_hash("mine")
    assert registry.definition("mine") is before
    path = write(folder, "mine", "pass")
    after = registry.definition("mine")

    assert after.source_hash != before.source_hash
    assert registry.code_hash("mine") != code_before
    assert registry.code_hash("grid") == registry.code_hash()
    path.unlink()
    with pytest.raises(UnknownStrategy, match="Unknown strategy 'mine'"):
        registry.definition("mine")


def test_a_shipped_strategy_cannot_be_replaced(folder: Path, source: FolderSource) -> None:
    write(folder, "grid")

    assert registry.definition("grid").title == "GridTrading"
    assert "grid" not in registry.own_names()


def test_one_that_others_may_write_is_refused(folder: Path, source: FolderSource) -> None:
    (folder / "mine.py").chmod(0o666)

    with pytest.raises(BrokenStrategy, match=r"others may write it\. Say: chmod go-w"):
        registry.definition("mine")
    assert registry.is_grid("mine") is False


def test_a_broken_one_is_tried_again_after_a_while(folder: Path, source: FolderSource, monkeypatch: pytest.MonkeyPatch) -> None:
    write(folder, "broken", head="import nothing_of_this_name\n")
    with pytest.raises(BrokenStrategy, match=r"broken\.py:1: ModuleNotFoundError"):
        registry.definition("broken")
    monkeypatch.setattr(sources_of_users, "FAILURE_SECONDS", 0)
    with pytest.raises(BrokenStrategy, match=r"broken\.py:1: ModuleNotFoundError"):
        registry.definition("broken")


def test_only_so_many_processes_stay(folder: Path, source: FolderSource, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(children_of_users, "CHILDREN_MAX", 2)
    for name in ("first", "second", "third"):
        write(folder, name)
        walk(source, candles(), name)
    assert len(source._children._running) == 2
    # One that had to go is started again.
    walk(source, candles(), "first")
    monkeypatch.setattr(children_of_users, "IDLE_SECONDS", -1)
    time.sleep(0.01)
    walk(source, candles(), "first")
    assert [version.path.stem for version in source._children._running] == ["first"]


@pytest.mark.parametrize(
    ("told", "why"),
    [
        ({"name": "another"}, "calls itself 'another'"),
        ({"symbols": [3, 2]}, "at least 3 and at most 2"),
        ({"symbols": [1, 11]}, "no whole number from 1 to 10"),
        ({"state": [["a", "|O"]]}, "only numbers can be kept"),
        ({"state": [["a", "<f8", [10_000_000]]]}, "its state has 80,000,000 bytes"),
        ({"state": "<f8"}, "its state is no record"),
        (
            {
                "params": [
                    {
                        "name": "n",
                        "kind": "float",
                        "default": 1.0,
                        "rule": "range",
                        "description": "",
                        "minimum": 0,
                        "step": 1,
                        "scale": "linear",
                        "maximum": 10**400,
                    }
                ]
            },
            "makes no sense",
        ),
        ({"params": [{"name": "__class__", "kind": "int", "default": 1, "rule": "range"}]}, "is no name for a parameter"),
        ({"params": [{"name": "a", "kind": "list", "default": 1, "rule": "range"}]}, "makes no sense: 'list'"),
        ({"title": "x" * 5000}, "is no text"),
        ({"order_kinds": [99]}, "99 is not a valid OrderKind"),
    ],
)
def test_a_description_that_cannot_be_is_refused(told: dict[str, Any], why: str) -> None:
    whole = described.describe(here())
    with pytest.raises(described.BadDescription, match=why):
        described.read({**whole, **told}, name="mine", start=None, step=None, warmup_bars=None, fact_names=None)


def test_what_is_told_of_a_definition_is_what_is_read() -> None:
    ours = here()
    read = described.read(
        described.describe(ours), name="mine", start=ours.start, step=ours.step, warmup_bars=None, fact_names=None
    )

    assert read.state_dtype.itemsize == np.dtype(ours.state_dtype).itemsize
    assert registry.record_of(read, {}).tobytes() == registry.record_of(ours, {}).tobytes()
    assert isinstance(registry._annotations(read.params_type)["share"][1], Range)
