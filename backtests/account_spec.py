"""Plan files for a whole account: a line-up as the product has it, with what an account would do with it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import islice
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from strategies import registry
from trading.accounts.flows import FLOWS_MAX, Every, Flow, amount_fault, repeated
from trading.accounts.plan import AccountBot, AccountPlan, Shares, Turns, Version, single
from trading.allocations import Policy
from trading.bars import Candles, interval_milliseconds
from trading.handover import Mode
from trading.instruments import Instrument
from trading.kernels.backtest import Costs
from trading.ledger import ZERO
from trading.risk import opening_limits, overlay
from trading.rotation_text import parse_rotation

_BYTES_MAX = 256 * 1024


class BadAccountPlan(ValueError):
    """A plan file says something that cannot be simulated."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class BotRow(_Strict):
    """One bot of a line-up."""

    key: str
    name: str
    aliases: tuple[str, ...] = ()
    strategy: str
    symbols: tuple[str, ...]
    interval: str
    percent: Decimal
    position_cap_percent: Decimal = Decimal(10)
    params: dict[str, Any] = Field(default_factory=dict)
    exchanges: tuple[str, ...] = ()


class VersionRow(_Strict):
    """Shares that hold from a moment on."""

    at: datetime
    percents: dict[str, Decimal] = Field(default_factory=dict)
    rebase: bool = False


class FlowRow(_Strict):
    """Quote that comes to the account (above zero) or leaves it: once, or at the beginning of every week or month."""

    amount: Decimal
    at: datetime | None = None
    every: Every | None = None

    @model_validator(mode="after")
    def _is_said_when(self) -> Self:
        if (self.at is None) == (self.every is None):
            raise ValueError("say either `at`, a moment, or `every`, week or month")
        # One that comes again is wrong even where no month begins in the stretch that is asked for.
        if fault := amount_fault(self.amount):
            raise ValueError(fault)
        return self


class LimitRows(_Strict):
    """Changes of the limits that a new account opens with."""

    order_value_max: Decimal | None = None
    soft_loss_percent: Decimal | None = None
    hard_loss_percent: Decimal | None = None
    fall_percent: Decimal | None = None
    collar_percent: Decimal | None = None
    orders_per_minute: int | None = None
    repeats_max: int | None = None
    opposite_positions: str | None = None


class AccountRows(_Strict):
    """What an account would do with a line-up; whatever is not said comes from the command line."""

    mode: Literal["percentage", "single", "rotation"] | None = None
    versions: tuple[VersionRow, ...] = ()
    reserve_percent: Decimal = ZERO
    band_percent: Decimal = ZERO
    rebase_hours: int = 0
    rebases_after_flows: bool = False
    flows: tuple[FlowRow, ...] = Field(default=(), max_length=FLOWS_MAX)
    bot: str = ""
    rotation: str = ""
    budget: Decimal | None = None
    limits: LimitRows = LimitRows()


class PlanFile(_Strict):
    """A line-up file, with or without what the account would do."""

    schema_number: Literal[1] = Field(alias="schema")
    name: str
    bots: tuple[BotRow, ...] = Field(min_length=1)
    account: AccountRows = AccountRows()


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountAsked:
    """What a person asks of a simulation beside the plan file."""

    mode: Mode | None
    capital: Decimal
    begin_at: datetime
    end_at: datetime
    costs: Costs
    bot: str = ""
    rotation: str = ""
    budget: Decimal | None = None
    is_limited: bool = True
    # Instead of the bots' own.
    interval: str = ""


def read_plan(path: Path) -> PlanFile:
    """Read a plan file, or say everything that is wrong with it."""
    try:
        text = path.read_text(encoding="utf-8")
        if len(text) > _BYTES_MAX:
            raise BadAccountPlan(f"{path} is larger than {_BYTES_MAX} bytes")
        return plan_of(json.loads(text), source=str(path))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise BadAccountPlan(f"{path} cannot be read: {error}") from error


def plan_of(content: Any, *, source: str) -> PlanFile:
    """Read the content of a plan file, or say everything that is wrong with it."""
    try:
        return PlanFile.model_validate(content)
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, row['loc']))}: {row['msg']}" for row in error.errors())
        raise BadAccountPlan(f"{source} is no plan: {wrong}") from error


def intervals(file: PlanFile, asked: AccountAsked) -> dict[str, str]:
    """Answer the interval of each bot, by its key."""
    return {bot.key: asked.interval or bot.interval for bot in file.bots}


