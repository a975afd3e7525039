"""Who has the account at which moment: slots of a week in the time of one place, and the instants at which they change."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

DAY: Final = 24 * 60
WEEK: Final = 7 * DAY
DAY_NAMES: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
# Nobody's slot.
IDLE: Final = ""
# A rotation whose slots are all one bot's never changes: so far ahead is looked.
_DAYS_AHEAD: Final = 16
_SECOND: Final = timedelta(seconds=1)


class Policy(StrEnum):
    """What becomes of what a bot holds when its time is over."""

    FLATTEN = "flatten"
    CARRY = "carry"
    TRANSFER = "transfer"
    WAIT = "wait"


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """A time of day on some days of the week; an end that is not after its begin is on the next day."""

    days: frozenset[int]
    begin_minute: int
    end_minute: int
    bot: str
    policy: Policy = Policy.FLATTEN
    # How long a bot that waits for flat may take before it is sold out.
    wait_minutes: int = 0

    @property
    def minutes(self) -> int:
        """Answer how long the slot is by the clock on the wall."""
        return self.end_minute - self.begin_minute + (DAY if self.end_minute <= self.begin_minute else 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rotation:
    """The slots of a week in one time zone; where none is, nobody trades if that is said, else the rotation is refused."""

    zone: str
    slots: tuple[Slot, ...]
    is_gap_idle: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """A stretch of time that belongs to one bot, or to nobody; no end where it never changes."""

    bot: str
    begin_at: datetime
    end_at: datetime | None
    policy: Policy = Policy.FLATTEN
    wait_minutes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Switch:
    """A moment at which the account passes from one bot to another, and what becomes of what the first holds."""

    at: datetime
    bot_before: str
    bot_after: str
    policy: Policy
    wait_minutes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BotNeeds:
    """What a bot asks of its slots: candles of some length, and so many of them before it knows anything."""

    bar_minutes: int
    warmup_bars: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Something about a rotation: a refusal, or a word of warning."""

    code: str
    message: str
    is_refusal: bool = True
    slots: tuple[int, ...] = field(default=())


def turn_at(rotation: Rotation, at: datetime) -> Turn:
    """Answer whose turn it is at a moment; a begin is part of the turn, an end is not."""
    for turn in _turns_from(rotation, (at - timedelta(days=9)).astimezone(ZoneInfo(rotation.zone)).date()):
        if turn.end_at is None or turn.end_at > at:
            return turn
    raise AssertionError("The last turn has no end")


def turns_ahead(rotation: Rotation, at: datetime) -> list[Turn]:
    """Answer the turns from that of a moment on, as `turn_at` answers them, as far as their ends can be seen from there."""
    turns = _turns_from(rotation, (at - timedelta(days=9)).astimezone(ZoneInfo(rotation.zone)).date())
    return [turn for turn in turns if turn.end_at is not None and turn.end_at > at]


def next_switches(rotation: Rotation, after: datetime, count: int) -> list[Switch]:
    """Answer the next moments at which the account passes on, soonest first; fewer if it soon stops changing."""
    switches: list[Switch] = []
    moment = after
    while len(switches) < count:
        now = turn_at(rotation, moment)
        if now.end_at is None:
            break
        then = turn_at(rotation, now.end_at)
        switches.append(
            Switch(at=now.end_at, bot_before=now.bot, bot_after=then.bot, policy=now.policy, wait_minutes=now.wait_minutes)
        )
        moment = now.end_at
    return switches


@lru_cache(maxsize=4096)
def instant(zone: ZoneInfo, day: date, minute: int) -> datetime:
    """Answer when a clock on the wall first shows a time of day; a time that a change of the clock skips is that change.

    So the order of times on the wall is the order of instants, and neighbouring slots neither overlap nor part.
    """
    wall = datetime.combine(day, time()) + timedelta(minutes=minute)
    found = wall.replace(tzinfo=zone).astimezone(UTC)
    if found.astimezone(zone).replace(tzinfo=None) == wall:
        return found
    # Between these two instants lies the change: by the old offset the time is after it, by the new one before it.
    before, after = wall.replace(tzinfo=zone, fold=1).astimezone(UTC), found
    offset = after.astimezone(zone).utcoffset()
    while after - before > _SECOND:
        middle = before + (after - before) // 2
        if middle.astimezone(zone).utcoffset() == offset:
            after = middle
        else:
            before = middle
    return after.replace(microsecond=0)


