"""The demo is set up on a real venue, once, and refuses what it cannot do."""

from __future__ import annotations

import json
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from django.core.management import CommandError, call_command

from bots.models import Bot
from marketdata.models import Instrument
from portfolio.models import Account, Credential
from portfolio.selectors import lists
from tests.journeys.stack import Stack


@pytest.fixture
def stack(db: None, settings: Any, tmp_path: Path) -> Iterator[Stack]:
    with Stack(tmp_path / "stack", ["--market", "synthetic", "--paused"]) as stack:
        settings.VENUE_CONTROL_URL = stack.control_url
        settings.VENUE_URL = f"http://127.0.0.1:{stack.venue_port}"
        settings.VENUE_WS_URL = f"ws://127.0.0.1:{stack.venue_port}"
        yield stack


def set_up() -> dict[str, Any]:
    out = StringIO()
    call_command("setup_demo", "--json", stdout=out)
    said: dict[str, Any] = json.loads(out.getvalue())
    return said


def test_the_demo_is_set_up_once(stack: Stack) -> None:
    stack.start_venue()

    first, again = set_up(), set_up()

    assert (first["is_new"], again["is_new"]) == (True, False)
    assert first["account"] == again["account"]
    shown = [(bot.name, bot.status, str(bot.book.base_equity.normalize())) for bot in Bot.objects.select_related("book")]
    names = ("MeanReversion", "Sasha-Hybrid-Optimized", "GridTrading", "TripleEMA", "EMARibbon")
    assert shown == [(name, "running", "1976.46") for name in names]
    assert Account.objects.get().market.is_synthetic
    assert Instrument.objects.filter(symbol__in=("BTC/USDT", "ETH/USDT")).count() == 2
    assert "secret" not in Credential.objects.get().sealed


def test_a_second_exchange_has_an_account_of_its_own_as_long_as_it_is_there(stack: Stack, settings: Any, tmp_path: Path) -> None:
    stack.start_venue()
    words = ["--market", "synthetic", "--basis-ppm", "6000", "--fees", "0.0008,0.0012", "--paused"]
    with Stack(tmp_path / "second", words) as second:
        second.start_venue()
        settings.SECOND_VENUE_CONTROL_URL = second.control_url
        settings.SECOND_VENUE_URL = f"http://127.0.0.1:{second.venue_port}"
        settings.SECOND_VENUE_WS_URL = f"ws://127.0.0.1:{second.venue_port}"
        set_up()
        set_up()

    home, away = Account.objects.order_by("id")
    assert (home.is_enabled, away.is_enabled) == (True, True)
    assert home.market_id != away.market_id
    assert [account.name.split()[0] for account in (home, away)] == ["demo", "second"]
    shown = lists.shown_account()
    assert shown == home
    assert (away.market.taker_fee_ppm, away.market.maker_fee_ppm) == (1200, 800)
    # What is traded there is a person's to say.
    assert set(Bot.objects.values_list("book__account", flat=True)) == {home.pk}

    settings.SECOND_VENUE_CONTROL_URL = ""
    set_up()
    assert list(Account.objects.order_by("id").values_list("is_enabled", flat=True)) == [True, False]


@pytest.fixture
def in_dollars(tmp_path: Path) -> Iterator[Stack]:
    """Have an exchange whose only coin is paid in dollars."""
    folder = tmp_path / "candles" / "coinbase" / "BTC-USD"
    folder.mkdir(parents=True)
    prices = dict.fromkeys(("open", "high", "low", "close"), np.full(500, 60_000.0))
    times = 1_714_521_600_000 + 60_000 * np.arange(500, dtype=np.int64)
    pq.write_table(pa.table({"open_time": times, **prices, "volume": np.full(500, 5.0)}), folder / "1m.parquet")
    words = ["--market", "replay", "--data", str(tmp_path / "candles"), "--exchange", "coinbase", "--from", "2024-05-01T02:00"]
    with Stack(tmp_path / "dollars", [*words, "--paused"]) as stack:
        stack.start_venue()
        yield stack


def test_the_second_account_holds_what_its_coins_are_paid_in(stack: Stack, in_dollars: Stack, settings: Any) -> None:
    stack.start_venue()
    settings.SECOND_VENUE_CONTROL_URL = in_dollars.control_url
    settings.SECOND_VENUE_URL = f"http://127.0.0.1:{in_dollars.venue_port}"
    settings.SECOND_VENUE_WS_URL = f"ws://127.0.0.1:{in_dollars.venue_port}"
    set_up()

    account = Account.objects.get(name__startswith="second")
    held = json.dumps(in_dollars.control(f"/control/books/{account.venue_uid}")["balances"])
    assert (account.quote_asset, "USD" in held, "USDT" in held) == ("USD", True, False)


def test_where_the_coins_of_the_line_up_are_not_listed_the_account_has_no_bots(
    in_dollars: Stack, settings: Any, db: None
) -> None:
    settings.VENUE_CONTROL_URL = in_dollars.control_url
    settings.VENUE_URL = f"http://127.0.0.1:{in_dollars.venue_port}"
    settings.VENUE_WS_URL = f"ws://127.0.0.1:{in_dollars.venue_port}"
    out = StringIO()
    call_command("setup_demo", stdout=out)

    assert "no bots: say what they trade" in out.getvalue()
    assert Account.objects.get().quote_asset == "USD"
    assert not Bot.objects.exists()


def test_a_first_start_begins_in_the_mode_of_the_environment(stack: Stack, settings: Any) -> None:
    stack.start_venue()
    settings.BOT_ALLOCATION_MODE, settings.ACTIVE_BOT, settings.INITIAL_BUDGET = "single", "grid", "1500"
    set_up()

    settings.BOT_ALLOCATION_MODE = "rotation"
    set_up()

    account = Account.objects.get()
    assert account.allocation_mode == "single", "after the first start the database is the truth"
    worth = {bot.name: bot.book.base_equity for bot in Bot.objects.select_related("book")}
    assert {name for name, equity in worth.items() if equity} == {"GridTrading"}
    assert worth["GridTrading"] == 1500


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("BOT_PERCENT", {"GRID_TRADER": "10"}, "Did you mean GridTrading"),
        ("BOT_PERCENT", {"GRID_TRADING": "50"}, "past 100 %"),
        ("ACTIVE_BOT", "MeanRevision", "Did you mean MeanReversion"),
        ("INITIAL_BUDGET", "much", "must be an amount"),
        ("INITIAL_BUDGET", "-5", "above zero"),
    ],
)
@pytest.mark.fault("G02", "G03")
def test_a_wrong_environment_is_refused_and_nothing_is_made(db: None, settings: Any, name: str, value: object, why: str) -> None:
    setattr(settings, name, value)

    with pytest.raises(CommandError, match=why):
        call_command("setup_demo")

    assert not Account.objects.exists()


def test_an_absent_venue_is_named_with_what_to_do(stack: Stack) -> None:
    with pytest.raises(CommandError, match=r"does not answer at .* Start it with"):
        call_command("setup_demo")
