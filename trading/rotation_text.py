"""A rotation as a person writes it, line by line; what is written is read back to the same rotation."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Final, NoReturn
from zoneinfo import available_timezones

from trading.rotation import DAY, DAY_NAMES, IDLE, Policy, Rotation, Slot, clock_text, is_zone

IDLE_WORD: Final = "idle"
_GROUPS: Final = {"daily": range(7), "weekdays": range(5), "weekend": range(5, 7)}
_TIMES: Final = re.compile(r"(\d{1,2}):(\d{2})-(\d{1,2}):(\d{2})")
_WAIT: Final = re.compile(r"(\d{1,4})(m|h)")
_LINE_LENGTH_MAX: Final = 200
_LINES_MAX: Final = 500


class RotationUnreadable(Exception):
    """Raised when a line cannot be read; carries a reason code."""

    def __init__(self, line: int, message: str) -> None:
        super().__init__(f"Line {line}: {message}")
        self.code = "ROTATION_UNREADABLE"
        self.line = line


@dataclass(slots=True)
class _Draft:
    """What has been read so far."""

    slots: list[Slot]
    zone: str = "UTC"
    is_gap_idle: bool = False


def parse_rotation(text: str) -> Rotation:
    """Read lines such as `mon-fri 08:00-14:00 GRID_TRADING wait 30m`; `#` begins a comment."""
    draft = _Draft([])
    lines = text.splitlines()
    if len(lines) > _LINES_MAX:
        raise RotationUnreadable(_LINES_MAX + 1, f"a rotation has at most {_LINES_MAX} lines.")
    for number, line in enumerate(lines, start=1):
        if len(line) > _LINE_LENGTH_MAX:
            raise RotationUnreadable(number, f"a line has at most {_LINE_LENGTH_MAX} characters.")
        words = line.partition("#")[0].split()
        if words:
            _read_line(draft, words, number)
    return Rotation(zone=draft.zone, slots=tuple(draft.slots), is_gap_idle=draft.is_gap_idle)


def print_rotation(rotation: Rotation) -> str:
    """Write a rotation as `parse_rotation` reads it."""
    lines = [f"zone {rotation.zone}"]
    if rotation.is_gap_idle:
        lines.append("gaps idle")
    lines += [_slot_text(slot) for slot in rotation.slots]
    return "\n".join(lines) + "\n"


def days_text(days: frozenset[int]) -> str:
    """Write days of the week, neighbours as a range."""
    if days == frozenset(range(7)):
        return "daily"
    parts, run = [], list[int]()
    for day in [*sorted(days), 99]:
        if run and day != run[-1] + 1:
            parts.append(DAY_NAMES[run[0]] if len(run) == 1 else f"{DAY_NAMES[run[0]]}-{DAY_NAMES[run[-1]]}")
            run = []
        run.append(day)
    return ",".join(parts)


def parse_policy(words: Sequence[str], line: int = 1) -> tuple[Policy, int]:
    """Read what becomes of holdings: nothing said means flatten; `wait` needs a time such as 30m or 2h."""
    if not words:
        return Policy.FLATTEN, 0
    try:
        policy = Policy(words[0].lower())
    except ValueError:
        _refuse(line, f"{words[0]!r} is no hand-over policy", words[0].lower(), [str(policy) for policy in Policy])
    found = _WAIT.fullmatch("".join(words[1:]).lower())
    if policy == Policy.WAIT:
        if found is None or not int(found[1]):
            raise RotationUnreadable(line, "say how long to wait before selling, for example `wait 30m`.")
        return policy, int(found[1]) * (60 if found[2] == "h" else 1)
    if words[1:]:
        raise RotationUnreadable(line, f"{' '.join(words[1:])!r} after the policy {policy} means nothing.")
    return policy, 0


def _read_line(draft: _Draft, words: list[str], number: int) -> None:
    first = words[0].lower()
    if first == "zone":
        if len(words) != 2 or not is_zone(words[1]):
            _refuse(number, f"there is no time zone {' '.join(words[1:])!r}", " ".join(words[1:]), sorted(available_timezones()))
        draft.zone = words[1]
    elif first == "gaps":
        if words[1:] != [IDLE_WORD]:
            raise RotationUnreadable(number, "only `gaps idle` can be said of gaps.")
        draft.is_gap_idle = True
    else:
        draft.slots.append(_read_slot(words, number))


def _read_slot(words: list[str], number: int) -> Slot:
    if len(words) < 3:
        raise RotationUnreadable(number, "a slot is written as days, times and bot: `mon-fri 08:00-14:00 GRID_TRADING flatten`.")
    found = _TIMES.fullmatch(words[1])
    if found is None:
        raise RotationUnreadable(number, f"times are written as 08:00-14:00, not {words[1]!r}.")
    begin, end = (_minute(found[place], found[place + 1], number) for place in (1, 3))
    bot = IDLE if words[2].lower() == IDLE_WORD else words[2]
    if not bot and words[3:]:
        raise RotationUnreadable(number, "nobody holds anything in an idle slot: it has no policy.")
    policy, wait_minutes = parse_policy(words[3:], number)
    return Slot(
        days=_days(words[0].lower(), number),
        begin_minute=begin % DAY,
        end_minute=end or DAY,
        bot=bot,
        policy=policy,
        wait_minutes=wait_minutes,
    )


def _minute(hours: str, minutes: str, number: int) -> int:
    minute = int(hours) * 60 + int(minutes)
    if int(minutes) > 59 or minute > DAY:
        raise RotationUnreadable(number, f"{hours}:{minutes} is no time of day.")
    return minute


def _days(text: str, number: int) -> frozenset[int]:
    days: set[int] = set()
    for part in text.split(","):
        if part in _GROUPS:
            days |= set(_GROUPS[part])
            continue
        first, _, last = part.partition("-")
        for name in (first, last or first):
            if name not in DAY_NAMES:
                _refuse(number, f"{name!r} is no day of the week", name, [*DAY_NAMES, *_GROUPS])
        begin, end = DAY_NAMES.index(first), DAY_NAMES.index(last or first)
        # From Saturday to Monday goes over Sunday.
        days |= {day % 7 for day in range(begin, end + 1 if end >= begin else end + 8)}
    return frozenset(days)


def _slot_text(slot: Slot) -> str:
    words = [days_text(slot.days), f"{clock_text(slot.begin_minute)}-{clock_text(slot.end_minute)}", slot.bot or IDLE_WORD]
    if slot.bot:
        words.append(str(slot.policy))
        if slot.policy == Policy.WAIT:
            words.append(f"{slot.wait_minutes}m")
    return " ".join(words)


def _refuse(line: int, message: str, word: str, known: Sequence[str]) -> NoReturn:
    close = get_close_matches(word, known, n=1, cutoff=0.5)
    raise RotationUnreadable(line, f"{message}{f'; did you mean {close[0]}?' if close else '.'}")
