"""What can be read about sweeps: how far they are, what they found, and how their heat-maps look."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa

from backtests.models import Sweep, SweepChunk
from backtests.selectors.markets import load_candles
from backtests.sweep_runs import FIGURES, from_parquet
from backtests.sweep_spec import SweepSpec
from trading.bars import Candles, Floats
from trading.frictions import read_frictions

STALLED_AFTER = timedelta(minutes=1)
UNDER_WAY = (Sweep.State.QUEUED, Sweep.State.RUNNING)


class NoSuchSweep(LookupError):
    """No sweep has this number."""


class NoSuchAxis(ValueError):
    """A heat-map is asked for that this sweep cannot draw."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a sweep is."""

    trials_done: int
    trials: int
    # None until the first chunk is done.
    trials_per_second: float | None
    seconds_left: float | None


@dataclass(frozen=True, slots=True, eq=False)
class HeatMap:
    """One figure over two parameters; None where there is none."""

    x: str
    y: str
    figure: str
    x_values: list[Any]
    y_values: list[Any]
    # The median over all other parameters, and the median of that over a cell and its neighbours.
    cells: list[list[float | None]]
    plateau: list[list[float | None]]
    best: tuple[int, int] | None


def sweep(sweep_id: int) -> Sweep:
    """Find a sweep."""
    found = Sweep.objects.filter(id=sweep_id).first()
    if found is None:
        raise NoSuchSweep(f"There is no sweep {sweep_id}")
    return found


def newest_sweeps(*, limit: int) -> list[Sweep]:
    """List sweeps, newest first."""
    return list(Sweep.objects.order_by("-id")[:limit])


def stalled_sweeps(*, now: datetime) -> list[int]:
    """List the sweeps under way in which no chunk was claimed or finished lately."""
    lately = now - STALLED_AFTER
    busy = SweepChunk.objects.filter(claimed_at__gte=lately) | SweepChunk.objects.filter(finished_at__gte=lately)
    waiting = Sweep.objects.filter(state__in=UNDER_WAY, requested_at__lt=lately).exclude(id__in=busy.values("sweep_id"))
    return list(waiting.order_by("id").values_list("id", flat=True))


def spec_of(found: Sweep) -> SweepSpec:
    """Read back what a sweep was asked to try."""
    return SweepSpec(
        strategy=found.strategy,
        grid={name: tuple(found.grid[name]) for name in sorted(found.grid)},
        fixed=found.fixed,
        sample=found.sample,
        seed=found.seed,
        symbol=found.symbol,
        interval=found.interval,
        folder=found.folder,
        begin_at=found.begin_at,
        end_at=found.end_at,
        allocation=found.allocation,
        fee=found.fee,
        half_spread=found.half_spread,
        slippage=found.slippage,
        participation=found.participation,
        frictions=read_frictions(found.frictions),
    )


def candles(spec: SweepSpec) -> Candles:
    """Load the candles of a sweep."""
    return load_candles(
        folder=spec.folder, symbol=spec.symbol, interval=spec.interval, begin_at=spec.begin_at, end_at=spec.end_at
    )


def progress(found: Sweep, *, now: datetime) -> Progress:
    """Say how far a sweep is, how fast it goes and how long it will take."""
    done = sum(end - begin for begin, end in found.chunks.filter(state=SweepChunk.State.DONE).values_list("begin", "end"))
    if not done or found.started_at is None:
        return Progress(done, found.trials, None, None)
    seconds = ((found.finished_at or now) - found.started_at).total_seconds()
    rate = done / seconds if seconds > 0 else None
    left = (found.trials - done) / rate if rate and found.state in UNDER_WAY else None
    return Progress(done, found.trials, rate, left)


def results(found: Sweep) -> pa.Table | None:
    """Read everything a sweep has found so far; None before the first chunk is done."""
    parts = found.chunks.filter(state=SweepChunk.State.DONE).order_by("number").values_list("results", flat=True)
    tables = [bytes(part) for part in parts if part is not None]
    return from_parquet(tables) if tables else None


