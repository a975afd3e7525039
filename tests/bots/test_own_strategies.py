"""Strategies of one's own trade live like shipped ones, and whatever they do wrong stops their own bot alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.test import Client

from bots import jobs, services
from bots.gates import checklists
from bots.models import Bot, BotState
from bots.selectors import indicators
from bots.services import UnableToOperate
from portfolio.models import DecisionRecord
from strategies import registry, sources
from strategies.sources import BrokenStrategy
from tests.bots.conftest import NOW, Desk, clock, quiet
from tests.plugins.own import quick, write

EAGER: dict[str, Any] = {"regime_filter": False, "cost_gate": 0.0, "oversold": 45.0, "stop_share": 0.05}
RISE = [100.0, 101.0, 103.0]


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A folder with one strategy, registered with little patience."""
    place = tmp_path / "strategies"
    write(place)
    opened, before = quick(place), sources.get()
    sources.register(lambda: opened)
    yield place
    sources.register(lambda: before)
    opened.close()


def said() -> list[tuple[Any, ...]]:
    """Answer what the bots decided."""
    rows = DecisionRecord.objects.order_by("book__name", "bar_closed_at", "leg")
    return list(rows.values_list("book__name", "bar_closed_at", "action", "reason", "facts", "denial"))


def close(desk: Desk, closes: list[float]) -> None:
    for price in closes:
        desk.close_bars([price])
        jobs.advance_account(account_id=desk.account.pk, clock=clock)


def test_it_trades_beside_a_shipped_one(desk: Desk, folder: Path) -> None:
    desk.bot("OWN", "mine", period=20)
    desk.bot("SHIPPED", **EAGER)
    desk.history(quiet)
    close(desk, RISE)

    own = [row for row in said() if row[0] == "Own"]
    assert {row[2] for row in own} >= {"enter"}
    assert all({"close", "average"} <= set(row[4]) for row in own)
    assert DecisionRecord.objects.filter(book__name="Own").first().strategy_hash == registry.definition("mine").source_hash  # type: ignore[union-attr]
    # What a strategy of one's own says is told with what the shipped one says, of the same candles.
    assert len({row[1] for row in own}) == len({row[1] for row in said() if row[0] == "Shipped"}) == len(RISE)


HOSTILE = {
    "raises": "wrong = {}['this']",
    "loops": "exec('while True: pass')",
    "sleeps": "import time; time.sleep(60)",
    "hoards": "hoard = bytearray(8 << 30)",
    "leaves": "import os; os._exit(0)",
    "crashes": "import ctypes; ctypes.string_at(0)",
    "rambles": "return 10**6",
    "invents": "decisions['kind'] = 77; decisions['reason'] = 29; return 1",
    "strays": "decisions['kind'] = 1; decisions['reason'] = 29; decisions['symbol'] = 9; return 1",
    "forges": "import sys; sys.modules['plugins.wire'].step_answer = lambda *a: b'+' + bytes(99)",
    "floods": "import sys; sys.modules['plugins.wire'].step_answer = lambda *a: bytes(1 << 20)",
    "hangs up": "import os; os.closerange(3, 99)",
}


@pytest.mark.fault("P09")
def test_hostile_ones_stop_their_own_bots_and_change_nothing_for_the_others(desk: Desk, folder: Path) -> None:
    """T63, in small."""
    desk.bot("SHIPPED", **EAGER)
    desk.history(quiet)
    close(desk, RISE[:1])
    alone = said()
    bots = {}
    for number, (what, line) in enumerate(HOSTILE.items()):
        write(folder, f"hostile_{number}")
        planned = desk.plan(f"HOSTILE_{number}", f"hostile_{number}")
        bots[what] = services.create_bot(account_id=desk.account.pk, planned=planned, by=None, now=NOW)
        # It waits for its moment: a bot that trades already.
        write(folder, f"hostile_{number}", f"if panel[3, 0, i] > 100.5: {line}")
        services.start_bot(bot_id=bots[what].pk, by=None, now=NOW, market_at=desk.market_at)
    desk.history(quiet)
    close(desk, RISE[1:])

    reasons = {what: Bot.objects.get(pk=bot.pk).status_reason for what, bot in bots.items()}
    assert {
        what for what, reason in reasons.items() if not reason.startswith("STRATEGY_ERROR: BrokenStrategy: hostile_")
    } == set()
    assert Bot.objects.get(key="SHIPPED").status == Bot.Status.RUNNING
    assert [row for row in said() if row[0] == "Shipped"][: len(alone)] == alone
    assert len({row[1] for row in said() if row[0] == "Shipped"}) == len(RISE)


