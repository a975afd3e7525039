"""A thousand hostile files, one after the other: each ends in words or in valid answers, and nothing of ours is touched (T63)."""

from __future__ import annotations

import hashlib
import random
from pathlib import Path

import pytest

from plugins.source import FolderSource
from plugins.template import STRATEGY
from strategies import checks, registry
from strategies.sources import BrokenStrategy
from tests.plugins.own import FIRST_LINE, candles, children, quick

pytestmark = [pytest.mark.nightly, pytest.mark.timeout(3600), pytest.mark.fault("P09")]

FILES = 1000
HERE = Path(__file__).parent
# What a hostile or a careless hand writes; {n} and others are drawn. Those that take all of their time are few.
LINES = (HERE / "hostile_lines.txt").read_text(encoding="utf-8").splitlines()
ENDLESS = (HERE / "endless_lines.txt").read_text(encoding="utf-8").splitlines()
# Where it stands: in one of the functions, or at the top of the file.
PLACES = (FIRST_LINE, FIRST_LINE, '    """Begin with a state of zeroes."""\n', '    """Count the bars after', "    has_no_stop =")
TOP = "PERIOD_MOST = 200\n"


def hostile(draw: random.Random, folder: Path, mark: Path) -> str:
    """Write the template with something hostile somewhere in it, at once or after some bars."""
    line = draw.choice(ENDLESS) if draw.random() < 0.02 else draw.choice(LINES)
    line = line.format(n=draw.choice([0, 1, 7, 64, 65, 1000, 4096, 65_537, 2**31, 2**40]), mark=mark, folder=folder)
    text, place = STRATEGY.format(name="hostile", title="Hostile"), draw.choice([*PLACES, TOP])
    assert place in text
    if place == TOP:
        return text.replace(place, f"{line}\n{place}", 1)
    waits = place == FIRST_LINE and not line.startswith("while") and draw.random() < 0.5
    condition = "if panel[3, 0, i] > 3000.0: " if waits else ""
    return text.replace(place, f"    {condition}{line}\n{place}", 1)


def digest(name: str) -> str:
    """Identify what a shipped strategy says of a market."""
    walked = checks.walk(registry.definition(name), registry.make_params(name), candles(300))
    return hashlib.sha256(b"".join(walked.said)).hexdigest()


def test_nothing_of_ours_is_touched(tmp_path: Path) -> None:
    folder, mark = tmp_path / "strategies", tmp_path / "mark"
    folder.mkdir(mode=0o700)
    mark.write_text("ours")
    draw, before, source = random.Random(63), digest("mean_reversion"), quick(folder)
    broken = [text for number in range(FILES) if (text := tried(source, folder, mark, draw, number))]
    source.close()

    print(f"\n{FILES} files: {len(broken)} ended in words, {FILES - len(broken)} in valid answers")
    assert len(broken) > FILES // 3
    assert all("hostile" in text for text in broken)
    assert (mark.read_text(), sorted(path.name for path in tmp_path.iterdir())) == ("ours", ["mark", "strategies"])
    assert children() == []
    assert digest("mean_reversion") == before


def tried(source: FolderSource, folder: Path, mark: Path, draw: random.Random, number: int) -> str:
    """Walk one hostile file over a market as every shell does; answer the words it ended in, empty where it went through."""
    path = folder / "hostile.py"
    path.write_text(f"# {number}\n{hostile(draw, folder, mark)}", encoding="utf-8")
    path.chmod(0o600)
    try:
        definition = source.definition("hostile")
        assert definition is not None
        checks.walk(definition, registry.record_of(definition, {}), candles(40))
        definition.warmup_bars(registry.record_of(definition, {}))
    except BrokenStrategy as error:
        return str(error)
    return ""
