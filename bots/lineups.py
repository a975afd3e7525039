"""Plan files: which bots there are, by what names people know them, and what their share is."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal, InvalidOperation
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final, NoReturn, Protocol, TypeVar

from strategies import registry
from strategies.sources import UnknownStrategy
from trading.bars import BadInterval, interval_milliseconds
from trading.ledger import plain

PLANS: Final = Path(__file__).resolve().parent / "plans"
LINEUP_A: Final = PLANS / "lineup_a.json"
# What people call the line-ups that ship with the product.
SHIPPED: Final = {"A": LINEUP_A, "B": PLANS / "lineup_b.json"}
# Of plan files: raised when yesterday's reader would misread today's file.
SCHEMA: Final = 1
BYTES_MAX: Final = 256 * 1024
_NEEDED: Final = {"key", "name", "strategy", "symbols", "interval", "percent"}
_OPTIONAL: Final = {"aliases", "position_cap_percent", "params", "exchanges"}
_KEY: Final = re.compile(r"[A-Z][A-Z0-9_]{0,31}", re.ASCII)


class BadPlan(ValueError):
    """A plan file says something that cannot be done; `errors` names everything that is wrong with it."""

    def __init__(self, *errors: str) -> None:
        super().__init__(" ".join(errors))
        self.errors = errors


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
    # More than one: it trades between exchanges, with an account on each.
    exchanges: tuple[str, ...] = ()


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
    """Read a plan file, refusing what is unknown, missing or out of range: everything at once."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadPlan(f"The plan {path} cannot be read: {getattr(error, 'strerror', None) or error}.") from error
    return parse(text, source=f"The plan {path}", name=path.stem)


def parse(text: str, *, source: str = "The plan", name: str = "imported", without: Collection[str] = ()) -> Plan:
    """Read the text of a plan; bots that are left out by key are not looked at, and their shares stay unallocated."""
    try:
        if len(text.encode("utf-8", "surrogatepass")) > BYTES_MAX:
            raise BadPlan(f"{source} is larger than {BYTES_MAX} bytes.")
        content = json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        if isinstance(error, BadPlan):
            raise
        raise BadPlan(f"{source} is not a plan file: {error}.") from error
    return plan_of(content, source=source, name=name, without=without)


def plan_of(content: Any, *, source: str = "The plan", name: str = "imported", without: Collection[str] = ()) -> Plan:
    """Turn the content of a plan file into a plan; BadPlan names everything that is wrong."""
    if not isinstance(content, dict) or not isinstance(content.get("bots"), list):
        raise BadPlan(f"{source} is not a plan file: it is an object with a list of bots.")
    errors = []
    if content.get("schema") != SCHEMA:
        errors.append(f"{source} has schema {content.get('schema')!r}; this release reads schema {SCHEMA}.")
    if unknown := content.keys() - {"schema", "name", "bots"}:
        errors.append(f"{source} has unknown {sorted(unknown)}.")
    bots = []
    for place, row in enumerate(content["bots"], start=1):
        if isinstance(row, dict) and row.get("key") in without:
            continue
        try:
            bots.append(_planned(row, place))
        except BadPlan as bad:
            errors += bad.errors
    names = [bot.key for bot in bots] + [bot.name for bot in bots if bot.name != bot.key]
    if len(set(names)) < len(names):
        errors.append(f"{source} names a bot twice: {', '.join(names)}.")
    try:
        check_percents({bot.name: bot.percent for bot in bots})
    except BadPlan as bad:
        errors += bad.errors
    if errors:
        raise BadPlan(*errors)
    return Plan(str(content.get("name", name))[:64], tuple(bots))


def content_of(plan: Plan) -> dict[str, Any]:
    """Arrange a plan as the content of a plan file; reading it gives the same plan."""
    return {
        "schema": SCHEMA,
        "name": plan.name,
        "bots": [
            {
                "key": bot.key,
                "name": bot.name,
                "aliases": list(bot.aliases),
                "strategy": bot.strategy,
                "symbols": list(bot.symbols),
                "interval": bot.interval,
                "percent": plain(bot.percent),
                "position_cap_percent": plain(bot.position_cap_percent),
                "params": dict(bot.params),
                **({"exchanges": list(bot.exchanges)} if bot.exchanges else {}),
            }
            for bot in plan.bots
        ],
    }


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


def _planned(row: Any, place: int) -> PlannedBot:
    """Read one bot of a plan, naming everything that is wrong with it."""
    if not isinstance(row, dict):
        raise BadPlan(f"Bot {place} of the plan is not an object.")
    who = f"Bot {row.get('name') or row.get('key') or place}"
    missing, unknown = _NEEDED - row.keys(), row.keys() - _NEEDED - _OPTIONAL
    if missing or unknown:
        raise BadPlan(f"{who} of the plan lacks {sorted(missing)} or has unknown {sorted(unknown)}.")
    errors = [error for check in (_words_wrong, _strategy_wrong) for error in check(who, row)]
    percents = {}
    for field, default in (("percent", "0"), ("position_cap_percent", "10")):
        try:
            percents[field] = percent(str(row.get(field, default)), f"{field} of {who}")
        except BadPlan as bad:
            errors += bad.errors
    if errors:
        raise BadPlan(*errors)
    return PlannedBot(
        key=row["key"],
        name=row["name"],
        aliases=tuple(row.get("aliases", ())),
        strategy=row["strategy"],
        symbols=tuple(row["symbols"]),
        interval=row["interval"],
        params=row.get("params", {}),
        exchanges=tuple(row.get("exchanges", ())),
        **percents,
    )


def _words_wrong(who: str, row: Mapping[str, Any]) -> Iterator[str]:
    if not isinstance(row["key"], str) or not _KEY.fullmatch(row["key"]):
        yield f"{who}: a key is capital letters, digits and _ (at most 32), not {row['key']!r}."
    if not isinstance(row["name"], str) or not 1 <= len(row["name"]) <= 64 or not row["name"].isprintable():
        yield f"{who}: a name is 1 to 64 printable letters."
    for field in ("symbols", "aliases", "exchanges"):
        words = row.get(field, [])
        if not isinstance(words, list) or not all(isinstance(word, str) and 0 < len(word) <= 32 for word in words):
            yield f"{who}: {field} is a list of words."
    if not isinstance(row.get("params", {}), dict):
        yield f"{who}: params is an object."


def _strategy_wrong(who: str, row: Mapping[str, Any]) -> Iterator[str]:
    try:
        interval_milliseconds(row["interval"])
    except (BadInterval, TypeError) as error:
        yield f"{who}: {error}"
    try:
        definition = registry.definition(str(row["strategy"]))
    except UnknownStrategy as error:
        yield f"{who}: {error}"
        return
    least, most = definition.symbols_least, definition.symbols_most
    if isinstance(row["symbols"], list) and not least <= len(row["symbols"]) <= most:
        count = str(least) if least == most else f"{least} to {most}"
        yield f"{who}: {row['strategy']} trades {count} markets, not {len(row['symbols'])}."
    try:
        registry.consult(row["strategy"], row.get("params", {}), str(row["interval"]))
    except (registry.BadParameter, ValueError, TypeError, AttributeError) as error:
        yield f"{who}: {error}"


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")


def _squeezed(text: str) -> str:
    return "".join(letter for letter in text.upper() if letter.isalnum())
