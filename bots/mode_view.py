"""Who trades now and why, who comes next, and what each hour has earned: the same for page, API and command."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from bots.models import Bot
from bots.selectors import bots as bots_of
from bots.services.modes import rotation_in_words
from portfolio.jobs.risk import market_time
from portfolio.models import Account, HandOver, ModeVersion
from portfolio.selectors import modes as reading
from trading.handover import EXCLUSIVE, Mode, Phase
from trading.ledger import ZERO
from trading.rotation import Switch

UPCOMING = 5
PHASES = {
    Phase.CLOSING: "entry orders are being cancelled",
    Phase.RELEASING: "holdings are being dealt with",
    Phase.SETTLED: "settled",
    HandOver.OVERTAKEN: "overtaken by the next",
}


@dataclass(frozen=True, slots=True)
class EarnedRow:
    """What one bot has made, by hour of the day."""

    bot: Bot
    hours: tuple[Decimal | None, ...]
    total: Decimal


def mode_view(account: Account) -> dict[str, Any]:
    """Describe the mode of an account; every time is said in UTC and on the clock of the rotation's zone."""
    bots = list(bots_of(account.pk))
    version, row = reading.newest_version(account.pk), reading.newest_hand_over(account.pk)
    market_at = market_time(account)
    zone = version.zone if version is not None else "UTC"
    names = {bot.book_id: bot.name for bot in bots}
    return {
        "account": account.pk,
        "mode": account.allocation_mode,
        "market_at": market_at,
        "zone": zone,
        "active": _active(account, names),
        "budget": version.budget if version is not None else None,
        "version": _version(version, names),
        "hand_over": None if row is None or account.allocation_mode not in EXCLUSIVE else hand_over_view(row, names),
        "rotation": rotation_text(version, bots),
        "switches": [_switch(switch, names, zone) for switch in _upcoming(account, market_at)],
    }


def _active(account: Account, names: dict[int, str]) -> list[str]:
    """Name the bots that may enter as far as the mode goes; with sub-accounts they are those of the sub-accounts."""
    if account.allocation_mode == Mode.SUBACCOUNTS:
        return list(reading.books_of_sub_accounts(account.pk))
    return [names[book] for book in sorted(reading.active_books(account)) if book in names]


def rotation_text(version: ModeVersion | None, bots: Sequence[Bot]) -> str:
    """Write the slots in force, or nothing where the bots do not take turns."""
    return rotation_in_words(version, bots) if version is not None and version.mode == Mode.ROTATION else ""


def hand_over_view(row: HandOver, names: dict[int, str]) -> dict[str, Any]:
    """Describe one passing of the account."""
    return {
        "epoch": row.epoch,
        "phase": row.phase,
        "says": PHASES[row.phase],
        "incoming": [names.get(book, f"book {book}") for book in row.incoming],
        "outgoing": [names.get(book, f"book {book}") for book in row.outgoing],
        "policy": row.policy,
        "began_at": row.began_at,
        "wait_until": row.wait_until,
        "settled_at": row.settled_at,
        "until": row.turn_until,
    }


def earned_rows(account: Account, bots: Sequence[Bot], *, zone: str, since: datetime | None = None) -> list[EarnedRow]:
    """Say what each bot made in each hour of the day, net of fees; nothing where it did not trade."""
    found = {(row.book_id, row.hour): row for row in reading.earned_by_hour(account.pk, zone=zone, since=since)}
    rows = []
    for bot in bots:
        cells = [found.get((bot.book_id, hour)) for hour in range(24)]
        hours = tuple(None if cell is None else cell.realised for cell in cells)
        rows.append(EarnedRow(bot, hours, sum((made for made in hours if made is not None), ZERO)))
    return rows


def _upcoming(account: Account, market_at: datetime | None) -> list[Switch]:
    return [] if market_at is None else reading.upcoming(account.pk, after=market_at, count=UPCOMING)


def _switch(switch: Switch, names: dict[int, str], zone: str) -> dict[str, Any]:
    def name(bot: str) -> str:
        return names.get(int(bot), f"book {bot}") if bot else ""

    return {
        "at": switch.at,
        "local": switch.at.astimezone(ZoneInfo(zone)).strftime("%a %Y-%m-%d %H:%M"),
        "before": name(switch.bot_before),
        "after": name(switch.bot_after),
        "policy": str(switch.policy),
        "wait_minutes": switch.wait_minutes,
    }


def _version(version: ModeVersion | None, names: dict[int, str]) -> dict[str, Any] | None:
    if version is None:
        return None
    return {
        "number": version.number,
        "bot": names.get(version.book_id or 0, ""),
        "policy": version.policy,
        "set_at": version.set_at,
        "set_by": version.set_by.get_username() if version.set_by else "system",
        "reason": version.reason,
    }
