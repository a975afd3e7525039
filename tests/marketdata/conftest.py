from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from marketdata import writers
from marketdata.models import Instrument, Market
from trading.instruments import Instrument as Filters

NOW = datetime(2026, 1, 5, 12, 0, tzinfo=UTC)


def bitcoin_filters(tick_size: str = "0.01") -> Filters:
    return Filters(
        symbol="BTC/USDT",
        base="BTC",
        quote="USDT",
        tick_size=Decimal(tick_size),
        lot_size=Decimal("0.00001"),
        min_quantity=Decimal("0.00001"),
        max_quantity=Decimal(9000),
        min_notional=Decimal(5),
    )


@pytest.fixture
def market(db: None) -> Market:
    return writers.upsert_market(exchange="binance", epoch="test", facts={"label": "Test market", "is_synthetic": True}, now=NOW)


@pytest.fixture
def bitcoin(market: Market) -> Instrument:
    return writers.upsert_instrument(
        market_id=market.id, venue_symbol="BTCUSDT", filters=bitcoin_filters(), raw={}, order_count_max=200, now=NOW
    )
