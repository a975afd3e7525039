"""Modes in the words of operators: commands, previews, and a week written down."""

from __future__ import annotations

import json
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from bots import selectors, services
from bots.services import Wish
from portfolio.models import Account, AuditEntry, ModeVersion
from portfolio.services.modes import UnableToSwitch
from tests.bots.conftest import NOW, Desk
from trading.rotation import turn_at
from trading.rotation_text import parse_rotation

WEEK = """
zone Europe/Berlin
daily 00:00-12:00 First carry
daily 12:00-24:00 second wait 30m   # the afternoon
"""


@pytest.fixture
def pair(desk: Desk) -> Desk:
    desk.bot("FIRST")
    desk.bot("SECOND", symbol="ETH/USDT")
    Account.objects.filter(pk=desk.account.pk).update(synced_through_at=desk.market_at)
    return desk


def run(*words: str) -> str:
    out = StringIO()
    call_command(*words, stdout=out)
    return out.getvalue()


def shown() -> dict[str, Any]:
    said: dict[str, Any] = json.loads(run("mode", "show", "--json"))
    return said


def test_single_mode_is_one_command(pair: Desk) -> None:
    said = run("mode", "single", "second", "--budget", "1000", "--policy", "carry", "--reason", "a quiet week")

    assert "Trading now: Second" in said
    facts = shown()
    assert (facts["mode"], facts["active"], facts["budget"]) == ("single", ["Second"], "1000.000000000000000000")
    assert [row["allocation"] for row in facts["bots"]] == ["0", "1000"]
    entry = AuditEntry.objects.get(action="mode.set")
    assert (entry.after["mode"], entry.after["reason"]) == ("single", "a quiet week")


def test_a_week_is_a_file(pair: Desk, tmp_path: Path) -> None:
    week = tmp_path / "week.txt"
    week.write_text(WEEK, encoding="utf-8")
    said = run("mode", "rotation", str(week))

    assert "Trading now: First" in said
    facts = shown()
    assert [switch["after"] for switch in facts["switches"]] == ["Second", "First", "Second", "First", "Second"]
    assert facts["switches"][0]["at"] == "2024-03-01T11:00:00Z"
    assert facts["switches"][0]["local"] == "Fri 2024-03-01 12:00"
    again = tmp_path / "again.txt"
    again.write_text(facts["rotation"], encoding="utf-8")
    run("mode", "rotation", str(again))
    assert ModeVersion.objects.count() == 1, "what the command prints is what it reads"


def test_a_preview_changes_nothing(pair: Desk) -> None:
    assert "Would trade: Second" in run("mode", "single", "SECOND", "--preview")
    assert Account.objects.get(pk=pair.account.pk).allocation_mode == "percentage"


def test_percentages_come_back_with_new_shares_in_one_command(pair: Desk) -> None:
    run("mode", "single", "First")
    said = json.loads(run("mode", "percentage", "First=30", "Second=10", "--json"))

    assert (said["mode"], [row["percent"] for row in said["bots"]]) == ("percentage", ["30", "10"])


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("daily 00:00-12:00 First", "ROTATION_GAP"),
        ("daily 00:00-13:00 First\ndaily 12:00-24:00 Second", "ROTATION_OVERLAP"),
        ("daily 00:00-12:00 Frist", "BOT_UNKNOWN"),
        ("daily 00:00-12:00", "ROTATION_UNREADABLE"),
        ("gaps idle\ndaily 00:00-00:07 First", "ROTATION_SLOT_TOO_SHORT"),
    ],
)
def test_a_week_that_cannot_be_is_refused(pair: Desk, text: str, code: str) -> None:
    with pytest.raises(UnableToSwitch) as refused:
        services.switch_mode(account_id=pair.account.pk, wish=Wish(mode="rotation", rotation=text), by=None, now=NOW)

    assert refused.value.code == code
    assert not ModeVersion.objects.exists()


def test_an_account_without_market_time_is_told_so(desk: Desk) -> None:
    desk.bot("FIRST")
    Account.objects.filter(pk=desk.account.pk).update(synced_through_at=None)
    desk.market.market_time_at = None
    desk.market.save()

    with pytest.raises(CommandError, match="no market time yet"):
        run("mode", "single", "First")


def test_an_even_rotation_gives_everybody_the_same_part_of_the_day(pair: Desk) -> None:
    rotation = parse_rotation(services.even_rotation(list(selectors.bots(pair.account.pk))))

    assert [(slot.bot, slot.minutes) for slot in rotation.slots] == [("FIRST", 720), ("SECOND", 720)]
    assert turn_at(rotation, pair.market_at).bot == "FIRST"
