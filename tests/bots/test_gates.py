"""A bot that merely waits for the market is not shown as one that something holds back."""

from __future__ import annotations

from decimal import Decimal

import pytest

from bots.gates import Checklist, _liquidity
from bots.models import Bot
from marketdata.models import Instrument
from portfolio.selectors.gates import Gate


def checklist(*gates: Gate) -> Checklist:
    return Checklist(bot=Bot(), gates=gates)


def gate(name: str, code: str = "", *, is_open: bool = False) -> Gate:
    return Gate(name=name, is_open=is_open, code=code, remedy="Do this.", link="/")


def test_a_bot_without_a_signal_only_waits() -> None:
    one = checklist(gate("status", is_open=True), gate("signal", "FILTER_TREND"))
    assert one.only_waits
    assert one.verdict == "Nothing else is in its way: the market has to give its signal."


@pytest.mark.parametrize(
    "gates",
    [
        (gate("status"), gate("signal", "FILTER_TREND")),
        (gate("signal", "CAPITAL_INSUFFICIENT"),),
        (gate("status"),),
        (gate("signal", is_open=True),),
    ],
)
def test_whatever_else_is_shut_is_told(gates: tuple[Gate, ...]) -> None:
    assert not checklist(*gates).only_waits


@pytest.mark.parametrize(
    ("least", "volumes", "is_open"),
    [
        ("0", {}, True),
        ("6", {1: "5"}, False),
        ("5", {1: "5"}, True),
        ("6", {}, False),
        ("6", {1: "5", 2: "7"}, True),
    ],
)
def test_one_market_where_enough_is_traded_is_enough(least: str, volumes: dict[int, str], is_open: bool) -> None:
    markets = [Instrument(pk=1, symbol="BTC/USDT"), Instrument(pk=2, symbol="ETH/USDT")]
    found = _liquidity(markets, {pk: Decimal(volume) for pk, volume in volumes.items()}, Decimal(least))
    assert (found.is_open, found.code) == (is_open, "" if is_open else "RISK_LIQUIDITY")
    assert bool(found.facts) == (least != "0")
    assert bool(found.remedy) != is_open