def best(table: pa.Table, *, figure: str, limit: int) -> list[dict[str, Any]]:
    """List the rows with the highest figure; unknown figures are left out, as JSON has no NaN."""
    _refuse_unknown(figure, FIGURES)
    values = table.column(figure).to_numpy(zero_copy_only=False)
    order = np.argsort(-np.nan_to_num(values, nan=-np.inf), kind="stable")[:limit]
    known = [place for place in order if np.isfinite(values[place])]
    return [_readable(row) for row in table.take(pa.array(known, type=pa.int64())).to_pylist()]


def heat_map(table: pa.Table, *, grid: dict[str, list[Any]], x: str, y: str, figure: str) -> HeatMap:
    """Lay one figure over two parameters of the grid."""
    _refuse_unknown(figure, FIGURES)
    for axis in (x, y):
        _refuse_unknown(axis, tuple(grid))
    if x == y and len(grid) > 1:
        raise NoSuchAxis("A heat-map needs two different parameters")
    cells = _medians(table, grid, x, y, figure)
    plateau = _plateau(cells)
    best_cell = None
    if np.isfinite(plateau).any():
        row, column = np.unravel_index(int(np.nanargmax(plateau)), plateau.shape)
        best_cell = (int(row), int(column))
    return HeatMap(x, y, figure, list(grid[x]), list(grid[y]), _nullable(cells), _nullable(plateau), best_cell)


def _medians(table: pa.Table, grid: dict[str, list[Any]], x: str, y: str, figure: str) -> Floats:
    places = {axis: {value: place for place, value in enumerate(grid[axis])} for axis in (x, y)}
    columns = np.array([places[x][value] for value in table.column(x).to_pylist()], dtype=np.int64)
    rows = np.array([places[y][value] for value in table.column(y).to_pylist()], dtype=np.int64)
    values = table.column(figure).to_numpy(zero_copy_only=False)
    cells = np.full((len(grid[y]), len(grid[x])), np.nan)
    known = np.isfinite(values)
    cell = (rows * len(grid[x]) + columns)[known]
    if len(np.unique(cell)) == len(cell):
        # No other parameter varies: each cell is one trial.
        cells.flat[cell] = values[known]
        return cells
    order = np.argsort(cell, kind="stable")
    starts = np.flatnonzero(np.append(True, np.diff(cell[order]) > 0)) if len(order) else np.empty(0, dtype=np.int64)
    for start, group in zip(starts, np.split(values[known][order], starts[1:]), strict=False):
        cells.flat[cell[order][start]] = np.median(group)
    return cells


def _plateau(cells: Floats) -> Floats:
    """Answer the median of each cell and its neighbours: one lucky cell is no plateau."""
    padded = np.pad(cells, 1, constant_values=np.nan)
    rows, columns = cells.shape
    around = np.stack([padded[r : r + rows, c : c + columns] for r in range(3) for c in range(3)])
    plateau = np.full(cells.shape, np.nan)
    # A cell with few neighbours, at the rim of the grid or beside trials that make no sense, has nothing to lean on.
    leaning = np.isfinite(around).sum(axis=0) >= min(4, cells.size)
    plateau[leaning] = np.nanmedian(around[:, leaning], axis=0)
    plateau[~np.isfinite(cells)] = np.nan
    return plateau


def _refuse_unknown(name: str, known: tuple[str, ...]) -> None:
    if name not in known:
        raise NoSuchAxis(f"There is no {name!r} here. Known: {', '.join(known)}.")


def _nullable(cells: Floats) -> list[list[float | None]]:
    return [[float(value) if np.isfinite(value) else None for value in row] for row in cells]


def _readable(row: dict[str, Any]) -> dict[str, Any]:
    return {key: None if isinstance(value, float) and not np.isfinite(value) else value for key, value in row.items()}
