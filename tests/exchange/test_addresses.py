"""Real keys go to real addresses alone, and test keys to no real one (I-49)."""

from __future__ import annotations

import pytest

from exchange.addresses import is_real, trouble_with_address

REAL = [
    ("binance", ""),
    ("binance", "https://api.binance.com"),
    ("binance", "https://api3.binance.com/"),
    ("binance", "https://BINANCE.com"),
    ("binanceus", "https://api.binance.us"),
    ("coinbase", "https://api.coinbase.com"),
]
TEST = [
    ("binance", "https://testnet.binance.vision"),
    ("binance", "https://demo-api.binance.com"),
    ("binance", "https://api.binance.us"),
    ("binance", "http://127.0.0.1:8020"),
    ("binance", "https://api.binance.com.example.org"),
    ("binance", "https://notbinance.com"),
    ("binance", "https://api.binance.com@example.org"),
    ("coinbase", "https://api-sandbox.coinbase.com"),
    ("kraken", "https://api.kraken.com"),
    ("binance", "nonsense"),
]


@pytest.mark.fault("G04")
@pytest.mark.parametrize(("exchange", "address"), REAL)
def test_test_keys_do_not_go_to_an_exchange_with_real_money(exchange: str, address: str) -> None:
    assert is_real(exchange=exchange, rest_url=address)
    assert trouble_with_address(exchange=exchange, rest_url=address, has_real_money=True) == ""
    assert "no real money" in trouble_with_address(exchange=exchange, rest_url=address, has_real_money=False)


@pytest.mark.fault("G04")
@pytest.mark.parametrize(("exchange", "address"), TEST)
def test_keys_for_real_money_go_nowhere_else(exchange: str, address: str) -> None:
    assert not is_real(exchange=exchange, rest_url=address)
    assert trouble_with_address(exchange=exchange, rest_url=address, has_real_money=False) == ""
    assert address in trouble_with_address(exchange=exchange, rest_url=address, has_real_money=True)


@pytest.mark.fault("G04")
def test_keys_for_real_money_go_nowhere_unencrypted() -> None:
    trouble = trouble_with_address(exchange="binance", rest_url="http://api.binance.com", has_real_money=True)
    assert "unencrypted" in trouble
