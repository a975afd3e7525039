"""Line-ups: everything wrong is told at once, the effect is shown first, and it is all or nothing."""

from __future__ import annotations

import json
from decimal import Decimal
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from bots import lineups
from bots.lineups import BadPlan, Plan
from bots.models import Bot
from bots.services import start_bot
from bots.services.lineups import UnableToLineUp, apply_lineup, diff_lineup, export_lineup
from portfolio.models import AllocationVersion, AuditEntry
from portfolio.selectors import book_numbers
from portfolio.selectors.allocations import newest_version
from tests.bots.conftest import NOW, Desk

GOOD = {"key": "ONE", "name": "One", "strategy": "mean_reversion", "symbols": ["BTC/USDT"], "interval": "5m", "percent": "20"}


def plan_of(*bots: dict[str, Any], **more: Any) -> Plan:
    return lineups.plan_of({"schema": 1, "name": "Test", "bots": list(bots), **more})


def run(*words: str) -> str:
    out = StringIO()
    call_command("lineup", *words, stdout=out)
    return out.getvalue()


def test_everything_that_is_wrong_is_told_at_once() -> None:
    bad = [
        {**GOOD, "strategy": "alchemy", "percent": "-5"},
        {**GOOD, "key": "two", "symbols": ["BTC/USDT", "ETH/USDT"], "params": {"leverage": 10}},
        {**GOOD, "key": "THREE", "interval": "7m", "percent": "NaN"},
    ]
    with pytest.raises(BadPlan) as refused:
        lineups.plan_of({"schema": 2, "bots": bad, "comment": "x"})

    told = "\n".join(refused.value.errors)
    assert len(refused.value.errors) == 9, told
    assert "Unknown strategy 'alchemy'. Known: mean_reversion, sasha_hybrid, grid" in told
    assert "has schema 2; this release reads schema 1" in told
    assert "trades 1 markets, not 2" in told


@pytest.mark.parametrize(
    "text",
    ["", "[]", "null", '{"schema": 1}', '{"schema": 1, "bots": [7]}', '{"schema": 1, "bots": [{"percent": NaN}]}', "[" * 3000],
)
def test_what_is_no_plan_file_is_refused(text: str) -> None:
    with pytest.raises(BadPlan):
        lineups.parse(text)


def test_the_shipped_line_ups_read_as_they_are_written() -> None:
    for name, path in lineups.SHIPPED.items():
        plan = lineups.parse(path.read_text(), name=name, without=["ARBITRAGE"])
        assert lineups.plan_of(lineups.content_of(plan)) == plan
    roles = json.loads(lineups.SHIPPED["B"].read_text())["bots"]
    assert {row["name"]: row["percent"] for row in roles} == {
        "Core": "30", "Scalping": "25", "Momentum": "25", "Arbitrage": "15", "Hedging": "5",
    }  # fmt: skip


def test_a_line_up_is_shown_then_applied_and_exported_as_it_was(desk: Desk, tmp_path: Path) -> None:
    desk.bot("OLD")
    plan = plan_of(GOOD, {**GOOD, "key": "TWO", "name": "Two", "strategy": "grid", "symbols": ["ETH/USDT"], "percent": "30.5"})
    diff = diff_lineup(account_id=desk.account.pk, plan=plan)
    assert [(step.action, step.key, step.percent_after) for step in diff.steps] == [
        ("create", "ONE", 20), ("create", "TWO", Decimal("30.5")), ("leave", "OLD", 0),
    ]  # fmt: skip
    assert Bot.objects.count() == 1

    apply_lineup(account_id=desk.account.pk, plan=plan, by=None, now=NOW, expected=1)
    assert {bot.key: bot.status for bot in Bot.objects.all()} == {"OLD": "stopped", "ONE": "stopped", "TWO": "stopped"}
    assert {row.name: row.percent for row in book_numbers(desk.account.pk)} == {"Old": 0, "One": 20, "Two": Decimal("30.5")}
    version = newest_version(desk.account.pk)
    assert version is not None
    assert (version.cause, version.note) == ("lineup", "Test")
    assert AuditEntry.objects.filter(action="lineup.apply").count() == 1

    run("export", str(tmp_path / "plan.json"))
    again = lineups.load(tmp_path / "plan.json")
    assert diff_lineup(account_id=desk.account.pk, plan=again).is_empty
    assert export_lineup(desk.account.pk).bots == again.bots


