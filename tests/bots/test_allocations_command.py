"""Shares from the command line."""

from __future__ import annotations

import json
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from tests.bots.conftest import Desk


def run(*words: str) -> str:
    out = StringIO()
    call_command("allocations", *words, stdout=out)
    return out.getvalue()


def facts(*words: str) -> Any:
    return json.loads(run(*words, "--json"))


@pytest.fixture
def bots(desk: Desk) -> Desk:
    for key in ("GRID_TRADING", "TRIPLE_EMA", "EMA_RIBBON"):
        desk.bot(key)
    return desk


def test_three_thirds_are_previewed_with_the_words_that_share_out_all(bots: Desk) -> None:
    shown = run("preview", "grid=33.333", "TripleEMA=33.333", "ema_ribbon=33.333")

    assert "0.001 % stays unallocated. To share out all: GridTrading=33.3334 TripleEma=33.3333 EmaRibbon=33.3333" in shown
    assert facts("show")["version"] == 3


def test_set_lock_rebase_and_roll_back(bots: Desk) -> None:
    run("set", "grid=10", "--lock", "ema_ribbon", "--reserve", "5", "--rebase-hours", "24", "--note", "less grid")
    after = facts("show")
    assert [(row["percent"], row["is_locked"]) for row in after["shares"]] == [
        ("10.0000", False), ("20.0000", False), ("20.0000", True),
    ]  # fmt: skip
    assert (after["policy"]["reserve_percent"], after["policy"]["rebase_hours"]) == ("5.0000", 24)
    assert "GridTrading 20 -> 10 %" in run("versions")
    run("rebase")
    assert "+988.23" in run("rollback", "3", "--preview")
    run("rollback", "3", "--version-seen", "4")
    assert [row["number"] for row in facts("versions")] == [5, 4, 3, 2, 1]


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("set", "grid=-1"), "from 0 to 100"),
        (("set", "grid=nan"), "from 0 to 100"),
        (("set", "grid=90"), "Scaled to fit"),
        (("set", "gird=5"), "Did you mean GridTrading"),
        (("set", "grid=5", "--version-seen", "1"), "changed meanwhile"),
        (("rollback", "99"), "no version 99"),
        (("set", "--reserve", "50"), "50 is all there is beside a reserve"),
        (("set", "--rebase-hours", "-4"), "or 0 for never"),
    ],
)
def test_bad_input_is_refused_with_what_to_do(bots: Desk, words: tuple[str, ...], why: str) -> None:
    with pytest.raises(CommandError, match=why):
        run(*words)
    assert facts("show")["version"] == 3