def check_rotation(rotation: Rotation, bots: Mapping[str, BotNeeds]) -> list[Finding]:
    """Say everything that is wrong with a rotation, and what an operator should know of it."""
    findings: list[Finding] = []
    if not is_zone(rotation.zone):
        findings.append(Finding(code="ROTATION_ZONE_UNKNOWN", message=f"There is no time zone {rotation.zone!r}."))
    if not any(slot.bot for slot in rotation.slots):
        findings.append(Finding(code="ROTATION_EMPTY", message="No bot has a slot."))
    for number, slot in enumerate(rotation.slots):
        findings += _check_slot(number, slot, bots)
    findings += _remark_on_warm_up(rotation, bots, refused={number for finding in findings for number in finding.slots})
    if not any(finding.code == "ROTATION_TIME_BAD" for finding in findings):
        findings += _check_week(rotation)
    return findings


def _remark_on_warm_up(rotation: Rotation, bots: Mapping[str, BotNeeds], *, refused: Collection[int]) -> list[Finding]:
    """Say once, for all of them, which bots look back further than their slots last."""
    concerned = tuple(
        number
        for number, slot in enumerate(rotation.slots)
        if number not in refused and slot.bot in bots and slot.minutes < bots[slot.bot].bar_minutes * bots[slot.bot].warmup_bars
    )
    if not concerned:
        return []
    names = ", ".join(dict.fromkeys(rotation.slots[number].bot for number in concerned))
    message = (
        f"Slots of {names} are shorter than the candles they need to warm up: they follow the market outside their slots too, "
        "so each is ready when its slot begins."
    )
    return [Finding(code="ROTATION_WARM_UP_LONGER", message=message, is_refusal=False, slots=concerned)]


def is_zone(name: str) -> bool:
    """Say whether a time zone of that name is known."""
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return bool(name)


def weekly_stretches(slot: Slot) -> Iterator[tuple[int, int]]:
    """Yield where a slot lies in the week, in minutes since Monday; one that runs past Sunday is cut in two."""
    for day in sorted(slot.days):
        begin = day * DAY + slot.begin_minute
        end = begin + slot.minutes
        yield begin, min(end, WEEK)
        if end > WEEK:
            yield 0, end - WEEK


def clock_text(minute: int) -> str:
    """Write a time of day."""
    return f"{minute // 60:02d}:{minute % 60:02d}"


def week_text(minute: int) -> str:
    """Write a time of the week."""
    return f"{DAY_NAMES[minute // DAY % 7]} {clock_text(minute % DAY)}"


def _check_slot(number: int, slot: Slot, bots: Mapping[str, BotNeeds]) -> list[Finding]:
    def says(code: str, message: str, *, is_refusal: bool = True) -> Finding:
        return Finding(code=code, message=message, is_refusal=is_refusal, slots=(number,))

    where = f"{clock_text(slot.begin_minute)}-{clock_text(slot.end_minute)} {slot.bot or 'idle'}"
    if not slot.days or not slot.days <= set(range(7)):
        return [says("ROTATION_TIME_BAD", f"The slot {where} names no day of the week.")]
    if not (0 <= slot.begin_minute < DAY and 0 < slot.end_minute <= DAY) or slot.begin_minute == slot.end_minute:
        return [says("ROTATION_TIME_BAD", f"The slot {where} has no length; a whole day is 00:00-24:00.")]
    if not slot.bot:
        return []
    if slot.bot not in bots:
        return [says("ROTATION_BOT_UNKNOWN", f"There is no bot {slot.bot}.")]
    needs, found = bots[slot.bot], []
    if slot.minutes < 2 * needs.bar_minutes:
        # It may enter from the first candle after the hand-over on, and must see one more to leave again.
        found.append(
            says(
                "ROTATION_SLOT_TOO_SHORT",
                f"The slot {where} lasts {slot.minutes} minutes, and {slot.bot} decides every {needs.bar_minutes}: "
                f"it needs at least {2 * needs.bar_minutes}.",
            )
        )
    if (slot.policy == Policy.WAIT) != (slot.wait_minutes > 0):
        found.append(says("ROTATION_WAIT_BAD", f"The slot {where} must say how long to wait, if it waits, and only then."))
    elif slot.wait_minutes > DAY:
        found.append(says("ROTATION_WAIT_BAD", f"The slot {where} would wait {slot.wait_minutes} minutes, more than a day."))
    return found