def test_a_bot_is_changed_while_it_is_stopped_only(desk: Desk) -> None:
    bot = desk.bot("ONE")
    plan = plan_of({**GOOD, "interval": "1h", "symbols": ["ETH/USDT"], "position_cap_percent": "25"})
    with pytest.raises(UnableToLineUp, match=r"One is running: stop it before its interval, .*symbols changes"):
        apply_lineup(account_id=desk.account.pk, plan=plan, by=None, now=NOW)

    Bot.objects.update(status="stopped")
    diff = apply_lineup(account_id=desk.account.pk, plan=plan, by=None, now=NOW)
    bot.refresh_from_db()
    assert ("symbols", "BTC/USDT", "ETH/USDT") in diff.steps[0].changes
    assert (bot.interval, bot.book.position_cap_percent) == ("1h", Decimal(25))
    assert [instrument.symbol for instrument in bot.instruments.all()] == ["ETH/USDT"]
    assert start_bot(bot_id=bot.pk, by=None, now=NOW, market_at=desk.market_at).status == "running"


def test_nothing_happens_where_anything_is_in_the_way(desk: Desk) -> None:
    plan = plan_of(GOOD, {**GOOD, "key": "TWO", "name": "Two", "symbols": ["NOPE/USDT"]})
    with pytest.raises(UnableToLineUp) as refused:
        apply_lineup(account_id=desk.account.pk, plan=plan, by=None, now=NOW)

    assert refused.value.facts["errors"] == [str(refused.value)]
    assert "Two: " in str(refused.value)
    assert (Bot.objects.count(), AllocationVersion.objects.count()) == (0, 0)


def test_a_bot_gets_another_strategy(desk: Desk) -> None:
    apply_lineup(account_id=desk.account.pk, plan=plan_of(GOOD), by=None, now=NOW)

    diff = apply_lineup(account_id=desk.account.pk, plan=plan_of({**GOOD, "strategy": "triple_ema"}), by=None, now=NOW)

    assert ("strategy", "mean_reversion", "triple_ema") in diff.steps[0].changes
    assert ("triple_ema.fast", "") in {change[:2] for change in diff.steps[0].changes}
    bot = Bot.objects.get()
    assert (bot.strategy, "fast" in bot.params, "oversold" in bot.params) == ("triple_ema", True, False)


def test_a_strategy_that_needs_two_accounts_is_in_the_way_however_it_comes(desk: Desk) -> None:
    first = plan_of(GOOD)
    apply_lineup(account_id=desk.account.pk, plan=first, by=None, now=NOW)
    sides = {"strategy": "arbitrage", "symbols": ["BTC/USDT", "ETH/USDT"]}

    for bots in ([{**GOOD, **sides}], [GOOD, {**GOOD, **sides, "key": "TWO", "name": "Two"}]):
        with pytest.raises(UnableToLineUp, match="trades one coin on two accounts"):
            apply_lineup(account_id=desk.account.pk, plan=plan_of(*bots), by=None, now=NOW)

    assert [bot.strategy for bot in Bot.objects.all()] == ["mean_reversion"]


def test_one_command_lists_shows_and_applies(desk: Desk) -> None:
    assert "A: MeanReversion 20 %, Sasha-Hybrid-Optimized 20 %" in run("list")
    assert run("diff", "a").count("create") == 5
    assert Bot.objects.count() == 0
    run("apply", "A")
    assert Bot.objects.count() == 5
    assert json.loads(run("diff", "A", "--json"))["is_empty"] is True
    with pytest.raises(CommandError, match="cannot be read"):
        run("apply", "nowhere.json")


def test_a_bot_between_exchanges_wants_the_other_account_or_is_left_out(desk: Desk, tmp_path: Path) -> None:
    plan = {"schema": 1, "bots": [GOOD, {**GOOD, "key": "PAIR", "name": "Pair", "exchanges": ["binance", "elsewhere"]}]}
    file = tmp_path / "pair.json"
    file.write_text(json.dumps(plan))
    assert "In the way: Pair wants an account on elsewhere as well: leave PAIR out" in run("diff", str(file))
    run("apply", str(file), "--without", "PAIR")
    assert [bot.key for bot in Bot.objects.all()] == ["ONE"]
