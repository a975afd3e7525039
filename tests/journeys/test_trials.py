"""A trial over the real stack: begun over the API, each bot alone for its hours, a restart in a turn, compared and applied."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User

from bots.lineups import Plan
from marketdata.candles import milliseconds
from portfolio.jobs import verify
from portfolio.models import Account, AuditEntry, Order, Reconciliation
from portfolio.selectors import book_numbers
from portfolio.trader import records
from tests.api.conftest import Api, token_for
from tests.journeys.stack import Stack
from trading.desk.rows import ENTRIES

pytestmark = [pytest.mark.timeout(1800), pytest.mark.nightly]

D = Decimal
BOTS = ("SASHA_HYBRID", "GRID_TRADING", "EMA_RIBBON")
HOURS = 2
BEGIN = datetime(2024, 8, 5, 11, tzinfo=UTC)


@pytest.fixture
def api(transactional_db: None) -> Api:
    """Return the API as an operator's script asks it."""
    return token_for(User.objects.create_superuser("script"), "read", "trade", "unattended")


def entries_out_of_turn(account: Account, turns: list[dict[str, Any]]) -> list[str]:
    """Name every entry that was decided while it was another bot's turn, once the first turn had begun."""
    found = []
    for order in Order.objects.filter(account=account, intent__kind__in=ENTRIES, side="buy").select_related("book", "intent"):
        at = order.intent.market_at
        turn = next((one for one in turns if read(one["begin_at"]) < at <= read(one["end_at"])), None)
        if turn is not None and turn["bot"] != order.book.name:
            found.append(f"{order.book.name} {order.client_order_id} at {at}")
    return found


def read(moment: str) -> datetime:
    return datetime.fromisoformat(moment)


def test_each_bot_trades_alone_across_a_restart_and_the_proposal_is_applied(
    api: Api, shared_data: Path, tmp_path: Path, lineup: Plan
) -> None:
    market = ["--market", "replay", "--data", str(shared_data / "ohlcv"), "--exchange", "binance", "--from", "2024-08-05T10:55"]
    market += ["--symbols", "BTCUSDT,ETHUSDT", "--speed", "1000000", "--paused"]
    three = replace(lineup, bots=tuple(bot for bot in lineup.bots if bot.key in BOTS))
    with Stack(tmp_path / "stack", market) as stack:
        stack.start_venue()
        account = stack.set_up(three).account
        stack.start_all()
        trader, worker = f"trader {account.pk}", "worker trading"
        ready = Account.objects.filter(pk=account.pk, state=Account.State.ACTIVE)
        stack.wait_until(ready.exists, what="the trader recovers", seconds=120)
        stack.run_until(milliseconds(BEGIN + timedelta(minutes=10)), seconds=600)

        asked = {"kind": "account", "account": account.pk, "hours": HOURS, "bots": list(BOTS), "budget": "2000"}
        answer = api.post("trials", asked)
        assert answer.status_code == 201, answer.content
        place = f"trials/{answer.json()['id']}"
        assert api.send("PUT", "mode", {"mode": "percentage", "account": account.pk}).json()["code"] == "MODE_TRIAL_RUNNING"

        # In the second turn everything that decides is gone for a while.
        stack.run_until(milliseconds(BEGIN + timedelta(hours=3)), seconds=900)
        under_way = [turn["state"] for turn in api.get(f"{place}/turns").json()["items"]]
        assert under_way == ["done", "running", "queued"]
        stack.kill(trader)
        stack.kill(worker)
        stack.restart(trader)
        stack.restart(worker)
        stack.run_until(milliseconds(BEGIN + timedelta(hours=7)), seconds=1200)
        stack.wait_until(lambda: api.get(place).json()["state"] == "done", what="the trial is over", seconds=120)

        turns = api.get(f"{place}/turns").json()["items"]
        print([(turn["bot"], turn["begin_at"], turn["end_at"], turn["pnl"]) for turn in turns])
        assert sorted(turn["bot"] for turn in turns) == sorted(bot.name for bot in three.bots)
        for turn, following in zip(turns, [*turns[1:], None], strict=True):
            assert read(turn["end_at"]) - read(turn["begin_at"]) == timedelta(hours=HOURS)
            assert following is None or read(following["begin_at"]) >= read(turn["end_at"])
            assert turn["note"] == ""
        assert entries_out_of_turn(account, turns) == []
        assert Account.objects.get(pk=account.pk).allocation_mode == "percentage"

        # The table says what the turns came to, and that three turns support no choice.
        table = api.get(f"{place}/comparison").json()
        assert {row["bot"]: D(row["pnl"]) for row in table["items"]} == {turn["bot"]: D(turn["pnl"]) for turn in turns}
        assert any(D(turn["pnl"]) for turn in turns), "somebody traded in its turn"
        assert not table["is_supported"]
        refused = api.post(f"{place}/apply", {"version": table["version"]})
        assert (refused.status_code, refused.json()["code"]) == (409, "TRIAL_SUPPORTS_NO_CHOICE")
        applied = api.post(f"{place}/apply", {"version": table["version"], "despite_doubts": True})
        assert applied.status_code == 200, applied.content
        proposed = {row["book"]: D(row["percent"]) for row in table["items"]}
        assert {row.book_id: row.percent for row in book_numbers(account.pk)} == proposed
        assert AuditEntry.objects.filter(action="trial.apply", actor_name="script").count() == 1

        stack.run_until(milliseconds(BEGIN + timedelta(hours=7, minutes=30)), seconds=300)
        synced = Account.objects.filter(pk=account.pk, synced_through_at__gte=BEGIN + timedelta(hours=7, minutes=30))
        stack.wait_until(synced.exists, what="every fill is posted")
        assert not Reconciliation.objects.filter(account=account, outcome=Reconciliation.Outcome.RESIDUAL).exists()
        assert verify.verify(account.pk) == []
        held = {asset: D(row["free"]) + D(row["locked"]) for asset, row in stack.books()["balances"].items()}
        assert records.ledger_totals(account.pk) == {asset: total for asset, total in held.items() if total}
