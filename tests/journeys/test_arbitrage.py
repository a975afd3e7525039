"""Arbitrage over the real stack, between two local exchanges, reproduces its backtest trade for trade."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from portfolio.models import Intent, Order, Pair
from tests.journeys import arbitrage
from tests.journeys.arbitrage import DE_PEG, MINUTE_MS, Comparison, Market, Wanted

pytestmark = [pytest.mark.timeout(600), pytest.mark.slow, pytest.mark.parity("P1")]

# 2024-03-01, and how many minutes of history the bots may ask for before it.
BEGIN_MS = 1_709_251_200_000
HISTORY = 2_000


def assert_equal(found: Comparison) -> None:
    """Compare fills, and say that every pair had both of its legs and the books of both accounts add up."""
    assert arbitrage.first_difference(found) == ""
    assert found.residuals == []
    assert len(found.pairs) >= 2
    assert {tuple(sides) for sides in found.pairs.values()} == {("buy", "sell")}
    # The comparison sees a difference where there is one.
    assert found.live != found.shifted


def draw_twins(root: Path, *, minutes: int) -> None:
    """Draw one coin on two exchanges: the second follows the first within a basis that wanders out and back."""
    noise = np.random.default_rng(7)
    count = HISTORY + minutes
    near = np.round(40_000 * np.exp(np.cumsum(noise.normal(0, 0.0004, count))), 2)
    basis = 0.006 * np.sin(np.arange(count) / 9.0)
    for exchange, closes in (("near", near), ("far", np.round(near * (1 + basis), 2))):
        opens = np.concatenate([closes[:1], closes[:-1]])
        folder = root / exchange / "BTCUSDT"
        folder.mkdir(parents=True)
        columns = {
            "open_time": BEGIN_MS + MINUTE_MS * np.arange(-HISTORY, minutes, dtype=np.int64),
            "open": opens,
            "high": np.maximum(opens, closes),
            "low": np.minimum(opens, closes),
            "close": closes,
            "volume": np.full(count, 50.0),
        }
        pq.write_table(pa.table(columns), folder / "1m.parquet")


def test_arbitrage_between_two_exchanges_equals_its_backtest(transactional_db: None, tmp_path: Path) -> None:
    # Each exchange has fees of its own, and both sides are right only if each decision knew which.
    draw_twins(tmp_path / "candles", minutes=400)
    near, far = Market(tmp_path / "candles", "near", "0.0005"), Market(tmp_path / "candles", "far", "0.0012")
    wanted = Wanted(near, far, "BTC/USDT", "2024-03-01", bars=60)

    found = arbitrage.compare(wanted, tmp_path, seconds=300)

    assert_equal(found)
    assert found.denials == {}


@pytest.mark.nightly
def test_what_an_exchange_refuses_of_one_leg_the_other_leaves_over_is_undone(transactional_db: None, tmp_path: Path) -> None:
    draw_twins(tmp_path / "candles", minutes=400)
    near, far = (Market(tmp_path / "candles", exchange, "0.0005") for exchange in ("near", "far"))
    refusal = {
        "id": "E12",
        "action": "answer",
        "match": {"endpoint": "POST /api/v3/order"},
        # The first order of the far account buys its stock.
        "when": {"skip": 1},
        "with": {"status": 400, "code": -1013, "msg": "Filter failure: LOT_SIZE"},
    }
    with arbitrage.started(Wanted(near, far, "BTC/USDT", "2024-03-01", bars=60), tmp_path, 300) as run:
        run.stacks[1].control("/control/faults", {"seed": 7, "rules": [refusal]})
        run.trade()
        residuals, accounts = run.residuals(), [account.pk for account in run.accounts]

    refused = Order.objects.get(account__in=accounts, status=Order.Status.REJECTED)
    broken = refused.intent.pair
    assert broken is not None
    (other,) = broken.intents.filter(reason__endswith="_PAIR").exclude(pk=refused.intent_id)
    assert other.order.filled_quantity > 0
    # A purchase whose sale was refused is sold again, and what was sold and not bought is bought, once nothing pays any more;
    # pairs that were made until then do not know which of them it belongs to, so it is journalled with the newest.
    (mending,) = Intent.objects.filter(reason__endswith="_RESIDUAL")
    assert mending.side == refused.side
    assert mending.market_at > broken.market_at
    assert mending.order.filled_quantity == pytest.approx(other.order.filled_quantity, rel=Decimal("0.01"))
    assert mending.pair == Pair.objects.filter(market_at__lt=mending.market_at).latest("id")
    assert residuals == []


@pytest.mark.nightly
def test_arbitrage_through_the_de_peg_equals_its_backtest_whatever_dies_on_the_way(
    transactional_db: None, shared_data: Path, tmp_path: Path
) -> None:
    symbol, begin, bars = DE_PEG
    near, far = (Market(shared_data / "ohlcv", exchange, "0.0005") for exchange in ("binanceus", "kraken"))

    found = arbitrage.compare(Wanted(near, far, symbol, begin, bars), tmp_path, seconds=500, restart_at=40)

    assert_equal(found)
