"""Choose who trades, in the words people use for bots."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any, Final

from bots import lineups
from bots.models import Bot
from bots.selectors import bots as bots_of
from bots.selectors import instruments_of
from portfolio.models import ModeVersion
from portfolio.selectors.modes import rotation_of
from portfolio.services import modes as portfolio_modes
from portfolio.services.modes import Preview, UnableToSwitch
from portfolio.writers.modes import Choice
from strategies import registry
from trading.bars import interval_milliseconds
from trading.handover import Mode
from trading.rotation import DAY, BotNeeds, Finding, Policy, Rotation, Slot, check_rotation
from trading.rotation_text import RotationUnreadable, parse_rotation, print_rotation

if TYPE_CHECKING:
    from django.contrib.auth.models import User

_MINUTE: Final = timedelta(minutes=1)
# Who trades alone where nobody was named.
DEFAULT_BOT: Final = "MeanReversion"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """How an operator wants the account shared, as it was written down."""

    mode: str
    bot: str = ""
    budget: Decimal | None = None
    policy: Policy = Policy.FLATTEN
    wait_minutes: int = 0
    # Lines such as `mon-fri 08:00-14:00 GridTrading flatten`.
    rotation: str = ""


def switch_mode(
    *,
    account_id: int,
    wish: Wish,
    by: User | None,
    now: datetime,
    reason: str = "",
    request_id: str = "",
    market_at: datetime | None = None,
    holder: str = "",
) -> ModeVersion:
    """Share the account in another way; raises UnableToSwitch with what to do."""
    bots = list(bots_of(account_id))
    return portfolio_modes.set_mode(
        account_id=account_id,
        choice=_choice(wish, bots),
        needs=_needs(bots),
        by=by,
        now=now,
        reason=reason,
        request_id=request_id,
        market_at=market_at,
        holder=holder,
    )


def preview_switch(*, account_id: int, wish: Wish, now: datetime) -> Preview:
    """Show what `switch_mode` would do now."""
    bots = list(bots_of(account_id))
    return portfolio_modes.preview_mode(account_id=account_id, choice=_choice(wish, bots), needs=_needs(bots), now=now)


def read_seed(*, mode: str, active_bot: str, budget: str) -> Wish:
    """Read what the environment says a first start begins with; refuse what cannot be meant."""
    try:
        amount = Decimal(budget) if budget else None
    except InvalidOperation:
        raise UnableToSwitch("MODE_BUDGET_BAD", f"INITIAL_BUDGET must be an amount, not {budget!r}.") from None
    if amount is not None and not (amount.is_finite() and amount > 0):
        raise UnableToSwitch("MODE_BUDGET_BAD", f"INITIAL_BUDGET must be above zero, not {budget!r}.")
    return Wish(mode=mode, bot=(active_bot or DEFAULT_BOT) if mode == Mode.SINGLE else "", budget=amount)


def seed_mode(*, account_id: int, wish: Wish, now: datetime, market_at: datetime) -> None:
    """Begin in the mode that the environment asks for; from then on the database is the truth."""
    if wish.mode == Mode.PERCENTAGE:
        return
    bots = list(bots_of(account_id))
    if wish.mode == Mode.ROTATION:
        wish = replace(wish, rotation=even_rotation(bots))
    switch_mode(account_id=account_id, wish=wish, by=None, now=now, reason="first start", market_at=market_at)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadRotation:
    """A week as it was written down, read: what an editor draws."""

    rotation: Rotation
    text: str
    findings: tuple[Finding, ...]


def read_rotation(*, account_id: int, text: str) -> ReadRotation:
    """Read slots without setting them; raises UnableToSwitch where a line cannot be read."""
    bots = list(bots_of(account_id))
    try:
        rotation = _rotation(text, bots)
    except lineups.UnknownBot as error:
        raise UnableToSwitch("BOT_UNKNOWN", str(error)) from error
    except RotationUnreadable as error:
        raise UnableToSwitch(error.code, str(error)) from error
    keys = {str(bot.book_id): bot.key for bot in bots}
    named, needs = _renamed(rotation, keys), {keys[book]: need for book, need in _needs(bots).items()}
    return ReadRotation(rotation=named, text=print_rotation(named), findings=tuple(check_rotation(named, needs)))


def rotation_in_words(version: ModeVersion, bots: Sequence[Bot]) -> str:
    """Write the slots of a version with the keys of bots."""
    return print_rotation(_renamed(rotation_of(version), {str(bot.book_id): bot.key for bot in bots}))


def even_rotation(bots: Sequence[Bot]) -> str:
    """Write a rotation that gives each bot an equal part of every day: what a first start gets that asks for rotation."""
    length = DAY // len(bots)
    slots = tuple(
        Slot(
            days=frozenset(range(7)),
            begin_minute=place * length,
            end_minute=DAY if place + 1 == len(bots) else (place + 1) * length,
            bot=bot.key,
        )
        for place, bot in enumerate(bots)
    )
    return print_rotation(Rotation(zone="UTC", slots=slots))


def _choice(wish: Wish, bots: Sequence[Bot]) -> Choice:
    try:
        mode = Mode(wish.mode)
    except ValueError:
        raise UnableToSwitch("MODE_UNKNOWN", f"There is no mode {wish.mode!r}; known are {', '.join(Mode)}.") from None
    markets = instruments_of([bot.pk for bot in bots])
    try:
        book_id = _found(wish.bot, bots).book_id if mode == Mode.SINGLE else None
        rotation = _rotation(wish.rotation, bots) if mode == Mode.ROTATION else None
    except lineups.UnknownBot as error:
        raise UnableToSwitch("BOT_UNKNOWN", str(error)) from error
    except RotationUnreadable as error:
        raise UnableToSwitch(error.code, str(error)) from error
    return Choice(
        mode=mode,
        book_id=book_id,
        budget=wish.budget,
        policy=wish.policy,
        wait_minutes=wish.wait_minutes,
        rotation=rotation,
        traded={bot.book_id: sorted(instrument.pk for instrument in markets[bot.pk]) for bot in bots},
    )


def _rotation(text: str, bots: Sequence[Bot]) -> Rotation:
    parsed = parse_rotation(text)
    return _renamed(parsed, {slot.bot: str(_found(slot.bot, bots).book_id) for slot in parsed.slots if slot.bot})


def _found(name: str, bots: Sequence[Bot]) -> Bot:
    return lineups.find(name, bots, lineups.aliases_of(lineups.load()))


def _needs(bots: Sequence[Bot]) -> dict[str, BotNeeds]:
    return {str(bot.book_id): _needs_of(bot) for bot in bots}


def _needs_of(bot: Bot) -> BotNeeds:
    bar_minutes = max(1, timedelta(milliseconds=interval_milliseconds(bot.interval)) // _MINUTE)
    params: Any = registry.make_params(bot.strategy, bot.params, bot.interval)
    return BotNeeds(bar_minutes=bar_minutes, warmup_bars=registry.definition(bot.strategy).warmup_bars(params))


def _renamed(rotation: Rotation, names: Mapping[str, str]) -> Rotation:
    slots = tuple(replace(slot, bot=names.get(slot.bot, slot.bot)) for slot in rotation.slots)
    return replace(rotation, slots=slots)
