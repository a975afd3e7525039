"""What a coordinator does to markets whose decisions wait for it: turn them away, carry out one, call off orders, sell out.

The worlds are those of one bot: one, or as many as it trades, of which the first keeps the clock and the purse.
"""

from typing import Any

from trading.compilation import compiled
from trading.kernels.matching import execute
from trading.kernels.panel_world import PanelTape, give_back, lend
from trading.kernels.roughness import MEAN, SIGMA, meet_day
from trading.kernels.world import Tape, remove_order
from trading.sizing import size_decisions
from trading.strategy import BUY, OPEN, DecisionKind, Reason, Record


@compiled
def turn_away(clock: Any, tape: Any, count: int) -> bool:
    """Refuse all that a bot decides out of its turn if it is nothing but entries; answer whether it was.

    Nothing of it is sized, for the turn comes before the size, and nothing changes that another bot could see.
    """
    if not clock.away_from <= tape.times[clock.cursor] < clock.away_until:
        return False
    for k in range(count):
        if tape.decisions[k].kind != DecisionKind.HOLD and not is_entry(tape.decisions[k]):
            return False
    for k in range(count):
        tape.reasons[tape.decisions[k].reason] += 1
        clock.turned_away += tape.decisions[k].kind != DecisionKind.HOLD
    return True


@compiled
def is_entry(decision: Any) -> bool:
    """Say whether a decision may put more capital at risk."""
    return bool(decision.kind == DecisionKind.ENTER or (decision.kind == DecisionKind.PLACE and decision.side == BUY))


@compiled
def size_asked(worlds: Record, tape: Any) -> int:
    """Size the decisions that wait, by the book as the strategy saw it; answer how many there are."""
    w = worlds[0]
    # Sizing reserves in the book, so that it has to be told anew even if nothing comes of it.
    w.is_told = 0
    return size_decisions(tape.decisions, w.asked, tape.book, tape.numbers, tape.sized)


@compiled
def carry_out(worlds: Record, tape: Any, k: int) -> int:
    """Carry out one sized decision at the price of now; answer why not, or NONE."""
    order, clock = tape.sized[k], worlds[0]
    clock.is_told = 0
    w = worlds[order.symbol]
    if len(worlds) > 1 and clock.opened == 1 and w.bar_time != tape.times[clock.cursor]:
        # A market whose candle is missing has no price to trade at.
        return int(Reason.DATA_GAP.value)
    lend(worlds, order.symbol)
    deny = execute(w, tape.journal, order)
    give_back(worlds, order.symbol)
    return int(deny)


@compiled
def come_to_open(world: Record, tape: Tape) -> None:
    """Have the price of now be the open of the next base bar, without walking into it."""
    w = world[0]
    if w.opened == 0 and w.cursor < len(tape.times):
        b = w.cursor
        _come_to(w, tape.times[b], tape.ticks[OPEN, b], tape.volume_lots[b])


@compiled
def come_to_opens(worlds: Record, tape: PanelTape) -> None:
    """Do so on several markets; one that has no candle there keeps its last price."""
    b = worlds[0].cursor
    if worlds[0].opened == 1 or b == len(tape.times):
        return
    for symbol in range(len(worlds)):
        w = worlds[symbol]
        opened = tape.ticks[OPEN, symbol, b]
        if w.reads_moves == 1 and opened > 0:
            w.sigma_ppm, w.mean_lots = tape.ticks[SIGMA, symbol, b], tape.ticks[MEAN, symbol, b]
        _come_to(w, tape.times[b], opened if opened > 0 else w.tick_now, tape.volume_lots[symbol, b])


@compiled
def _come_to(w: Any, at: int, tick: int, volume_lots: int) -> None:
    is_there = w.is_rough == 1 and w.bar_time == at
    w.bar_time = at
    w.time_now = at
    w.tick_now = tick
    w.depth_lots = (volume_lots * w.participation_ppm) // 1_000_000
    if not is_there:
        w.budget_lots = w.depth_lots


@compiled
def share_volume(worlds: Record, traded: int, at: int) -> None:
    """Have a bot's fees from this day on follow what its whole account has traded until now."""
    worlds[0].volume_today = traded
    meet_day(worlds[0], at)
    for symbol in range(1, len(worlds)):
        worlds[symbol].taker_ppm = worlds[0].taker_ppm
        worlds[symbol].maker_ppm = worlds[0].maker_ppm


@compiled
def call_off(worlds: Record, entries_only: int) -> None:
    """Take orders off the markets: those that buy, or all."""
    worlds[0].is_told = 0
    for symbol in range(len(worlds)):
        w = worlds[symbol]
        lend(worlds, symbol)
        for k in range(w.order_count - 1, -1, -1):
            if entries_only == 0 or w.orders[k].side == BUY:
                remove_order(w, k)
        if entries_only == 0 or w.rest_side == BUY:
            w.rest_lots = 0
        give_back(worlds, symbol)
