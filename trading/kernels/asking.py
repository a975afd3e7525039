"""What a coordinator does to a market whose decisions wait for it: carry out one, call off orders, sell out."""

from trading.compilation import compiled
from trading.kernels.matching import execute
from trading.kernels.world import Tape, remove_order
from trading.sizing import size_decisions
from trading.strategy import BUY, Record


@compiled
def size_asked(world: Record, tape: Tape) -> int:
    """Size the decisions that wait, by the book as the strategy saw it; answer how many there are."""
    w = world[0]
    # Sizing reserves in the book, so that it has to be told anew even if nothing comes of it.
    w.is_told = 0
    return size_decisions(tape.decisions, w.asked, tape.book, tape.numbers, tape.sized)


@compiled
def carry_out(world: Record, tape: Tape, k: int) -> int:
    """Carry out one sized decision at the price of now; answer why not, or NONE."""
    w = world[0]
    w.is_told = 0
    return execute(w, tape.journal, tape.sized[k])


@compiled
def come_to_open(world: Record, tape: Tape) -> None:
    """Have the price of now be the open of the next base bar, without walking into it."""
    w = world[0]
    if w.opened == 0 and w.cursor < len(tape.times):
        b = w.cursor
        w.bar_time = tape.times[b]
        w.time_now = w.bar_time
        w.tick_now = tape.ticks[0, b]
        w.depth_lots = (tape.volume_lots[b] * w.participation_ppm) // 1_000_000
        w.budget_lots = w.depth_lots


@compiled
def call_off(world: Record, entries_only: int) -> None:
    """Take orders off the market: those that buy, or all."""
    w = world[0]
    w.is_told = 0
    for k in range(w.order_count - 1, -1, -1):
        if entries_only == 0 or w.orders[k].side == BUY:
            remove_order(w, k)
