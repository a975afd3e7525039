"""Single backtests of a crossing of averages by engines that call Python at every bar."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import backtrader
import numpy as np
import pandas as pd
from backtesting import Backtest, Strategy
from nautilus_trader.backtest.engine import BacktestEngine, BacktestEngineConfig
from nautilus_trader.config import LoggingConfig, StrategyConfig
from nautilus_trader.indicators import SimpleMovingAverage
from nautilus_trader.model.currencies import BTC, USDT
from nautilus_trader.model.data import Bar, BarType
from nautilus_trader.model.enums import AccountType, OmsType, OrderSide
from nautilus_trader.model.identifiers import Venue
from nautilus_trader.model.objects import Money
from nautilus_trader.persistence.wranglers import BarDataWrangler
from nautilus_trader.test_kit.providers import TestInstrumentProvider
from nautilus_trader.trading.strategy import Strategy as NautilusStrategy

from trading.bars import Candles
from trading.sweeps import loops

FAST, SLOW = 20, 200


def frame_of(candles: Candles) -> pd.DataFrame:
    """Lay candles out as these engines want them."""
    index = pd.to_datetime(candles.times, unit="ms", utc=True)
    return pd.DataFrame(candles.values.T, columns=["Open", "High", "Low", "Close", "Volume"], index=index)


class _Cross(Strategy):
    def init(self) -> None:
        closes = np.asarray(self.data.Close, dtype=np.float64)
        self.fast = self.I(loops.simple_average, closes, FAST)
        self.slow = self.I(loops.simple_average, closes, SLOW)

    def next(self) -> None:
        if self.fast[-1] > self.slow[-1] and not self.position:
            self.buy(size=0.9)
        elif self.fast[-1] < self.slow[-1] and self.position:
            self.position.close()


def backtesting_py(candles: Candles) -> int:
    """Run backtesting.py; answer the number of trades."""
    frame = frame_of(candles).tz_localize(None)
    return len(Backtest(frame, _Cross, cash=1e9, commission=0.001).run()["_trades"])


class _BacktraderCross(backtrader.Strategy):
    def __init__(self) -> None:
        self.fast = backtrader.ind.SMA(period=FAST)
        self.slow = backtrader.ind.SMA(period=SLOW)

    def next(self) -> None:
        if self.fast[0] > self.slow[0] and not self.position:
            self.buy(size=1)
        elif self.fast[0] < self.slow[0] and self.position:
            self.close()


def backtrader_engine(candles: Candles) -> float:
    """Run backtrader; answer the final value."""
    cerebro = backtrader.Cerebro(stdstats=False)
    cerebro.adddata(backtrader.feeds.PandasData(dataname=frame_of(candles).tz_localize(None)))
    cerebro.addstrategy(_BacktraderCross)
    cerebro.broker.setcash(1e9)
    cerebro.broker.setcommission(0.001)
    cerebro.run()
    return float(cerebro.broker.getvalue())


class _NautilusConfig(StrategyConfig, frozen=True):  # type: ignore[call-arg]
    bar_type: BarType


class _NautilusCross(NautilusStrategy):
    def __init__(self, config: _NautilusConfig) -> None:
        super().__init__(config)
        self.fast, self.slow = SimpleMovingAverage(FAST), SimpleMovingAverage(SLOW)
        self.instrument: Any = None

    def on_start(self) -> None:
        self.instrument = self.cache.instrument(self.config.bar_type.instrument_id)
        self.register_indicator_for_bars(self.config.bar_type, self.fast)
        self.register_indicator_for_bars(self.config.bar_type, self.slow)
        self.subscribe_bars(self.config.bar_type)

    def on_bar(self, _bar: Bar) -> None:
        if not self.slow.initialized:
            return
        is_flat = self.portfolio.is_flat(self.instrument.id)
        if self.fast.value > self.slow.value and is_flat:
            order = self.order_factory.market(self.instrument.id, OrderSide.BUY, self.instrument.make_qty(Decimal(1)))
            self.submit_order(order)
        elif self.fast.value < self.slow.value and not is_flat:
            self.close_all_positions(self.instrument.id)


def nautilus(candles: Candles) -> Any:
    """Make a nautilus engine with its bars loaded; calling the answer runs it."""
    engine = BacktestEngine(config=BacktestEngineConfig(logging=LoggingConfig(bypass_logging=True)))
    instrument = TestInstrumentProvider.btcusdt_binance()
    engine.add_venue(
        venue=Venue("BINANCE"),
        oms_type=OmsType.NETTING,
        account_type=AccountType.CASH,
        base_currency=None,
        starting_balances=[Money(1_000_000_000, USDT), Money(10, BTC)],
    )
    engine.add_instrument(instrument)
    bar_type = BarType.from_str(f"{instrument.id}-1-MINUTE-LAST-EXTERNAL")
    frame = frame_of(candles)
    frame.columns = [name.lower() for name in frame.columns]
    engine.add_data(BarDataWrangler(bar_type, instrument).process(frame))
    engine.add_strategy(_NautilusCross(_NautilusConfig(bar_type=bar_type)))
    return engine.run
