"""A small honest exchange: it keeps its own balances and tells what happened, and shares no code with the ledger."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal

from trading.desk.rows import OrderRow
from trading.orders import ExchangeStatus, OrderReport, Side, TradeReport

ZERO = Decimal(0)


@dataclass(slots=True)
class Resting:
    """An order as the exchange has it."""

    client_order_id: str
    number: str
    symbol: str
    base: str
    quote: str
    side: Side
    quantity: Decimal
    price: Decimal | None
    executed: Decimal = ZERO
    cost: Decimal = ZERO
    status: ExchangeStatus = ExchangeStatus.NEW

    @property
    def left(self) -> Decimal:
        """Return what may still fill."""
        return self.quantity - self.executed


class Exchange:
    """Balances, orders and trades of one account."""

    def __init__(self, balances: dict[str, Decimal], *, clock: datetime) -> None:
        self.free: dict[str, Decimal] = defaultdict(lambda: ZERO, balances)
        self.locked: dict[str, Decimal] = defaultdict(lambda: ZERO)
        self.orders: dict[str, Resting] = {}
        self.trades: list[TradeReport] = []
        self.clock = clock

    def accept(self, order: OrderRow) -> OrderReport:
        """Take an order and lock what it may cost."""
        assert order.client_order_id not in self.orders, "an order was sent twice (I-12)"
        row = Resting(
            client_order_id=order.client_order_id,
            number=str(1000 + len(self.orders)),
            symbol=order.instrument.venue_symbol,
            base=order.instrument.base,
            quote=order.instrument.quote,
            side=Side(order.side),
            quantity=order.quantity,
            price=order.price,
        )
        self.orders[order.client_order_id] = row
        asset, amount = self._worst(row)
        assert self.free[asset] >= amount, "Account has insufficient balance for requested action."
        self.free[asset] -= amount
        self.locked[asset] += amount
        return self.report(order.client_order_id)

    def fill(
        self, client_order_id: str, *, quantity: Decimal, price: Decimal, fee: Decimal, fee_asset: str, seconds: int = 1
    ) -> TradeReport:
        """Trade a part of an order."""
        row = self.orders[client_order_id]
        assert ZERO < quantity <= row.left
        asset, before = self._worst(row)
        quote = quantity * price
        row.executed += quantity
        row.cost += quote
        _, after = self._worst(row)
        self.locked[asset] -= before - after
        if row.side == Side.BUY:
            self.free[row.quote] += before - after - quote
            self.free[row.base] += quantity
        else:
            self.free[row.quote] += quote
        self.free[fee_asset] -= fee
        row.status = ExchangeStatus.FILLED if row.left == ZERO else ExchangeStatus.PARTIALLY_FILLED
        self.clock += timedelta(seconds=seconds)
        trade = TradeReport(
            symbol=row.symbol,
            trade_id=len(self.trades) + 1,
            exchange_order_id=row.number,
            client_order_id=client_order_id,
            side=row.side,
            price=price,
            quantity=quantity,
            quote_quantity=quote,
            fee=fee,
            fee_asset=fee_asset,
            is_maker=False,
            traded_at=self.clock,
        )
        self.trades.append(trade)
        return trade

    def end(self, client_order_id: str, status: ExchangeStatus = ExchangeStatus.CANCELED) -> OrderReport:
        """End an order and free what it locked; a complete order stays filled."""
        row = self.orders[client_order_id]
        if row.status in (ExchangeStatus.NEW, ExchangeStatus.PARTIALLY_FILLED):
            asset, amount = self._worst(row)
            self.locked[asset] -= amount
            self.free[asset] += amount
            row.status = status
        return self.report(client_order_id)

    def report(self, client_order_id: str) -> OrderReport:
        """Tell the state of an order."""
        row = self.orders[client_order_id]
        return OrderReport(
            client_order_id=client_order_id,
            exchange_order_id=row.number,
            symbol=row.symbol,
            side=row.side,
            status=row.status,
            quantity=row.quantity,
            executed_quantity=row.executed,
            executed_quote=row.cost,
            market_at=self.clock,
        )

    def by_hand(self, trade: TradeReport) -> TradeReport:
        """Book a trade that a person made on the website."""
        sign = 1 if trade.side == Side.BUY else -1
        base, quote = trade.symbol.removesuffix("USDT"), "USDT"
        self.free[base] += sign * trade.quantity
        self.free[quote] -= sign * trade.quote_quantity
        self.free[trade.fee_asset] -= trade.fee
        made = replace(trade, trade_id=len(self.trades) + 1)
        self.trades.append(made)
        return made

    def totals(self) -> dict[str, Decimal]:
        """Return free and locked together."""
        return {asset: self.free[asset] + self.locked[asset] for asset in self.free.keys() | self.locked.keys()}

    def _worst(self, row: Resting) -> tuple[str, Decimal]:
        if row.side == Side.SELL:
            return row.base, row.left
        assert row.price is not None
        return row.quote, row.left * row.price
