"""Plan files: which bots there are, by what names people know them, and what their share is."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal, InvalidOperation
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final, Protocol, TypeVar

from strategies import registry
from trading.bars import interval_milliseconds

PLANS: Final = Path(__file__).resolve().parent / "plans"
LINEUP_A: Final = PLANS / "lineup_a.json"
_NEEDED: Final = {"key", "name", "strategy", "symbols", "interval", "percent"}
_OPTIONAL: Final = {"aliases", "position_cap_percent", "params"}


class BadPlan(ValueError):
    """A plan file says something that cannot be done."""


class UnknownBot(ValueError):
    """Nobody knows a bot of this name."""


@dataclass(frozen=True, slots=True)
class PlannedBot:
    """One bot of a plan."""

    key: str
    name: str
    aliases: tuple[str, ...]
    strategy: str
    symbols: tuple[str, ...]
    interval: str
    percent: Decimal
    position_cap_percent: Decimal
    params: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Plan:
    """The bots of an account, in the order of their ranks."""

    name: str
    bots: tuple[PlannedBot, ...]


class Named(Protocol):
    """Something with a key and a name that a person may type."""

    @property
    def key(self) -> str:
        """Answer the name that settings use."""

    @property
    def name(self) -> str:
        """Answer the name that pages show."""


Known = TypeVar("Known", bound=Named)


def load(path: Path = LINEUP_A) -> Plan:
    """Read a plan file, refusing what is unknown, missing or out of range."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        bots = tuple(_planned(row) for row in content["bots"])
    except OSError as error:
        raise BadPlan(f"The plan {path} cannot be read: {error.strerror}.") from error
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise BadPlan(f"The plan {path} is not a plan file: {error}.") from error
    names = [bot.key for bot in bots]
    if len(set(names)) < len(names):
        raise BadPlan(f"The plan {path} names a bot twice: {', '.join(names)}.")
    check_percents({bot.name: bot.percent for bot in bots})
    return Plan(str(content.get("name", path.stem)), bots)


def find(text: str, known: Iterable[Known], aliases: Mapping[str, Sequence[str]] | None = None) -> Known:
    """Find the bot a person means by its key, name or alias; an unknown one is refused with the closest match."""
    bots = list(known)
    by_spelling: dict[str, Known] = {}
    for bot in bots:
        for spelling in (*(aliases or {}).get(bot.key, ()), bot.key, bot.name):
            by_spelling[_squeezed(spelling)] = bot
    wanted = _squeezed(text)
    if wanted in by_spelling:
        return by_spelling[wanted]
    close = get_close_matches(wanted, by_spelling, n=1, cutoff=0.4)
    hint = f" Did you mean {by_spelling[close[0]].name}?" if close else ""
    raise UnknownBot(f"Unknown bot {text!r}.{hint} Known: {', '.join(bot.name for bot in bots) or 'none'}.")


def aliases_of(plan: Plan) -> dict[str, tuple[str, ...]]:
    """Answer the other spellings of each bot of a plan, by key."""
    return {bot.key: bot.aliases for bot in plan.bots}


def seeded(plan: Plan, percents: Mapping[str, str]) -> Plan:
    """Replace shares by those of the environment (`BOT_PERCENT_<KEY>`), checked."""
    chosen = {bot.key: bot.percent for bot in plan.bots}
    for key, text in percents.items():
        bot = find(key, plan.bots, aliases_of(plan))
        chosen[bot.key] = percent(text, f"BOT_PERCENT_{key}")
    check_percents(chosen)
    return replace(plan, bots=tuple(replace(bot, percent=chosen[bot.key]) for bot in plan.bots))


def percent(text: str, what: str) -> Decimal:
    """Read a share in percent, from 0 to 100."""
    try:
        value = Decimal(text.strip().removesuffix("%"))
    except InvalidOperation:
        raise BadPlan(f"{what} must be a number from 0 to 100, not {text!r}.") from None
    if not value.is_finite() or not 0 <= value <= 100:
        raise BadPlan(f"{what} must be from 0 to 100, not {text!r}.")
    return value


def check_percents(percents: Mapping[str, Decimal]) -> None:
    """Refuse shares that sum past the whole."""
    total = sum(percents.values(), Decimal(0))
    if total > 100:
        listed = ", ".join(f"{name} {share.normalize():f}" for name, share in percents.items())
        raise BadPlan(f"The shares sum to {total.normalize():f} %, past 100 %: {listed}.")


def _planned(row: Mapping[str, Any]) -> PlannedBot:
    missing, unknown = _NEEDED - row.keys(), row.keys() - _NEEDED - _OPTIONAL
    if missing or unknown:
        raise BadPlan(f"A bot of the plan lacks {sorted(missing)} or has unknown {sorted(unknown)}.")
    interval_milliseconds(row["interval"])
    registry.param_values(row["strategy"], row.get("params", {}), row["interval"])
    return PlannedBot(
        key=row["key"],
        name=row["name"],
        aliases=tuple(row.get("aliases", ())),
        strategy=row["strategy"],
        symbols=tuple(row["symbols"]),
        interval=row["interval"],
        percent=percent(str(row["percent"]), f"The share of {row['name']}"),
        position_cap_percent=percent(str(row.get("position_cap_percent", "10")), f"The position cap of {row['name']}"),
        params=row.get("params", {}),
    )


def _squeezed(text: str) -> str:
    return "".join(letter for letter in text.upper() if letter.isalnum())
