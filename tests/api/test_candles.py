"""Candles of one symbol on several exchanges are told apart."""

from __future__ import annotations

from typing import Any

from tests.api.conftest import Api
from tests.bots.conftest import open_desk


def closes(answer: Any) -> list[float]:
    """Answer the closes that were told."""
    return [row["close"] for row in answer.json()["items"]]


def test_candles_are_those_of_the_market_that_is_asked_for(api: Api) -> None:
    near, far = open_desk(), open_desk(name="far", epoch="far", deploy="t2")
    for desk, close in ((near, 100.0), (far, 200.0)):
        desk.bot("FIRST")
        desk.close_bars([close])

    asked = {"symbol": "BTC/USDT", "interval": "5m"}
    assert closes(api.get("candles", **asked, market=near.market.pk)) == [100.0]
    assert closes(api.get("candles", **asked, market=far.market.pk)) == [200.0]
    # Unless one is named: the exchange that was there first.
    assert closes(api.get("candles", **asked)) == [100.0]
    assert api.get("candles", **asked, market=far.market.pk + 1).status_code == 404
