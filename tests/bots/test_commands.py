from __future__ import annotations

import json
import re
from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from bots.models import Bot
from tests.bots.conftest import Desk
from tests.bots.pair_of_bots import Two, two

__all__ = ["two"]


def run(*words: str) -> str:
    out = StringIO()
    call_command(*words, stdout=out)
    return out.getvalue()


def test_bots_are_listed_for_people_and_for_scripts(desk: Desk) -> None:
    desk.bot("FIRST")

    assert run("bots", "list").split() == ["First", "running", "mean_reversion", "BTC/USDT", "5m"]
    (row,) = json.loads(run("bots", "--json", "list"))
    assert (row["key"], row["status"], row["symbols"]) == ("FIRST", "running", ["BTC/USDT"])
    assert json.loads(run("bots", "list", "--json")) == [row]


def test_bots_are_operated_by_any_of_their_names(desk: Desk) -> None:
    bot = desk.bot("FIRST")

    for word, status in (("pause", "paused"), ("resume", "running"), ("stop", "stopped")):
        run("bots", word, "first")
        bot.refresh_from_db()
        assert bot.status == status


def test_an_unknown_bot_is_named_with_the_known_ones(desk: Desk) -> None:
    desk.bot("FIRST")

    with pytest.raises(CommandError, match=re.escape("Unknown bot 'frist'. Did you mean First? Known: First.")):
        run("bots", "stop", "frist")


def test_the_shipped_line_up_is_created_with_one_command(desk: Desk) -> None:
    assert run("bots", "create").count("stopped") == 5
    assert run("bots", "create").count("stopped") == 5
    assert [bot.rank for bot in Bot.objects.all()] == [1, 2, 3, 4, 5]


def test_shares_are_shown_and_set(desk: Desk) -> None:
    desk.bot("FIRST")
    desk.bot("SECOND")

    said = json.loads(run("mode", "percentage", "First=25", "Second=15", "--json"))

    assert said["mode"] == "percentage"
    assert [(row["bot"], row["percent"], row["allocation"]) for row in said["bots"]] == [
        ("First", "25", "2470.57"),
        ("Second", "15", "1482.34"),
    ]
    assert "First" in run("mode", "show")


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("percentage", "First=101"), "from 0 to 100"),
        (("percentage", "First=-1"), "from 0 to 100"),
        (("percentage", "Frist=1"), "Did you mean First"),
        (("percentage",), "Say the shares"),
        (("rotation",), "Say the file"),
        (("rotation", "nowhere.txt"), "cannot be read"),
        (("single",), "Say which bot"),
        (("single", "Frist"), "Did you mean First"),
        (("single", "First", "--policy", "flaten"), "did you mean flatten"),
        (("single", "First", "--policy", "wait"), "wait 30m"),
        (("single", "First", "--budget", "much"), "amount in quote"),
        (("subaccounts",), "open some first"),
    ],
)
def test_impossible_modes_are_refused(desk: Desk, words: tuple[str, ...], why: str) -> None:
    desk.bot("FIRST")

    with pytest.raises(CommandError, match=why):
        run("mode", *words)


def test_shares_that_with_the_others_pass_the_whole_are_refused(desk: Desk) -> None:
    desk.bot("FIRST")
    desk.bot("SECOND")

    with pytest.raises(CommandError, match="100"):
        run("mode", "percentage", "First=85")


def test_without_an_account_the_command_says_how_to_get_one(db: None) -> None:
    with pytest.raises(CommandError, match="up"):
        run("bots", "list")


def test_a_pair_is_made_with_one_command_that_says_what_comes_next(two: Two) -> None:
    near, far = (str(desk.account.pk) for desk in two.sides)
    words = ["bots", "pair", "--account", near, "--far-account", far, "--symbol", "btc-usdt", "--params", '{"share": 0.3}']
    said = run(*words)

    leader, follower = Bot.objects.order_by("id")
    assert (follower.leader, leader.status, leader.interval, leader.params["share"]) == (leader, "stopped", "5m", 0.3)
    assert f"allocations --account {near} set ARBITRAGE=20" in said
    assert f"allocations --account {far} set ARBITRAGE=20" in said
    assert f"bots --account {near} start ARBITRAGE" in said
    # What it says works.
    for desk in two.sides:
        desk.close_bars([40_000.0])
    for account in (near, far):
        run("allocations", "--account", account, "set", "ARBITRAGE=20")
    run("bots", "--account", near, "start", "ARBITRAGE")
    assert set(Bot.objects.values_list("status", flat=True)) == {"running"}
    rows = json.loads(run(*words, "--json"))
    assert [(row["bot_id"], row["account"]) for row in rows] == [(leader.pk, "demo"), (follower.pk, "far")]


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["--params", "{"], "not JSON"),
        (["--params", "[]"], "as a JSON object"),
        (["--params", '{"shares": 1}'], "Did you mean 'share'"),
        (["--symbol", "BTC/USDC"], "Did you mean BTC/USDT"),
        (["--interval", "5min"], "Did you mean 5m"),
        (["--far-account", "999999"], "does not exist"),
    ],
)
def test_a_pair_that_cannot_be_is_refused_in_words(two: Two, words: list[str], why: str) -> None:
    near, far = (str(desk.account.pk) for desk in two.sides)
    with pytest.raises(CommandError, match=re.escape(why)):
        run("bots", "pair", "--account", near, "--far-account", far, "--symbol", "BTC/USDT", *words)
    assert not Bot.objects.exists()


def test_of_two_accounts_one_has_to_be_named(two: Two) -> None:
    with pytest.raises(CommandError, match="Say which account"):
        run("bots", "pair", "--far-account", str(two.far.account.pk), "--symbol", "BTC/USDT")
