"""A user's own strategies: written from a template, checked, backtested slower, and contained when they misbehave."""

from __future__ import annotations

import json
import os
from io import StringIO
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from django.core.management import CommandError, call_command

from backtests import user_strategies
from backtests.strategy_template import STRATEGY
from backtests.user_strategies import BrokenStrategy, Limits, contained
from tests.trading.markets import random_walk
from trading.bars import to_panel

CHECK = {"action": "check", "params": {}, "interval": ""}


@pytest.fixture
def folder(tmp_path: Path, settings: Any) -> Path:
    """Have a folder of one's own."""
    settings.TRADEAPP_DATA_DIR = tmp_path
    return tmp_path / "strategies"


def command(*words: str) -> str:
    out = StringIO()
    call_command(*words, stdout=out)
    return out.getvalue()


def misbehaving(folder: Path, line: str) -> Path:
    """Write the template with one line put at the beginning of its step."""
    folder.mkdir(exist_ok=True)
    path = folder / "mine.py"
    body = STRATEGY.format(name="mine", title="Mine")
    path.write_text(body.replace("    me, money, p = state[0]", f"    {line}\n    me, money, p = state[0]"), encoding="utf-8")
    return path


def line_of(path: Path, line: str) -> int:
    return path.read_text(encoding="utf-8").splitlines().index(f"    {line}") + 1


def check(path: Path, **limits: int) -> dict[str, Any]:
    panel = to_panel(random_walk(seed=4, bars=560))
    return contained(path, CHECK, {"panel": panel}, limits=Limits(**limits))


def test_the_template_keeps_every_promise(folder: Path) -> None:
    command("strategies", "new", "my_idea", "--folder", str(folder))
    said = command("strategies", "check", "my_idea", "--bars", "560", "--folder", str(folder))

    assert "my_idea: keeps every promise" in said
    assert "the future cannot change the past" in said
    assert (folder / "test_my_idea.py").is_file()
    assert user_strategies.names(folder) == ["my_idea"]


@pytest.mark.parametrize(("name", "why"), [("grid", "already"), ("Bad-Name", "is no name"), ("../x", "is no name")])
def test_a_name_that_cannot_be_is_refused(folder: Path, name: str, why: str) -> None:
    with pytest.raises(CommandError, match=why):
        command("strategies", "new", name, "--folder", str(folder))


def test_it_is_backtested_like_any_other(folder: Path, db: None) -> None:
    command("strategies", "new", "my_idea", "--folder", str(folder))
    candles = random_walk(seed=21, bars=1440)
    place = folder.parent / "data" / "binance" / "ETHUSDT"
    place.mkdir(parents=True)
    columns = dict(zip(("open", "high", "low", "close", "volume"), candles.values, strict=True))
    pq.write_table(pa.table({"open_time": candles.times, **columns}), place / "5m.parquet")
    words = ["backtest", "run", "--strategy", "my_idea", "--symbol", "ETH/USDT", "--from", "2024-01-01", "--to", "2024-01-06"]

    report = json.loads(
        command(*words, "--data", str(folder.parent / "data"), "--filters", "0.01,0.0001,5", "--param", "period=20", "--json")
    )

    assert report["params"]["period"] == 20
    assert len(report["fills"]) > 20
    assert report["metrics"]["trades"] == sum(fill["side"] == "sell" for fill in report["fills"])


def test_an_error_names_file_and_line(folder: Path) -> None:
    path = misbehaving(folder, "wrong = {}[i]")

    with pytest.raises(BrokenStrategy, match=rf"mine\.py:{line_of(path, 'wrong = {}[i]')}: KeyError: 0"):
        check(path)


def test_a_syntax_error_names_its_line(folder: Path) -> None:
    path = misbehaving(folder, "if True print(1)")

    with pytest.raises(BrokenStrategy, match=rf"mine\.py:{line_of(path, 'if True print(1)')}: SyntaxError"):
        check(path)


@pytest.mark.fault("P09")
def test_an_endless_loop_ends_with_its_line(folder: Path) -> None:
    path = misbehaving(folder, "while True: pass")

    with pytest.raises(BrokenStrategy, match=rf"mine\.py:{line_of(path, 'while True: pass')}: it used more than 6 seconds"):
        check(path, seconds=6)


@pytest.mark.fault("P09")
def test_a_leak_ends_at_its_limit(folder: Path) -> None:
    path = misbehaving(folder, "hoard = bytearray(8 << 30)")

    with pytest.raises(BrokenStrategy, match=r"mine\.py:\d+: it used more than 4096 MB"):
        check(path)


@pytest.mark.fault("P09")
def test_a_process_that_ends_itself_is_told(folder: Path) -> None:
    path = misbehaving(folder, "import os; os._exit(7)")

    with pytest.raises(BrokenStrategy, match=r"mine\.py: its process ended: code 7"):
        check(path)


def test_a_file_without_a_definition_is_refused(folder: Path) -> None:
    folder.mkdir()
    (folder / "mine.py").write_text("DEFINITION = 3\n", encoding="utf-8")

    with pytest.raises(BrokenStrategy, match="must end with DEFINITION"):
        check(folder / "mine.py")


def test_nonsense_for_an_answer_is_refused(folder: Path) -> None:
    path = misbehaving(folder, "return 1000")

    with pytest.raises(BrokenStrategy, match="answered 1000 at bar 0"):
        check(path)


def test_it_sees_none_of_our_secrets(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgres://secret")
    monkeypatch.setenv("BINANCE_API_SECRET", "secret")
    path = misbehaving(folder, "import os; raise KeyError(','.join(sorted(os.environ)))")

    with pytest.raises(BrokenStrategy) as told:
        check(path)
    assert "DATABASE_URL" in os.environ
    assert "PATH" in str(told.value)
    assert "DATABASE_URL" not in str(told.value)
    assert "SECRET" not in str(told.value)


def test_a_look_into_the_future_is_found(folder: Path) -> None:
    path = misbehaving(folder, "panel = np.roll(panel, -1, axis=2)")
    path.write_text("import numpy as np\n" + path.read_text(encoding="utf-8"), encoding="utf-8")
    broken = {promise for promise, is_kept, _ in check(path)["findings"] if not is_kept}

    assert "the future cannot change the past" in broken
