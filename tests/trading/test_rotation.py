"""Slots of a week: who has the account when, also where the clock on the wall jumps."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trading.rotation import (
    DAY,
    BotNeeds,
    Policy,
    Rotation,
    Slot,
    Turn,
    check_rotation,
    instant,
    next_switches,
    turn_at,
    turns_ahead,
)
from trading.rotation_text import RotationUnreadable, days_text, parse_rotation, print_rotation

BERLIN = ZoneInfo("Europe/Berlin")
ALL_DAYS = frozenset(range(7))
NEEDS = {name: BotNeeds(bar_minutes=5, warmup_bars=13) for name in ("NIGHT", "MORNING", "NOON", "EVENING")}
FOUR = """
zone Europe/Berlin
daily 00:00-06:00 NIGHT flatten
daily 06:00-12:00 MORNING carry
daily 12:00-18:00 NOON wait 30m
daily 18:00-24:00 EVENING transfer
"""


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("at", "bot", "until"),
    [
        ("2024-01-10 04:59", "NIGHT", "2024-01-10 05:00"),
        ("2024-01-10 05:00", "MORNING", "2024-01-10 11:00"),
        # The night the clock springs forward lasts five hours, the night it falls back seven.
        ("2024-03-31 03:59", "NIGHT", "2024-03-31 04:00"),
        ("2024-03-31 04:00", "MORNING", "2024-03-31 10:00"),
        ("2024-10-26 22:00", "NIGHT", "2024-10-27 05:00"),
        ("2024-10-27 05:00", "MORNING", "2024-10-27 11:00"),
    ],
)
def test_a_slot_keeps_to_the_clock_on_the_wall(at: str, bot: str, until: str) -> None:
    turn = turn_at(parse_rotation(FOUR), utc(at))

    assert (turn.bot, turn.end_at) == (bot, utc(until))


@pytest.mark.fault("G10")
def test_the_next_switches_say_what_becomes_of_holdings() -> None:
    switches = next_switches(parse_rotation(FOUR), utc("2024-10-26 21:00"), 5)

    assert [(switch.at, switch.bot_before, switch.bot_after, switch.policy) for switch in switches] == [
        (utc("2024-10-26 22:00"), "EVENING", "NIGHT", Policy.TRANSFER),
        (utc("2024-10-27 05:00"), "NIGHT", "MORNING", Policy.FLATTEN),
        (utc("2024-10-27 11:00"), "MORNING", "NOON", Policy.CARRY),
        (utc("2024-10-27 17:00"), "NOON", "EVENING", Policy.WAIT),
        (utc("2024-10-27 23:00"), "EVENING", "NIGHT", Policy.TRANSFER),
    ]
    assert switches[3].wait_minutes == 30


@pytest.mark.fault("K03")
def test_a_time_that_the_clock_skips_is_the_moment_of_the_change() -> None:
    skipped = date(2024, 3, 31)

    assert instant(BERLIN, skipped, 2 * 60) == instant(BERLIN, skipped, 2 * 60 + 30) == utc("2024-03-31 01:00")
    assert instant(BERLIN, skipped, 3 * 60) == utc("2024-03-31 01:00")


@pytest.mark.fault("K03", "G10")
def test_a_slot_that_the_clock_skips_whole_is_nobodys_for_that_day() -> None:
    rotation = parse_rotation("zone Europe/Berlin\ndaily 02:00-03:00 NOON\ndaily 03:00-02:00 NIGHT\n")

    assert turn_at(rotation, utc("2024-03-31 01:00")).bot == "NIGHT"
    assert [switch.at for switch in next_switches(rotation, utc("2024-03-30 03:00"), 1)] == [utc("2024-04-01 00:00")]
    assert turn_at(rotation, utc("2024-10-27 01:59")).bot == "NOON", "the hour that comes twice is one slot"


def test_a_bot_with_the_whole_week_never_hands_over() -> None:
    rotation = parse_rotation("daily 00:00-12:00 NOON carry\ndaily 12:00-24:00 NOON flatten\n")

    assert turn_at(rotation, utc("2024-05-05 12:00")).end_at is None
    assert next_switches(rotation, utc("2024-05-05 12:00"), 5) == []


def test_a_gap_is_nobodys_turn() -> None:
    rotation = parse_rotation("gaps idle\nmon-fri 08:00-16:00 NOON carry\n")
    friday = next_switches(rotation, utc("2024-06-07 12:00"), 2)

    assert [(switch.at, switch.bot_after) for switch in friday] == [
        (utc("2024-06-07 16:00"), ""),
        (utc("2024-06-10 08:00"), "NOON"),
    ]
    assert turn_at(rotation, utc("2024-06-08 00:00")) == Turn(
        bot="", begin_at=utc("2024-06-07 16:00"), end_at=utc("2024-06-10 08:00")
    )


@pytest.mark.parametrize(
    ("text", "codes"),
    [
        (FOUR, []),
        ("daily 00:00-12:00 NOON\n", ["ROTATION_GAP"]),
        ("gaps idle\ndaily 00:00-12:00 NOON\n", []),
        ("daily 00:00-13:00 NOON\ndaily 12:00-24:00 NIGHT\n", ["ROTATION_OVERLAP"]),
        ("gaps idle\ndaily 22:00-02:00 NIGHT\nmon 01:00-03:00 NOON\n", ["ROTATION_OVERLAP"]),
        ("gaps idle\nsun 23:00-01:00 NIGHT\nmon 00:30-03:00 NOON\n", ["ROTATION_OVERLAP"]),
        ("daily 00:00-12:00 NOON\ndaily 12:00-24:00 NOBODY\n", ["ROTATION_BOT_UNKNOWN"]),
        ("gaps idle\ndaily 00:00-00:09 NOON\n", ["ROTATION_SLOT_TOO_SHORT"]),
        ("gaps idle\ndaily 00:00-01:00 NOON\n", ["ROTATION_WARM_UP_LONGER"]),
        ("daily 00:00-01:00 NOON\ndaily 01:00-24:00 NIGHT wait 1h\n", ["ROTATION_WARM_UP_LONGER", "ROTATION_WAIT_TOO_LONG"]),
        ("daily 00:00-24:00 idle\n", ["ROTATION_EMPTY"]),
        ("", ["ROTATION_EMPTY"]),
    ],
)
def test_a_rotation_is_refused_or_explained(text: str, codes: list[str]) -> None:
    assert [finding.code for finding in check_rotation(parse_rotation(text), NEEDS)] == codes


def test_only_the_word_about_warm_up_is_no_refusal() -> None:
    findings = check_rotation(parse_rotation("gaps idle\ndaily 00:00-01:00 NOON\n"), NEEDS)

    assert [finding.is_refusal for finding in findings] == [False]


@pytest.mark.parametrize(
    ("slot", "code"),
    [
        (Slot(days=frozenset(), begin_minute=0, end_minute=60, bot="NOON"), "ROTATION_TIME_BAD"),
        (Slot(days=frozenset({9}), begin_minute=0, end_minute=60, bot="NOON"), "ROTATION_TIME_BAD"),
        (Slot(days=ALL_DAYS, begin_minute=60, end_minute=60, bot="NOON"), "ROTATION_TIME_BAD"),
        (Slot(days=ALL_DAYS, begin_minute=-1, end_minute=60, bot="NOON"), "ROTATION_TIME_BAD"),
        (Slot(days=ALL_DAYS, begin_minute=0, end_minute=DAY, bot="NOON", policy=Policy.WAIT), "ROTATION_WAIT_BAD"),
        (Slot(days=ALL_DAYS, begin_minute=0, end_minute=DAY, bot="NOON", wait_minutes=5), "ROTATION_WAIT_BAD"),
    ],
)
def test_a_slot_that_makes_no_sense_is_refused(slot: Slot, code: str) -> None:
    assert [finding.code for finding in check_rotation(Rotation(zone="UTC", slots=(slot,)), NEEDS)] == [code]


def test_an_unknown_zone_is_refused() -> None:
    rotation = Rotation(zone="Mars/Olympus", slots=(Slot(days=ALL_DAYS, begin_minute=0, end_minute=DAY, bot="NOON"),))

    assert [finding.code for finding in check_rotation(rotation, NEEDS)] == ["ROTATION_ZONE_UNKNOWN"]


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("zone Europe/Berlim", "Europe/Berlin"),
        ("zone ../etc/passwd", "no time zone"),
        ("daily 00:00-12:00", "days, times and bot"),
        ("daily 00:00-25:00 NOON", "no time of day"),
        ("daily 00:60-01:00 NOON", "no time of day"),
        ("daily noon NOON", "08:00-14:00"),
        ("mon-fry 00:00-12:00 NOON", "fri"),
        ("daily 00:00-12:00 NOON flaten", "flatten"),
        ("daily 00:00-12:00 NOON wait", "wait 30m"),
        ("daily 00:00-12:00 NOON wait 0m", "wait 30m"),
        ("daily 00:00-12:00 NOON carry 30m", "means nothing"),
        ("daily 00:00-12:00 idle flatten", "no policy"),
        ("gaps trade", "gaps idle"),
        ("x" * 300, "200 characters"),
    ],
)
def test_a_line_that_cannot_be_read_says_which_and_how(text: str, hint: str) -> None:
    with pytest.raises(RotationUnreadable, match="Line 2") as refused:
        parse_rotation(f"# the desk's week\n{text}\n")

    assert hint in str(refused.value)


def test_days_are_written_as_people_say_them() -> None:
    assert [days_text(frozenset(days)) for days in (range(7), range(5), (0, 2, 3), (6,))] == [
        "daily",
        "mon-fri",
        "mon,wed-thu",
        "sun",
    ]
    assert parse_rotation("sat-mon 00:00-12:00 NOON").slots[0].days == {5, 6, 0}


SLOTS = st.builds(
    lambda days, begin, length, bot, ending: Slot(
        days=days,
        begin_minute=begin,
        end_minute=(begin + length - 1) % DAY + 1,
        bot=bot,
        policy=ending[0] if bot else Policy.FLATTEN,
        wait_minutes=ending[1] if bot else 0,
    ),
    days=st.frozensets(st.integers(0, 6), min_size=1),
    begin=st.integers(0, DAY - 1),
    length=st.integers(1, DAY - 1),
    bot=st.sampled_from(["", "NIGHT", "NOON"]),
    ending=st.sampled_from([(Policy.FLATTEN, 0), (Policy.CARRY, 0), (Policy.TRANSFER, 0), (Policy.WAIT, 90)]),
)
ZONES = st.sampled_from(["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu"])


@given(zone=ZONES, slots=st.lists(SLOTS, max_size=6), is_gap_idle=st.booleans())
def test_what_is_written_is_read_back(zone: str, slots: list[Slot], is_gap_idle: bool) -> None:
    rotation = Rotation(zone=zone, slots=tuple(slots), is_gap_idle=is_gap_idle)

    assert parse_rotation(print_rotation(rotation)) == rotation


@given(
    zone=ZONES,
    cuts=st.lists(st.integers(1, DAY - 1), min_size=1, max_size=5, unique=True),
    at=st.integers(0, 700 * DAY),
)
@settings(max_examples=60, deadline=None)
def test_every_moment_has_exactly_one_turn(zone: str, cuts: list[int], at: int) -> None:
    """A partition of the day stays one, whatever the clock on the wall does; a turn follows the other without a hole."""
    edges = sorted(cuts)
    slots = tuple(
        Slot(days=ALL_DAYS, begin_minute=begin, end_minute=end, bot=f"BOT{number}")
        for number, (begin, end) in enumerate(
            pairwise([*edges, edges[0]]) if len(edges) > 1 else [(0, edges[0]), (edges[0], DAY)]
        )
    )
    rotation = Rotation(zone=zone, slots=slots)
    moment = utc("2024-01-01 00:00") + timedelta(minutes=at)
    turn = turn_at(rotation, moment)
    assert turn.begin_at <= moment
    for switch in next_switches(rotation, moment, 8):
        assert turn.end_at == switch.at > moment
        assert turn_at(rotation, switch.at - timedelta(seconds=1)).bot == turn.bot == switch.bot_before
        turn = turn_at(rotation, switch.at)
        assert turn.begin_at == switch.at
        # On the wall it is the time that the slot says, or the clock has just jumped over it.
        begins = {slot.begin_minute for slot in slots}
        local = switch.at.astimezone(ZoneInfo(zone))
        jumped = local.utcoffset() != (switch.at - timedelta(seconds=1)).astimezone(ZoneInfo(zone)).utcoffset()
        assert local.hour * 60 + local.minute in begins or jumped


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin"])
def test_turns_ahead_are_those_that_are_answered_one_by_one(zone: str) -> None:
    """From any moment on, over both changes of the clock."""
    rotation = parse_rotation(
        f"zone {zone}\ngaps idle\ndaily 23:00-02:30 A carry\ndaily 02:30-09:00 B wait 30m\nsun 12:00-14:00 A flatten"
    )
    moment = datetime(2024, 3, 1, tzinfo=UTC)
    while moment < datetime(2024, 11, 10, tzinfo=UTC):
        ahead = turns_ahead(rotation, moment)
        assert len(ahead) > 20
        at = moment
        for turn in ahead:
            assert turn == turn_at(rotation, at)
            assert turn.end_at is not None
            at = turn.end_at
        moment += timedelta(days=5, hours=7, minutes=11)