def _check_week(rotation: Rotation) -> list[Finding]:
    stretches = sorted(
        (begin, end, number) for number, slot in enumerate(rotation.slots) for begin, end in weekly_stretches(slot)
    )
    overlaps: dict[tuple[int, int], Finding] = {}
    gaps, reached, last = list[tuple[int, int]](), 0, -1
    for begin, end, number in [*stretches, (WEEK, WEEK, -1)]:
        if begin < reached:
            both = f"{_who(rotation, last)} and {_who(rotation, number)}"
            message = f"From {week_text(begin)} two slots claim the time: {both}."
            overlaps.setdefault(
                (last, number), Finding(code="ROTATION_OVERLAP", message=message, slots=tuple(sorted((last, number))))
            )
        elif begin > reached and rotation.slots and not rotation.is_gap_idle:
            gaps.append((reached, begin))
        if end > reached:
            reached, last = end, number
    found = list(overlaps.values())
    if gaps:
        when = f"from {week_text(gaps[0][0])} to {week_text(gaps[0][1])}"
        more = f" and {len(gaps) - 1} times more" if gaps[1:] else ""
        message = f"Nobody has the time {when}{more}: say `gaps idle` if that is meant."
        found.append(Finding(code="ROTATION_GAP", message=message))
    return found + _check_waits(rotation, stretches)


def _check_waits(rotation: Rotation, stretches: Sequence[tuple[int, int, int]]) -> list[Finding]:
    """Refuse a wait that would take the whole slot of the bot that comes next."""
    findings = []
    for _, end, number in stretches:
        slot = rotation.slots[number]
        following = next((other for begin, _, other in stretches if begin == end % WEEK), None)
        if following is None or not slot.wait_minutes or not rotation.slots[following].bot:
            continue
        if rotation.slots[following].minutes <= slot.wait_minutes:
            findings.append(
                Finding(
                    code="ROTATION_WAIT_TOO_LONG",
                    message=f"{_who(rotation, number)} may wait {slot.wait_minutes} minutes, "
                    f"the whole slot of {_who(rotation, following)} that follows.",
                    slots=(number, following),
                )
            )
    return list({finding.slots: finding for finding in findings}.values())


def _who(rotation: Rotation, number: int) -> str:
    slot = rotation.slots[number]
    return f"{slot.bot or 'idle'} {clock_text(slot.begin_minute)}-{clock_text(slot.end_minute)}"


@lru_cache(maxsize=64)
def _turns_from(rotation: Rotation, day: date) -> tuple[Turn, ...]:
    """Answer the turns from a day on: who asks within one day, as simulations do, is answered the same."""
    return tuple(_turns(rotation, day))


def _turns(rotation: Rotation, day: date) -> Iterator[Turn]:
    """Yield the turns from the first that begins after a day's eve on; the last has no end."""
    turn: Turn | None = None
    for found in _windows(rotation, day):
        if turn is not None and turn.bot != found.bot:
            yield Turn(
                bot=turn.bot,
                begin_at=turn.begin_at,
                end_at=found.begin_at,
                policy=turn.policy,
                wait_minutes=turn.wait_minutes,
            )
            turn = found
        # Of neighbouring slots of one bot the last says what becomes of its holdings.
        turn = found if turn is None else _joined(turn, found)
    assert turn is not None
    yield Turn(bot=turn.bot, begin_at=turn.begin_at, end_at=None, policy=turn.policy, wait_minutes=turn.wait_minutes)


def _joined(turn: Turn, found: Turn) -> Turn:
    return Turn(bot=turn.bot, begin_at=turn.begin_at, end_at=found.end_at, policy=found.policy, wait_minutes=found.wait_minutes)


def _windows(rotation: Rotation, day: date) -> Iterator[Turn]:
    """Yield slots and gaps one after another, from a day's eve on, each until the next begins."""
    zone = ZoneInfo(rotation.zone)
    first = day - timedelta(days=1)
    reached = instant(zone, first, 0)
    slots = sorted(rotation.slots, key=lambda slot: slot.begin_minute)
    for number in range(_DAYS_AHEAD + 10):
        day = first + timedelta(days=number)
        for slot in slots:
            if day.weekday() not in slot.days:
                continue
            begin, end = instant(zone, day, slot.begin_minute), instant(zone, day, slot.begin_minute + slot.minutes)
            if begin >= end:
                # A change of the clock skips all of it.
                continue
            if begin > reached:
                yield Turn(bot=IDLE, begin_at=reached, end_at=begin)
            yield Turn(bot=slot.bot, begin_at=begin, end_at=end, policy=slot.policy, wait_minutes=slot.wait_minutes)
            reached = end
    horizon = instant(zone, first + timedelta(days=_DAYS_AHEAD + 10), 0)
    if reached < horizon:
        yield Turn(bot=IDLE, begin_at=reached, end_at=horizon)