def test_an_edited_file_halts_the_bot_until_a_person_starts_it_again(desk: Desk, folder: Path) -> None:
    bot = desk.bot("OWN", "mine")
    desk.history(quiet)
    close(desk, RISE[:1])
    write(folder, "mine", "pass")
    close(desk, RISE[1:2])

    bot.refresh_from_db()
    assert (bot.status, bot.status_reason.partition(":")[0]) == (Bot.Status.HALTED, "STRATEGY_CHANGED")
    services.start_bot(bot_id=bot.pk, by=None, now=NOW)
    close(desk, RISE[2:])
    bot.refresh_from_db()
    assert bot.status == Bot.Status.RUNNING


def test_a_file_that_is_gone_halts_the_bot_and_every_page_says_so(desk: Desk, folder: Path) -> None:
    bot = desk.bot("OWN", "mine")
    desk.history(quiet)
    close(desk, RISE[:1])
    (folder / "mine.py").unlink()
    close(desk, RISE[1:2])

    bot.refresh_from_db()
    assert bot.status_reason.startswith("STRATEGY_ERROR: UnknownStrategy: Unknown strategy 'mine'")
    (mine,) = checklists(desk.account.pk, now=NOW)
    assert {gate.code for gate in mine.gates if gate.name == "strategy"} == {"STRATEGY_ERROR"}
    with pytest.raises(UnableToOperate, match="cannot start: Unknown strategy 'mine'"):
        services.start_bot(bot_id=bot.pk, by=None, now=NOW)
    client = Client()
    client.force_login(User.objects.create_superuser("owner"))
    for page in (f"/bots/{bot.pk}/", "/coordinator/", "/modes/", "/allocation/", "/trials/", "/backtests/"):
        assert client.get(page).status_code == 200, page
    for path in (f"bots/{bot.pk}", f"bots/{bot.pk}/results", f"bots/{bot.pk}/checklist", "strategies"):
        assert client.get(f"/api/v1/{path}").status_code in (200, 404), path
    answer = client.get(f"/api/v1/bots/{bot.pk}/indicators")
    assert (answer.status_code, answer.json()["code"]) == (409, "STRATEGY_ERROR")


def test_the_list_of_strategies_says_which_one_cannot_be_run(desk: Desk, folder: Path) -> None:
    write(folder, "broken", head="import nothing_of_this_name\n")
    client = Client()
    client.force_login(User.objects.create_superuser("owner"))
    told = {row["name"]: row for row in client.get("/api/v1/strategies").json()["items"]}

    assert (told["mine"]["is_own"], told["mine"]["trouble"], told["mine"]["params"]["period"]["default"]) == (True, "", 50)
    assert told["broken"]["trouble"].startswith("broken.py:1: ModuleNotFoundError")
    assert (told["grid"]["is_own"], told["grid"]["trouble"]) == (False, "")


def test_a_broken_one_gets_no_bot(desk: Desk, folder: Path, tmp_path: Path) -> None:
    write(folder, "broken", head="import nothing_of_this_name\n")

    with pytest.raises(BrokenStrategy, match=r"broken\.py:1: ModuleNotFoundError"):
        services.create_bot(account_id=desk.account.pk, planned=desk.plan("BROKEN", "broken"), by=None, now=NOW)
    plan = tmp_path / "plan.json"
    plan.write_text(
        '{"name": "mine", "bots": [{"key": "BROKEN", "name": "Broken", "strategy": "broken", "symbols": ["BTC/USDT"], '
        '"interval": "5m", "percent": "20", "position_cap_percent": "10"}]}'
    )
    with pytest.raises(CommandError, match=r"broken\.py:1: ModuleNotFoundError"):
        call_command("bots", "create", "--plan", str(plan))
    assert not Bot.objects.exists()


def test_its_chart_shows_what_it_plots(desk: Desk, folder: Path) -> None:
    bot = desk.bot("OWN", "mine")
    desk.history(quiet, bars=1500)
    close(desk, RISE)
    bot.refresh_from_db()

    lines = indicators(bot, bars=10).lines
    assert [plot.label for plot in lines] == ["Average"]
    assert BotState.objects.filter(bot=bot).exists()


def test_what_its_chart_asks_for_must_be_in_its_state(desk: Desk, folder: Path) -> None:
    path = write(folder, "plotted")
    path.write_text(path.read_text().replace('Plot("Average", "average")', 'Plot("Average", "mean")'))
    bot = desk.bot("OWN", "plotted")

    with pytest.raises(BrokenStrategy, match="a plot shows 'mean', which its state does not have"):
        indicators(bot, bars=10)
