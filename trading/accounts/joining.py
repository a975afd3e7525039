"""Have the bots of a plan join one account: each warmed up in its markets, the worlds of all side by side."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any, Final, NamedTuple

import numpy as np

from trading.accounts.member import Member
from trading.accounts.plan import AccountBot, AccountPlan, PlanImpossible
from trading.accounts.samples import closes_at
from trading.accounts.walks import Bytes, Walk, cells_of
from trading.bars import Candles, Floats, Times
from trading.kernels.backtest import Costs, Simulation, prepare_backtest
from trading.kernels.panel_backtest import PanelSimulation, prepare_panel_backtest
from trading.kernels.settling import BOOK_DTYPE, TERMS_DTYPE, Table
from trading.kernels.world import WORLD_DTYPE
from trading.strategy import CLOSE, Record

# More than any field of a record asks for.
_ALIGNMENT: Final = 64


class Joined(NamedTuple):
    """The bots of one account, what compiled code reads of all of them, and the memory of all that a walk changes."""

    members: list[Member]
    table: Table
    content: Bytes


def join(plan: AccountPlan, *, begin: int, end: int, times: Times) -> Joined:
    """Warm all bots up to their first bar after the beginning, with no money yet; `times` are the account's base bars."""
    simulations = [_prepare(bot, begin=begin, end=end, costs=plan.costs) for bot in plan.bots]
    own = [worlds_of(simulation) for simulation in simulations]
    # Joined by hand: arrays that are concatenated forget that they are records.
    worlds = np.zeros(sum(map(len, own)), dtype=WORLD_DTYPE)
    shown = np.zeros_like(worlds)
    ends = np.cumsum([len(mine) for mine in own])
    for mine, last in zip(own, ends, strict=True):
        worlds[last - len(mine) : last] = mine
    changing = [_changing(simulation) for simulation in simulations]
    content, (worlds, *moved) = _side_by_side([worlds, *(one for row in changing for one in row.values())])
    places = iter(moved)
    members = []
    for number, (bot, simulation, row, last) in enumerate(zip(plan.bots, simulations, changing, ends, strict=True), start=1):
        markets = slice(last - len(worlds_of(simulation)), last)
        walk = _walk(simulation, worlds[markets], shown[markets], {name: next(places) for name in row})
        members.append(Member(number, bot, walk))
    return Joined(members, _table(members, worlds, shown, times), content)


def worlds_of(simulation: Simulation | PanelSimulation) -> Record:
    """Return the worlds of a bot's markets."""
    return simulation.worlds if isinstance(simulation, PanelSimulation) else simulation.world


def _prepare(bot: AccountBot, *, begin: int, end: int, costs: Costs) -> Simulation | PanelSimulation:
    common: dict[str, Any] = {
        "definition": bot.definition,
        "params": bot.params,
        "interval_ms": bot.interval_ms,
        "costs": costs,
        "allocation": Decimal(1),
        "anchor": bot.anchor,
        "start": begin,
    }
    candles = [_until(one, end) for one in bot.candles]
    simulation: Simulation | PanelSimulation
    is_lean = len(candles) == 1 and (bot.definition.run is not None or bot.definition.run_panel is None)
    if is_lean and costs.frictions.is_none:
        simulation = prepare_backtest(candles=candles[0], instrument=bot.instruments[0], **common)
    else:
        simulation = prepare_panel_backtest(candles=candles, instruments=bot.instruments, **common)
    worlds = worlds_of(simulation)
    needed = bot.definition.warmup_bars(bot.params)
    if worlds[0].first_bar < needed:
        there = int(worlds[0].first_bar)
        raise PlanImpossible(f"{bot.key} needs {needed} candles before the beginning to warm up, not {there}")
    worlds["allocation"] = worlds["cash"] = worlds["capital"] = 0
    worlds["asks"] = 1
    return simulation


def _until(candles: Candles, end: int) -> Candles:
    last = int(np.searchsorted(candles.times, end))
    return Candles(candles.interval_ms, candles.times[:last], candles.values[:, :last].copy())


def _changing(simulation: Simulation | PanelSimulation) -> dict[str, Record]:
    """Return what a walk changes beside its worlds. The book is not among it: who goes back is told it anew."""
    tape = simulation.tape
    found: dict[str, Record] = {"state": simulation.state, "reasons": tape.reasons, "denials": tape.denials}
    if worlds_of(simulation)[0]["latency_ms"] > 0:
        # What is on its way is changed by the decisions that come after it.
        found["sized"] = tape.sized
    return found


def _side_by_side(arrays: Sequence[Record]) -> tuple[Bytes, list[Record]]:
    """Copy arrays into one stretch of memory, so that all are kept and brought back at once; return it, and them in it."""
    begins = np.cumsum([0, *(-(-one.nbytes // _ALIGNMENT) * _ALIGNMENT for one in arrays)])
    content = np.zeros(begins[-1], dtype=np.uint8)
    moved = []
    for one, begin in zip(arrays, begins, strict=False):
        place: Record = np.ndarray(one.shape, dtype=one.dtype, buffer=content.data, offset=int(begin))
        place[:] = one
        moved.append(place)
    return content, moved


def _walk(simulation: Simulation | PanelSimulation, worlds: Record, shown: Record, changing: dict[str, Record]) -> Walk:
    if isinstance(simulation, PanelSimulation):
        simulation.worlds = worlds
    else:
        simulation.world = worlds
    simulation.state = changing["state"]
    on_tape = {name: one for name, one in changing.items() if name != "state"}
    if isinstance(simulation, PanelSimulation):
        simulation.tape = simulation.tape._replace(**on_tape)
    else:
        simulation.tape = simulation.tape._replace(**on_tape)
    return Walk(
        simulation=simulation,
        worlds=worlds,
        shown=shown,
        closes=_last_closes(simulation),
        content=tuple(one.view(np.uint8) for one in (worlds, *changing.values())),
        shown_content=shown.view(np.uint8),
        now=cells_of(worlds),
        back=cells_of(shown),
    )


def _last_closes(simulation: Simulation | PanelSimulation) -> Times:
    """Return, per market and base bar, the newest close in ticks; zero before the first."""
    closes: Times = np.atleast_2d(simulation.tape.ticks[CLOSE])[:, : len(simulation.tape.times)]
    last = np.maximum.accumulate(np.where(closes > 0, np.arange(closes.shape[1]), 0), axis=1)
    return np.take_along_axis(closes, last, axis=1)


def _table(members: Sequence[Member], worlds: Record, shown: Record, times: Times) -> Table:
    symbols = [instrument.symbol for member in members for instrument in member.instruments]
    numbers = {symbol: number for number, symbol in enumerate(dict.fromkeys(symbols))}
    newest = {symbol: world for world, symbol in enumerate(symbols)}
    closes: list[Floats] = [close for member in members for close in closes_at(member, times)]
    books = np.zeros(len(members), dtype=BOOK_DTYPE)
    books["count"] = [len(member.instruments) for member in members]
    books["first"] = np.cumsum(books["count"]) - books["count"]
    return Table(
        worlds=worlds,
        shown=shown,
        is_shown=np.zeros(len(worlds), dtype=np.int64),
        owners=np.repeat(np.arange(len(members)), books["count"]),
        markets=np.array([numbers[symbol] for symbol in symbols], dtype=np.int64),
        # As the rules do: one price for each market, that of the last bot that trades it.
        marked_by=np.array([newest[symbol] for symbol in symbols], dtype=np.int64),
        closes=np.array(closes),
        books=books,
        terms=np.zeros(1, dtype=TERMS_DTYPE),
    )
