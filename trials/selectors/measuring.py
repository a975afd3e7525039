"""What a turn on the account came to, from the points of its book's equity and the trades it closed."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Final

import numpy as np

from bots.selectors import last_close
from marketdata.candles import milliseconds
from marketdata.selectors import candle_panel
from portfolio.models import EquityPoint
from portfolio.selectors import results
from strategies import registry
from trading.bars import Floats, Times
from trading.ledger import ZERO, exactly
from trading.strategy import CLOSE
from trading.trials import regime_of
from trials.models import TrialLeg
from trials.outcomes import TurnOutcome

# Of a book's worth: what the dust of fees gains or loses is less.
_DUST: Final = Decimal("0.000001")


@exactly
def account_turn(leg: TrialLeg) -> TurnOutcome:
    """Measure a turn: its book was flat when it began, so what it gained since is its own."""
    assert leg.begin_at is not None
    assert leg.end_at is not None
    account_id = leg.trial.account_id
    points = EquityPoint.objects.filter(account=account_id, book=leg.book_id)
    before = points.filter(market_at__lte=leg.begin_at).order_by("-market_at").first()
    seen = list(points.filter(market_at__gt=leg.begin_at, market_at__lte=leg.end_at).order_by("market_at"))
    gained_before, fees_before = (ZERO, ZERO) if before is None else (_gained(before), before.fees)
    gains = [_gained(point) - gained_before for point in seen]
    known = before.equity if before is not None else ZERO
    starting = seen[0].equity - gains[0] if seen else known
    is_grid = registry.is_grid(leg.setup["strategy"])
    orders = results.orders_between(leg.book_id, leg.begin_at, leg.end_at)
    return TurnOutcome(
        starting_equity=starting,
        times=np.array([milliseconds(point.market_at) for point in seen], dtype=np.int64),
        equity=np.array([float(starting + gain) for gain in gains], dtype=np.float64),
        trips=results.trips_between(leg.book, leg.begin_at, leg.end_at, is_grid=is_grid),
        pnl=gains[-1] if gains else ZERO,
        fees=seen[-1].fees - fees_before if seen else ZERO,
        exposure=sum(abs(point.unrealised) > point.equity * _DUST for point in seen) / len(seen) if seen else 0.0,
        regime=market_regime(leg, leg.begin_at, leg.end_at),
        orders=orders,
        prices=results.last_prices(orders, leg.trial.account.market_id),
    )


def market_regime(leg: TrialLeg, begin_at: datetime, end_at: datetime) -> str:
    """Name what the first market of a bot did on its own candles."""
    ids = leg.setup["instruments"][:1]
    interval = leg.setup["interval"]
    begin_at, end_at = last_close(begin_at, interval), last_close(end_at, interval)
    if begin_at >= end_at:
        return ""
    panel = candle_panel(instrument_ids=ids, interval=interval, begin_at=begin_at, end_at=end_at)
    closes = panel.values[CLOSE, 0]
    return regime_of(closes[~np.isnan(closes)])


def closes_between(times: Times, closes: Floats, begin: int, end: int) -> Floats:
    """Return the closes of candles that opened between two moments."""
    kept: Floats = closes[(times >= begin) & (times < end)]
    return kept


def _gained(point: EquityPoint) -> Decimal:
    gained: Decimal = point.equity - point.net_flows
    return gained
