"""The backtest's world of several markets: a world each, one purse, one journal."""

from typing import Any, NamedTuple

from trading.bars import Floats, Times
from trading.compilation import compiled
from trading.strategy import Record


class PanelTape(NamedTuple):
    """What the walk reads and writes; one array each, allocated before it starts."""

    # Per base bar: open time, and the strategy bar that closes where it opens (-1: none).
    times: Times
    closes: Times
    # Open, high, low, close in ticks, volume in lots: `[field][symbol][bar]`; zero where a candle is missing.
    # With frictions or details `ticks` has further rows, and columns beyond the bars: see `trading.kernels.roughness`.
    ticks: Times
    volume_lots: Times
    panel: Floats
    book: Record
    decisions: Record
    sized: Record
    numbers: Record
    journal: Record
    # Per strategy bar: equity, and per market the position.
    equity: Floats
    position: Floats
    reasons: Times
    denials: Times


@compiled
def lend(worlds: Record, symbol: int) -> None:
    """Hand the purse and the journal's pen from the first market to another."""
    if symbol > 0:
        _hand_over(worlds[0], worlds[symbol])


@compiled
def give_back(worlds: Record, symbol: int) -> None:
    """Take purse and pen back to the first market, where they are kept."""
    if symbol > 0:
        _hand_over(worlds[symbol], worlds[0])


@compiled
def _hand_over(giver: Any, taker: Any) -> None:
    taker.cash = giver.cash
    taker.cash_locked = giver.cash_locked
    taker.fill_count = giver.fill_count
    taker.next_id = giver.next_id
    taker.volume_today = giver.volume_today


@compiled
def sort_fills(journal: Record, begin: int, end: int) -> None:
    """Put the fills of one bar in the order of their times; of equals the first market's stay first."""
    for k in range(begin + 1, end):
        at = k
        while at > begin and journal[at].time < journal[at - 1].time:
            _swap(journal[at - 1], journal[at])
            at -= 1


@compiled
def _swap(a: Any, b: Any) -> None:
    a.time, b.time = b.time, a.time
    a.symbol, b.symbol = b.symbol, a.symbol
    a.order_id, b.order_id = b.order_id, a.order_id
    a.slot, b.slot = b.slot, a.slot
    a.side, b.side = b.side, a.side
    a.kind, b.kind = b.kind, a.kind
    a.reason, b.reason = b.reason, a.reason
    a.lots, b.lots = b.lots, a.lots
    a.ticks, b.ticks = b.ticks, a.ticks
    a.fee, b.fee = b.fee, a.fee
    a.cash_after, b.cash_after = b.cash_after, a.cash_after
    a.base_after, b.base_after = b.base_after, a.base_after
    a.stop_ticks, b.stop_ticks = b.stop_ticks, a.stop_ticks
