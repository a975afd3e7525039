"""A stream whose other end is gone keeps nobody waiting: neither for its opening nor for its close."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from exchange.binance.trading import BinanceTrading
from exchange.coinbase.trading import CoinbaseTrading
from exchange.profiles import BINANCE, COINBASE

# So long a machine that is busy may take; what hangs would hang for ever.
PATIENCE = 20


class HalfOpen:
    """A socket that waits for a farewell that never comes."""

    url = "wss://gone"

    async def close(self, _code: int) -> None:
        await asyncio.Event().wait()


@pytest.mark.fault("M09")
@pytest.mark.parametrize(("adapter", "profile"), [(BinanceTrading, BINANCE), (CoinbaseTrading, COINBASE)])
async def test_a_half_open_stream_is_given_up_within_the_time_of_a_request(adapter: Any, profile: Any) -> None:
    port = adapter(profile=replace(profile, request_deadline_seconds=0.05), key="k", secret="s")
    port._connection.wire.clients["wss://gone"] = HalfOpen()
    async with asyncio.timeout(PATIENCE) as patience:
        with pytest.raises(TimeoutError):
            await port._subscribe()
    assert not patience.expired()
    assert port._connection.wire.clients == {}
    await port.close()
