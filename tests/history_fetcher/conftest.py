from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from history_fetcher.fetch import parser, request_of
from history_fetcher.progress import Progress
from history_fetcher.run import Outcome, Run
from history_fetcher.wire import Wire
from tests.history_fetcher.mirror import Mirror, serving

# 2025-06-15 12:00 UTC.
NOW = 1_749_988_800_000

Fetch = Callable[..., Outcome]


@pytest.fixture
def mirror() -> Iterator[Mirror]:
    with serving(Mirror()) as found:
        yield found


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "history"


@pytest.fixture
def fetch(mirror: Mirror, root: Path, monkeypatch: pytest.MonkeyPatch) -> Fetch:
    """Return a way to run the fetcher against the mirror as its command line would."""
    # Patience is for real servers.
    monkeypatch.setattr("history_fetcher.wire.WAIT_SECONDS", 0.01)

    def run(*words: str, drip_seconds: float = 20.0) -> Outcome:
        flags = ["--base-url", mirror.url, "--root", str(root), *words]
        if "--symbol" not in words:
            flags += ["--symbol", "BTCUSDT"]
        if "--interval" not in words and "--kind" not in words:
            flags += ["--interval", "1h"]
        request = request_of(vars(parser().parse_args(flags)), now=NOW)
        wire = Wire(threading.Event(), timeout_seconds=5.0, drip_seconds=drip_seconds)
        return Run(request, wire=wire, progress=Progress(), now=NOW).run()

    return run


def stored(root: Path, symbol: str = "BTCUSDT", stream: str = "1h") -> dict[str, Any]:
    """Read everything of a series back, as any program would."""
    folder = root / "parquet" / "exchange=binance" / f"symbol={symbol}" / f"interval={stream}"
    tables = [pq.ParquetFile(path).read() for path in sorted(folder.rglob("*.parquet"))]
    return {name: np.concatenate([table[name].to_numpy() for table in tables]) for name in tables[0].column_names}
