"""Arbitrage: one coin on two exchanges, stocked on both; buy where it is cheaper and sell where it is dearer, at once."""

import math
from dataclasses import dataclass
from typing import Annotated, Any, Final

from strategies import answers
from trading.bars import Floats
from trading.compilation import compiled
from trading.kernels import panel_runner
from trading.kernels.panel_world import PanelTape
from trading.strategy import (
    BUY,
    CLOSE,
    OrderKind,
    Plot,
    Range,
    Reason,
    Record,
    StrategyDefinition,
    record_dtype,
)

SIDES: Final = 2
STOCKING: Final = 0
TRADING: Final = 1


@dataclass(frozen=True, slots=True)
class Params:
    """What an operator may set."""

    profit_least: Annotated[float, Range(0.0005, 0.005, 0.0001, "Least profit of a pair after all fees, of its value.")] = 0.001
    buffer: Annotated[float, Range(0.0, 0.005, 0.0001, "What the prices may move before both legs are done.")] = 0.0002
    rebalance_cost: Annotated[float, Range(0.0, 0.005, 0.0001, "Cost of moving coins back, spread over the pairs.")] = 0.0001
    stock: Annotated[float, Range(0.1, 0.9, 0.05, "Part of the money that is held as coins.")] = 0.5
    trade_part: Annotated[float, Range(0.05, 1.0, 0.05, "Largest trade, as a part of the coins of one side.")] = 0.5
    share: Annotated[float, Range(0.01, 1.0, 0.01, "Money of both sides together, of the allocation.")] = 0.10


SIDE: Final = record_dtype([("close", "f8"), ("quote", "f8"), ("spent", "f8"), ("earned", "f8")])

STATE: Final = record_dtype(
    [
        ("phase", "i8"),
        # How many pairs were asked for: the number that both legs of a pair carry.
        ("pair", "i8"),
        ("bars_seen", "i8"),
        # Coins that both sides together should hold, and the edges of both directions.
        ("coins_wanted", "f8"),
        ("edge_first", "f8"),
        ("edge_second", "f8"),
        ("residual", "f8"),
        ("sides", SIDE, (SIDES,)),
    ]
)


@compiled
def start(_params: Record, _state: Record) -> None:
    """Begin without stock."""


@compiled
def step(state: Record, panel: Floats, i: int, book: Record, params: Record, decisions: Record) -> int:
    """Decide at the close of bar i for both sides together."""
    me, money, p = state[0], book[0], params[0]
    _take_in(me, money)
    if panel.shape[1] < SIDES or answers.is_missing(panel, 0, i) or answers.is_missing(panel, 1, i):
        # One price is no comparison.
        said = 0
        for symbol in range(panel.shape[1]):
            said += answers.address(decisions[said:], symbol, answers.nothing(decisions[said:]))
        return said
    me.bars_seen += 1
    first, second = panel[CLOSE, 0, i], panel[CLOSE, 1, i]
    me.sides[0].close = first
    me.sides[1].close = second
    me.edge_first = edge(first, money.fee_rates[0], second, money.fee_rates[1], money.half_spread)
    me.edge_second = edge(second, money.fee_rates[1], first, money.fee_rates[0], money.half_spread)
    if money.equity <= 0.0:
        return _both(me, Reason.SIGNAL_WARMING_UP.value, decisions)
    if me.phase == STOCKING:
        if money.quantity[0] <= 0.0 or money.quantity[1] <= 0.0:
            return _stock(me, money, p, decisions)
        me.phase = TRADING
    return _trade(me, money, p, decisions)


@compiled
def run_panel(worlds: Record, tape: PanelTape, state: Record, params: Record, until: int) -> int:
    """Walk the tape of a backtest and step wherever a bar has closed."""
    while panel_runner.advance(worlds, tape, until):
        count = step(state, tape.panel, worlds[0].bar, tape.book, params, tape.decisions)
        panel_runner.answer(worlds, tape, count)
    return int(worlds[0].status)


@compiled
def edge(buy_price: float, buy_fee: float, sell_price: float, sell_fee: float, half_spread: float) -> float:
    """Answer what is left of one unit of money that buys here and sells there, after fees and spreads."""
    paid = buy_price * (1.0 + half_spread) * (1.0 + buy_fee)
    return sell_price * (1.0 - half_spread) * (1.0 - sell_fee) / paid - 1.0


@compiled
def _take_in(me: Any, money: Any) -> None:
    """Keep a purse per side: money on one exchange buys nothing on the other."""
    for k in range(money.fill_count):
        fill = money.fills[k]
        side = me.sides[fill.symbol]
        amount = fill.quantity * fill.price
        if fill.side == BUY:
            side.quote -= amount
            side.spent += amount
        else:
            side.quote += amount - fill.fee_quote
            side.earned += amount - fill.fee_quote


@compiled
def _stock(me: Any, money: Any, p: Any, decisions: Record) -> int:
    """Give each side half of the money, and buy each its coins; a side whose entry expired is asked for again."""
    _both(me, Reason.SIGNAL_NO_OPINION.value, decisions)
    for symbol in range(SIDES):
        side = me.sides[symbol]
        if side.spent == 0.0:
            side.quote = p.share * money.allocation / SIDES
        if money.quantity[symbol] > 0.0:
            continue
        price = side.close
        reason = Reason.SIGNAL_ENTRY_INVENTORY.value
        terms = (p.share * p.stock / SIDES, 0.0, 0.0)
        room = decisions[symbol:]
        answers.address(room, symbol, answers.enter(room, reason, terms, price, me.edge_first, me.edge_second, 0.0))
    return SIDES


