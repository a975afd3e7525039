"""The child that runs a user's strategy: `python -m backtests.contained DIRECTORY`.

Reads `request.json` and `arrays.npz` from the directory and writes `answer.json`. It sets its own limits before
it looks at the user's file. It knows no database and no settings.
"""

from __future__ import annotations

import faulthandler
import importlib.util
import json
import math
import resource
import sys
import time
import traceback
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np

from backtests import runs
from backtests.spec import BacktestSpec
from strategies import checks, registry
from trading.bars import Candles
from trading.frictions import read_frictions
from trading.instruments import Instrument
from trading.strategy import StrategyDefinition

FILE_BYTES_MAX = 64 * 2**20


class NoDefinition(ValueError):
    """The file has no DEFINITION."""


def main(place: Path) -> None:
    """Do what is asked, and write down the answer or the error."""
    request = json.loads((place / "request.json").read_text(encoding="utf-8"))
    limits, path = request["limits"], Path(request["path"])
    # What our own modules took to load is not the strategy's: else the process would be gone before it could name a line.
    seconds = math.ceil(time.process_time()) + limits["seconds"]
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))
    resource.setrlimit(resource.RLIMIT_FSIZE, (FILE_BYTES_MAX, FILE_BYTES_MAX))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    memory = limits["megabytes"] * 2**20
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    # An endless loop ends with the line it stood at.
    faulthandler.dump_traceback_later(max(limits["seconds"] - 1, 1), exit=True, file=sys.stdout)
    try:
        answer = _ACTIONS[request["action"]](load(path), request, np.load(place / "arrays.npz"))
    except MemoryError:
        answer = {"error": f"{_where(path)}: it used more than {limits['megabytes']} MB"}
    except Exception as error:  # noqa: BLE001
        # The outermost loop of this child: whatever the user's code raises is told with its line.
        answer = {"error": f"{_where(path)}: {type(error).__name__}: {error}"}
    (place / "answer.json").write_text(json.dumps(answer, default=str), encoding="utf-8")


def load(path: Path) -> StrategyDefinition:
    """Run the user's file and answer its DEFINITION."""
    spec = importlib.util.spec_from_file_location(f"user_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    found = getattr(module, "DEFINITION", None)
    if not isinstance(found, StrategyDefinition):
        raise NoDefinition("the file must end with DEFINITION = StrategyDefinition(...)")
    return found


def _check(definition: StrategyDefinition, request: dict[str, Any], arrays: Any) -> dict[str, Any]:
    params = registry.record_of(definition, request["params"], request["interval"])
    findings = checks.check_strategy(definition, params, np.ascontiguousarray(arrays["panel"]))
    return {"findings": [[finding.promise, finding.is_kept, finding.detail] for finding in findings]}


def _backtest(definition: StrategyDefinition, request: dict[str, Any], arrays: Any) -> dict[str, Any]:
    asked = request["spec"]
    values = registry.values_of(definition, asked["params"], asked["interval"])
    spec = _spec({**asked, "params": values})
    instruments = [_instrument(row) for row in request["instruments"]]
    length = request["base_interval_ms"]
    candles = [Candles(length, arrays[f"times{k}"], arrays[f"values{k}"]) for k in range(len(instruments))]
    finer = request["detail_interval_ms"]
    details = (
        [Candles(finer, arrays[f"detail_times{k}"], arrays[f"detail_values{k}"]) for k in range(len(candles))] if finer else []
    )
    params = registry.record_of(definition, values, spec.interval)
    outcome = runs.run_definition(definition, params, spec, candles=candles, instruments=instruments, details=details)
    return {
        "params": values,
        "metrics": outcome.metrics,
        "reasons": outcome.result.reasons,
        "fills": [_fill(fill) for fill in outcome.result.fills],
    }


def _spec(asked: dict[str, Any]) -> BacktestSpec:
    told = dict(asked)
    for name in ("begin_at", "end_at", "anchor_at", "trade_from_at"):
        told[name] = datetime.fromisoformat(told[name]) if told[name] else None
    for name in ("allocation", "taker_fee", "maker_fee", "half_spread", "slippage", "participation"):
        told[name] = Decimal(told[name])
    told["frictions"] = read_frictions(told["frictions"])
    return BacktestSpec(**{**told, "others": tuple(told["others"])})


def _instrument(row: dict[str, str]) -> Instrument:
    names = ("symbol", "base", "quote")
    return Instrument(**{key: value if key in names else Decimal(value) for key, value in row.items()})  # type: ignore[arg-type]


def _fill(fill: Any) -> dict[str, Any]:
    amounts = {name: format(getattr(fill, name).normalize(), "f") for name in ("quantity", "price", "fee")}
    told = {name: getattr(fill, name) for name in ("time", "side", "fee_asset", "symbol", "kind", "reason")}
    return {**told, **amounts, "stop_price": None if fill.stop_price is None else format(fill.stop_price.normalize(), "f")}


def _where(path: Path) -> str:
    """Name the line of the user's file at which the error happened."""
    _, error, trace = sys.exc_info()
    if isinstance(error, SyntaxError) and error.filename == str(path):
        return f"{path.name}:{error.lineno}"
    lines = [frame.lineno for frame in traceback.extract_tb(trace) if frame.filename == str(path)]
    return f"{path.name}:{lines[-1]}" if lines else path.name


_ACTIONS = {"check": _check, "backtest": _backtest}


if __name__ == "__main__":
    main(Path(sys.argv[1]))