def first_candle(bot: BotRow, interval: str, begin_at: datetime) -> int:
    """Answer the open of the first candle that a bot needs to be warm when the account begins."""
    length = interval_milliseconds(interval)
    bars = registry.definition(bot.strategy).warmup_bars(registry.make_params(bot.strategy, bot.params, interval))
    begin = int(begin_at.astimezone(UTC).timestamp()) * 1000
    return (begin // length - bars - 1) * length


def account_plan(
    file: PlanFile, asked: AccountAsked, *, candles: Mapping[str, tuple[Candles, ...]], instruments: Mapping[str, Instrument]
) -> AccountPlan:
    """Put a plan together; candles by the bot's key, a series for each of its markets, instruments by symbol."""
    mode = asked.mode or Mode(file.account.mode or Mode.PERCENTAGE)
    limits = None
    if asked.is_limited:
        limits = overlay(opening_limits(asked.capital), file.account.limits.model_dump())
    return AccountPlan(
        name=f"{file.name}, {mode}",
        bots=tuple(_bot(bot, asked.interval or bot.interval, candles[bot.key], instruments) for bot in file.bots),
        sharing=_shares(file, asked) if mode == Mode.PERCENTAGE else _turns(file, asked, mode),
        capital=asked.capital,
        begin_at=asked.begin_at,
        end_at=asked.end_at,
        costs=asked.costs,
        limits=limits,
        flows=tuple(islice(_flows(file, asked, candles), FLOWS_MAX + 1)),
    )


def _flows(file: PlanFile, asked: AccountAsked, candles: Mapping[str, tuple[Candles, ...]]) -> Iterator[Flow]:
    """Yield the flows of a plan; one that comes again does so as long as a base candle is left to take it in."""
    base_ms = max((series.interval_ms for found in candles.values() for series in found), default=0)
    for row in file.account.flows:
        if row.at is not None:
            yield Flow(at=_utc(row.at), amount=row.amount)
        elif row.every is not None:
            last_at = asked.end_at - timedelta(milliseconds=base_ms)
            yield from repeated(row.every, row.amount, begin_at=asked.begin_at, last_at=last_at)


def _bot(bot: BotRow, interval: str, candles: tuple[Candles, ...], instruments: Mapping[str, Instrument]) -> AccountBot:
    return AccountBot(
        key=bot.key,
        definition=registry.definition(bot.strategy),
        params=registry.make_params(bot.strategy, bot.params, interval),
        interval_ms=interval_milliseconds(interval),
        instruments=tuple(instruments[symbol] for symbol in symbols_of(bot)),
        candles=candles,
        position_cap_percent=bot.position_cap_percent,
    )


def symbols_of(bot: BotRow) -> tuple[str, ...]:
    """Answer the markets of a bot; those of two exchanges are not simulated."""
    if len(bot.exchanges) > 1:
        where = " and ".join(bot.exchanges)
        raise BadAccountPlan(f"{bot.key} trades on {where}, and an account is simulated on one exchange: take the bot out")
    return bot.symbols


def _shares(file: PlanFile, asked: AccountAsked) -> Shares:
    first = Version(at=asked.begin_at, percents={bot.key: bot.percent for bot in file.bots})
    later = [Version(at=_utc(row.at), percents=_by_key(file, row.percents), rebase=row.rebase) for row in file.account.versions]
    account = file.account
    policy = Policy(
        reserve_percent=account.reserve_percent,
        band_percent=account.band_percent,
        rebase_hours=account.rebase_hours,
        rebases_after_flows=account.rebases_after_flows,
    )
    return Shares(versions=(first, *later), policy=policy)


def _turns(file: PlanFile, asked: AccountAsked, mode: Mode) -> Turns:
    budget = asked.budget if asked.budget is not None else file.account.budget
    if mode == Mode.SINGLE:
        wanted = asked.bot or file.account.bot
        if not wanted:
            raise BadAccountPlan("Single mode needs a bot: say --bot NAME or name it in the plan")
        return single(_key_of(file, wanted), budget=budget)
    text = asked.rotation or file.account.rotation
    if not text:
        raise BadAccountPlan("Rotation mode needs a week: say --rotation FILE or write it into the plan")
    rotation = parse_rotation(text)
    slots = tuple(replace(slot, bot=_key_of(file, slot.bot) if slot.bot else "") for slot in rotation.slots)
    return Turns(mode=mode, rotation=replace(rotation, slots=slots), budget=budget)


def _by_key(file: PlanFile, percents: Mapping[str, Decimal]) -> dict[str, Decimal]:
    return {_key_of(file, name): percent for name, percent in percents.items()}


def _key_of(file: PlanFile, wanted: str) -> str:
    for bot in file.bots:
        if wanted.casefold() in {name.casefold() for name in (bot.key, bot.name, *bot.aliases)}:
            return bot.key
    known: Sequence[str] = [bot.name for bot in file.bots]
    raise BadAccountPlan(f"There is no bot {wanted}. Known: {', '.join(known)}.")


def _utc(at: datetime) -> datetime:
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