@compiled
def _trade(me: Any, money: Any, p: Any, decisions: Record) -> int:
    held = money.quantity[0] + money.quantity[1]
    if me.coins_wanted == 0.0:
        me.coins_wanted = held
    me.residual = held - me.coins_wanted
    needed = p.profit_least + p.buffer + p.rebalance_cost
    if me.edge_first >= needed or me.edge_second >= needed:
        buy = 0 if me.edge_first >= me.edge_second else 1
        said = _pair(me, money, p, buy, 1 - buy, decisions)
        if said > 0:
            return said
    elif abs(me.residual) * me.sides[0].close > 2.0 * money.min_notional[0] and held > 0.0:
        return _unwind(me, money, decisions)
    return _both(me, Reason.SIGNAL_NO_OPINION.value, decisions)


@compiled
def _pair(me: Any, money: Any, p: Any, buy: int, sell: int, decisions: Record) -> int:
    """Ask for both legs of a pair at once; 0 where one side has run dry."""
    price = me.sides[buy].close
    quantity = min(p.trade_part * me.coins_wanted / SIDES, money.quantity[sell])
    quantity = min(quantity, me.sides[buy].quote / (price * (1.0 + money.half_spread) * 1.01))
    if quantity * price < 2.0 * money.min_notional[buy]:
        return 0
    me.pair += 1
    number = float(me.pair)
    share = (money.quantity[buy] + quantity) * price * (1.0 + money.half_spread) / money.allocation
    reason = Reason.SIGNAL_ENTRY_PAIR.value
    room = decisions[0:]
    answers.address(room, buy, answers.enter(room, reason, (share, 0.0, 0.0), price, me.edge_first, me.edge_second, number))
    room = decisions[1:]
    dear = me.sides[sell].close
    answers.address(room, sell, answers.leave(room, Reason.SIGNAL_EXIT_PAIR, dear, me.edge_first, me.edge_second, number))
    decisions[1].quantity = quantity
    return SIDES


@compiled
def _unwind(me: Any, money: Any, decisions: Record) -> int:
    """Undo what one leg left over: sell it where it is dearer, or buy it where it is cheaper."""
    dearer = 0 if me.sides[0].close >= me.sides[1].close else 1
    number = float(me.pair)
    if me.residual > 0.0:
        symbol = dearer if money.quantity[dearer] >= me.residual else 1 - dearer
        answers.leave(decisions, Reason.SIGNAL_EXIT_RESIDUAL, me.sides[symbol].close, me.edge_first, me.edge_second, number)
        decisions[0].quantity = me.residual
        return answers.address(decisions, symbol, 1)
    symbol = 1 - dearer
    price = me.sides[symbol].close
    share = (money.quantity[symbol] - me.residual) * price * (1.0 + money.half_spread) / money.allocation
    reason = Reason.SIGNAL_ENTRY_RESIDUAL.value
    answers.enter(decisions, reason, (share, 0.0, 0.0), price, me.edge_first, me.edge_second, number)
    return answers.address(decisions, symbol, 1)


@compiled
def _both(me: Any, reason: int, decisions: Record) -> int:
    for symbol in range(SIDES):
        room = decisions[symbol:]
        number = float(me.pair)
        answers.hold(room, reason, me.sides[symbol].close, me.edge_first, me.edge_second, number)
        answers.address(room, symbol, 1)
    return SIDES


def warmup_bars(_params: Record) -> int:
    """Count the bars before the first trade: it remembers no prices."""
    return 1


def fact_names(_params: Record, _reason: int) -> tuple[str, ...]:
    """Name the facts beside a reason."""
    return ("close", "edge_buying_first", "edge_buying_second", "pair")


def plots(_params: Record) -> tuple[Plot, ...]:
    """Show the edge of both directions."""
    return (
        Plot("Edge, buying on the first", "edge_first", pane="below"),
        Plot("Edge, buying on the second", "edge_second", pane="below"),
    )


def break_even(buy_fee: float, sell_fee: float) -> float:
    """Answer how much dearer the other side must be for a pair to lose nothing, as a share."""
    return (1.0 + buy_fee) / (1.0 - sell_fee) - 1.0


def triangle(rates: tuple[float, float, float], fee: float) -> float:
    """Answer the profit of a cycle through three markets of one exchange, as a share; each rate is what one unit becomes."""
    return math.prod(rates) * (1.0 - fee) ** len(rates) - 1.0


DEFINITION: Final = StrategyDefinition(
    name="arbitrage",
    title="Arbitrage",
    summary="Holds one coin on two exchanges, and buys on the cheaper what it sells on the dearer at the same moment.",
    params_type=Params,
    presets={"1m": {}, "5m": {}, "15m": {}, "1h": {}},
    named_presets={"eager": {"profit_least": 0.0005, "buffer": 0.0, "rebalance_cost": 0.0}},
    state_dtype=STATE,
    start=start,
    step=step,
    run_panel=run_panel,
    warmup_bars=warmup_bars,
    fact_names=fact_names,
    plots=plots,
    required_inputs=("close",),
    leg_reasons=(Reason.SIGNAL_ENTRY_PAIR, Reason.SIGNAL_EXIT_PAIR),
    mend_reasons=(Reason.SIGNAL_ENTRY_RESIDUAL, Reason.SIGNAL_EXIT_RESIDUAL),
    symbols_least=SIDES,
    symbols_most=SIDES,
    order_kinds=(OrderKind.ENTRY, OrderKind.EXIT),
    regimes_expected=("bull_hi", "bear_hi", "side_hi"),
    notes=("From candles a result is indicative at best: two closes of one minute were seldom there at one moment.",),
)
