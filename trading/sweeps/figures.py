"""What came of each combination of a sweep, with the definitions of trading/metrics."""

from dataclasses import dataclass
from decimal import Decimal

import numpy as np
import numpy.typing as npt

from trading.bars import Floats, Times
from trading.metrics import DAYS_PER_YEAR, OBSERVATIONS_MIN
from trading.sweeps import ledger
from trading.sweeps.market import SweepMarket


@dataclass(frozen=True, slots=True)
class Terms:
    """What costs leave of an amount on the way into a position and out of it."""

    keep_in: float
    keep_out: float

    @classmethod
    def of(cls, *, fee: Decimal, half_spread: Decimal = Decimal(0), slippage: Decimal = Decimal(0)) -> "Terms":
        """Take the fee from what is received, as the exchange does, and spread and slippage from the price."""
        away = half_spread + slippage
        return cls(float((1 - fee) / (1 + away)), float((1 - fee) * (1 - away)))


@dataclass(frozen=True, slots=True, eq=False)
class Figures:
    """One row per combination; equity starts at 1, NaN is what too little data cannot tell."""

    final_equity: Floats
    max_drawdown: Floats
    sharpe: Floats
    trades: Times
    wins: Times
    # The sums of what winning trades won and the others lost.
    won: Floats
    lost: Floats
    # Share of the bars at whose close a position was held.
    exposure: Floats

    @property
    def win_rate(self) -> Floats:
        """Answer wins over trades."""
        return _ratio(self.wins, self.trades)

    @property
    def break_even_win_rate(self) -> Floats:
        """Answer the win rate at which the average win pays for the average loss."""
        losses = self.trades - self.wins
        win, loss = _ratio(self.won, self.wins), _ratio(self.lost, losses)
        return _ratio(loss, win + loss)


def figures_of(states: Floats, market: SweepMarket) -> Figures:
    """Read the figures off finished states."""
    return Figures(
        final_equity=states[:, ledger.FINAL].copy(),
        max_drawdown=states[:, ledger.WORST].copy(),
        sharpe=_sharpe(states, len(market.samples) - 1),
        trades=states[:, ledger.TRADES].astype(np.int64),
        wins=states[:, ledger.WINS].astype(np.int64),
        won=states[:, ledger.WON].copy(),
        lost=states[:, ledger.LOST].copy(),
        exposure=states[:, ledger.HELD] / market.bars,
    )


def _sharpe(states: Floats, observations: int) -> Floats:
    if observations < OBSERVATIONS_MIN:
        return np.full(len(states), np.nan)
    total, squares = states[:, ledger.RETURNS], states[:, ledger.SQUARES]
    mean = total / observations
    variance = np.maximum(squares - total * mean, 0.0) / (observations - 1)
    return _ratio(mean * np.sqrt(DAYS_PER_YEAR), np.sqrt(variance))


def _ratio(part: npt.ArrayLike, whole: npt.ArrayLike) -> Floats:
    above, below = np.broadcast_arrays(np.asarray(part, dtype=np.float64), np.asarray(whole, dtype=np.float64))
    answer = np.full(above.shape, np.nan)
    np.divide(above, below, out=answer, where=below > 0)
    return answer
