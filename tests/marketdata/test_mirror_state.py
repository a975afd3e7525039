"""What the local venue is told of a real market: nothing that nobody can vouch for."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from exchange.ports import PublicTrade, QuoteUpdate
from marketdata.mirror.state import Telling

AT = 1_767_225_600_000
BTC = "BTC/USDT"


def quote(bid: str, ask: str, at: int = AT) -> QuoteUpdate:
    return QuoteUpdate(BTC, Decimal(bid), Decimal(ask), at)


def trade(price: str, quantity: str, number: int, *, maker: bool = False) -> PublicTrade:
    return PublicTrade(BTC, str(number), Decimal(price), Decimal(quantity), maker, AT + number)


@pytest.fixture
def telling() -> Telling:
    made = Telling({BTC: "BTCUSDT"}, market_now=AT, now=0.0)
    made.opened("quotes")
    made.opened("trades")
    return made


def kinds(events: list[list[Any]]) -> list[str]:
    return [event[0] for event in events]


def test_a_quote_is_told_once_and_trades_at_one_price_as_one(telling: Telling) -> None:
    telling.hear_quote(quote("99", "101"), now=0.1)
    for number, quantity in enumerate(("1", "2", "0.5")):
        telling.hear_trade(trade("101", quantity, number))
    telling.hear_trade(trade("99", "4", 3, maker=True))

    assert telling.due(now=0.2) == [
        ["time", AT],
        ["quote", "BTCUSDT", "99.00000000", "101.00000000"],
        ["trade", "BTCUSDT", "101.00000000", "3.50000000", AT + 2, False],
        ["trade", "BTCUSDT", "99.00000000", "4.00000000", AT + 3, True],
    ]
    telling.hear_quote(quote("99", "101"), now=0.3)
    assert telling.due(now=0.4) == []


def test_a_cut_is_told_at_once_and_the_past_is_not_told_again(telling: Telling) -> None:
    telling.hear_quote(quote("99", "101"), now=0.1)
    telling.due(now=0.2)
    telling.hear_trade(trade("100", "1", 1))
    telling.cut("trades", "the line broke")
    telling.hear_trade(trade("100", "1", 2))

    assert telling.due(now=0.3) == [["dark", ["BTCUSDT"]]]
    assert telling.dark == {BTC: "the line broke"}
    telling.opened("trades")
    assert telling.due(now=0.4) == []
    telling.hear_quote(quote("98", "100", AT + 500), now=0.5)
    assert kinds(telling.due(now=0.6)) == ["time", "quote"]


def test_silence_is_told_after_five_seconds_unless_the_exchange_confirms_the_price(telling: Telling) -> None:
    telling.hear_quote(quote("99", "101"), now=0.1)
    telling.due(now=0.2)

    assert telling.watch.to_ask(now=3.5) == [BTC]
    telling.hear_answers([BTC], [quote("99", "101", AT + 3000)], asked_at=3.5, now=3.6)
    assert kinds(telling.due(now=8.0)) == ["time"]
    assert kinds(telling.due(now=8.7)) == ["dark"]


def test_a_stream_that_did_not_tell_of_a_move_is_in_doubt(telling: Telling) -> None:
    telling.hear_quote(quote("99", "101"), now=0.1)
    telling.due(now=0.2)
    telling.hear_answers([BTC], [quote("105", "107", AT + 3000)], asked_at=3.5, now=3.6)

    assert "dark" in kinds(telling.due(now=4.2))
    telling.hear_quote(quote("105", "107", AT + 5000), now=5.0)
    assert ["quote", "BTCUSDT", "105.00000000", "107.00000000"] in telling.due(now=5.1)


@pytest.mark.parametrize(("bid", "ask"), [("0", "0"), ("101", "99"), ("NaN", "101"), ("200", "202")])
def test_what_cannot_be_true_is_never_told(telling: Telling, bid: str, ask: str) -> None:
    telling.hear_quote(quote("99", "101"), now=0.1)
    telling.due(now=0.2)
    telling.hear_quote(quote(bid, ask), now=0.3)

    assert "quote" not in kinds(telling.due(now=0.4))
    assert kinds(telling.due(now=1.0)) == ["dark"]
