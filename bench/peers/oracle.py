"""backtesting.py as an oracle for our event engine: the same trades and the same equity on its own candles of GOOG.

Both decide on a close and trade at the next open. What has to be said to make two engines speak of the same thing:

- No fees and no spread: ours are taken from what is received, in coins, and backtesting.py holds whole shares and pays in cash.
- A lot is one share; an entry buys for half of the starting capital at the close that decided, whatever was won since.
- Our entry is a limit order, one per cent above that close, which expires at once. backtesting.py knows no such order, so the
  oracle's strategy looks at the coming open and stays away where the limit would: a rule of the exchange, not of the strategy.
- A stop is live from the entry on. Both fill it at its price, or at the open where that lies beyond. An exchange refuses a stop
  that the price has passed already, and then we sell at once: where the entry itself opens at its stop or below, it is bought
  and sold at that open. backtesting.py cannot do both at one open, so the oracle's strategy writes such a trade down instead.
- Our equity of a day is read once the next day has opened, where a stop that this open passes has filled already; the oracle's
  equity of the day before is moved to that price.
- An open position is valued at the last close and is no trade.

Averages are pandas' own, so nothing but the candles and these rules is shared.
"""

from __future__ import annotations

import sys
import warnings
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

import numpy as np
import pandas as pd
from backtesting import Backtest, Strategy
from backtesting.test import GOOG

from bench.peers import own_engine
from trading.bars import Candles, Floats
from trading.instruments import Instrument
from trading.round_trips import round_trips
from trading.strategy import OrderKind

DAY_MS: Final = 86_400_000
CAPITAL: Final = 1_000_000
SHARE: Final = 0.5
COLLAR: Final = 1.01
TICK: Final = 0.01
SHARES: Final = Instrument("GOOG/USD", "GOOG", "USD", *map(Decimal, ("0.01", "1", "1", "1000000000", "1")))
CASES: Final = tuple(
    (fast, slow, stop) for fast, slow in ((5, 20), (10, 30), (10, 50), (20, 100), (3, 10)) for stop in (0.0, 0.03, 0.08)
)
EQUITY_ERROR_MAX: Final = 1e-6


@dataclass(frozen=True, eq=False)
class Told:
    """What an engine says: day and price of entry and exit, and shares, of each closed trade; the equity of each day."""

    trades: list[tuple[int, float, int, float, int]]
    equity: Floats
    stopped: int


class _Cross(Strategy):
    fast, slow, stop = 0, 0, 0.0

    def init(self) -> None:
        closes = pd.Series(np.asarray(self.data.Close))
        self.quick, self.calm = closes.rolling(self.fast).mean().to_numpy(), closes.rolling(self.slow).mean().to_numpy()
        self.above = True
        # Bought and sold at one open: the day, its open and the shares.
        self.passing: list[tuple[int, float, int]] = []

    def next(self) -> None:
        day = len(self.data) - 1
        quick, calm = self.quick[day], self.calm[day]
        if self.above and quick < calm:
            self.above = False
            if self.position:
                self.position.close()
        elif not self.above and quick > calm:
            self.above = True
            self._enter(day)

    def _enter(self, day: int) -> None:
        close = float(self.data.Close[-1])
        opens = self.opens
        if day < self.slow or day + 1 >= len(opens) or opens[day + 1] > _on_tick(close * COLLAR):
            return
        stop, size = _on_tick(close * (1.0 - self.stop)), int(SHARE * CAPITAL / close)
        if self.stop > 0.0 and stop >= opens[day + 1]:
            self.passing.append((day + 1, float(opens[day + 1]), size))
            return
        self.buy(size=size, sl=stop if self.stop > 0.0 else None)

    opens: Any = GOOG["Open"].to_numpy()


def show() -> None:
    """Print how far both agree; end with an error where they do not."""
    print("\nAgreement with backtesting.py on its candles of GOOG, by average and stop\n")
    print("| averages | stop | trades | of them stopped | that differ | equity, largest relative difference |")
    print("|---|---|---|---|---|---|")
    wrong = 0
    for fast, slow, stop in CASES:
        ours, theirs = our_telling(fast, slow, stop), their_telling(fast, slow, stop)
        differ = len(set(ours.trades) ^ set(theirs.trades))
        error = float(np.max(np.abs(ours.equity / theirs.equity - 1.0)))
        wrong += bool(differ) or error > EQUITY_ERROR_MAX or not ours.trades
        print(f"| {fast}, {slow} | {stop:g} | {len(ours.trades)} | {ours.stopped} | {differ} | {error:.1e} |", flush=True)
    if wrong:
        sys.exit(f"{wrong} of {len(CASES)} runs differ from the oracle")


def our_telling(fast: int, slow: int, stop: float) -> Told:
    """Run our event engine."""
    candles = goog()
    result = own_engine.free_of_costs(candles, SHARES, fast, slow, share=SHARE, stop=stop, allocation=Decimal(CAPITAL))
    prices = {(fill.time, fill.side): float(fill.price) for fill in result.fills}
    trades = [
        (
            int(np.searchsorted(candles.times, trip.opened, side="right")) - 1,
            prices[trip.opened, "buy"],
            int(np.searchsorted(candles.times, trip.closed, side="right")) - 1,
            prices[trip.closed, "sell"],
            int(trip.quantity),
        )
        for trip in round_trips(result.fills, SHARES.lot_size)
    ]
    before = np.full(len(candles) - len(result.times), float(CAPITAL))
    equity = np.concatenate([before, result.equity[:-1], [float(result.final_equity)]])
    return Told(trades, equity, sum(1 for fill in result.fills if fill.kind == OrderKind.STOP.name))


def their_telling(fast: int, slow: int, stop: float) -> Told:
    """Run backtesting.py."""
    with warnings.catch_warnings():
        # It says of every position that is open at the end that it is.
        warnings.simplefilter("ignore")
        found = Backtest(GOOG, _Cross, cash=CAPITAL, commission=0.0).run(fast=fast, slow=slow, stop=stop)
    rows = list(found["_trades"].itertuples())
    trades = [(row.EntryBar, float(row.EntryPrice), row.ExitBar, float(row.ExitPrice), int(row.Size)) for row in rows]
    trades += [(day, price, day, price, size) for day, price, size in found["_strategy"].passing]
    equity = found["_equity_curve"]["Equity"].to_numpy().copy()
    opens, closes = GOOG["Open"].to_numpy(), GOOG["Close"].to_numpy()
    protected = [row for row in rows if row.SL is not None and not np.isnan(row.SL)]
    for row in protected:
        if row.ExitBar > row.EntryBar and opens[row.ExitBar] <= row.SL:
            equity[row.ExitBar - 1] += row.Size * (row.ExitPrice - closes[row.ExitBar - 1])
    return Told(trades, equity, sum(1 for row in protected if row.ExitPrice <= row.SL))


def goog() -> Candles:
    """Lay the bundled candles out as ours."""
    times = GOOG.index.to_numpy().astype("datetime64[ms]").astype(np.int64)
    return Candles(DAY_MS, times, np.ascontiguousarray(GOOG.to_numpy(dtype=np.float64).T))


def _on_tick(price: float) -> float:
    return round(float(np.floor(price / TICK + 1e-9)) * TICK, 2)


if __name__ == "__main__":
    show()
