"""`manage.py history`: the same work from the command line, with the same exit codes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from marketdata.history.universe import universe
from tests.history_fetcher.mirror import Mirror, serving
from tests.history_fetcher.rows import HOUR, row, rows_of
from tests.marketdata.test_history_files import BEGIN

DAY = 24 * HOUR


@pytest.fixture
def mirror() -> Iterator[Mirror]:
    with serving(Mirror()) as found:
        yield found


@pytest.fixture
def root(tmp_path: Path, settings: Any) -> Path:
    settings.HISTORY_ROOT = tmp_path / "history"
    return tmp_path / "history"


def told(*words: str) -> Any:
    """Run the command and read its JSON."""
    out = StringIO()
    call_command("history", *words, "--json", stdout=out)
    return json.loads(out.getvalue())


def test_fetch_coverage_verify_export_and_import_hang_together(mirror: Mirror, root: Path, tmp_path: Path) -> None:
    mirror.put_rows("BTCUSDT/1h", "2024-12", rows_of("2024-12", without=frozenset({7})))
    words = ["--symbol", "BTC/USDT", "--interval", "1h", "--from", "2024-12", "--to", "2024-12", "--base-url", mirror.url]

    fetched = told("fetch", *words)
    covered = told("coverage")
    verified = told("verify")
    exported = told("export", "--symbol", "BTC/USDT", "--interval", "1h", "--to", str(tmp_path / "out"))
    imported = told("import", exported["file"], "--root", str(tmp_path / "second"))

    assert (fetched["downloaded"], fetched["rows"]) == (1, 743)
    assert [(one["symbol"], one["rows"], one["missing"]) for one in covered] == [("BTCUSDT", 743, 1)]
    assert verified == {"problems": [], "series": 1}
    assert exported["file"].endswith("BTC_USDT-1h.feather")
    assert imported[0]["rows"] == 743


def test_trouble_is_a_message_and_an_exit_code(mirror: Mirror, root: Path) -> None:
    with pytest.raises(CommandError, match="Unknown interval") as caught:
        told("fetch", "--symbol", "BTCUSDT", "--interval", "7m", "--base-url", mirror.url)
    assert caught.value.returncode == 2

    with pytest.raises(CommandError, match="cannot be read"):
        told("import", str(root / "BTCUSDT-1h.csv"))


def test_damage_ends_verify_with_one(mirror: Mirror, root: Path) -> None:
    mirror.put_rows("BTCUSDT/1h", "2024-12", rows_of("2024-12"))
    told("fetch", "--symbol", "BTCUSDT", "--interval", "1h", "--from", "2024-12", "--to", "2024-12", "--base-url", mirror.url)
    next(root.rglob("*.parquet")).unlink()

    with pytest.raises(SystemExit) as caught:
        told("verify")
    assert caught.value.code == 1


def test_the_universe_of_a_moment_knows_nothing_later(mirror: Mirror, root: Path) -> None:
    def days(volumes: list[float]) -> list[str]:
        return [row(BEGIN + place * DAY, length=DAY, volume=volume) for place, volume in enumerate(volumes)]

    mirror.put_rows("AAAUSDT/1d", "2024-03", days([9.0] * 10 + [1.0] * 21))
    mirror.put_rows("BBBUSDT/1d", "2024-03", days([5.0] * 31))
    mirror.put_rows("NEWUSDT/1d", "2024-03", days([99.0] * 31)[20:])
    names = ["AAAUSDT", "BBBUSDT", "NEWUSDT"]
    told("fetch", "--symbol", *names, "--interval", "1d", "--from", "2024-03", "--to", "2024-03", "--base-url", mirror.url)

    def largest(day: int) -> list[str]:
        return [one.symbol for one in universe(root, at_ms=BEGIN + day * DAY, days=5, size=2)]

    assert largest(10) == ["AAAUSDT", "BBBUSDT"]
    # Day 20 closed when day 21 began: until then nobody had heard of the new coin.
    assert largest(20) == ["BBBUSDT", "AAAUSDT"]
    # One day of five is no five days.
    assert largest(21) == ["BBBUSDT", "AAAUSDT"]
    assert largest(25) == ["NEWUSDT", "BBBUSDT"]
    assert universe(root, at_ms=BEGIN, days=5, size=2) == []
