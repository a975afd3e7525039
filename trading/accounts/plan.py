"""What is asked of a whole-account simulation: bots, how they share the account, limits, costs, a stretch of time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal

from trading.accounts.flows import FLOWS_MAX, MONEY_MAX, Flow, amount_fault
from trading.allocations import GRAIN, HUNDRED, Policy, check_policy
from trading.bars import Candles
from trading.handover import EXCLUSIVE, Mode
from trading.instruments import Instrument
from trading.kernels.backtest import Costs
from trading.ledger import UNIT, ZERO
from trading.risk import Limits
from trading.rotation import DAY, BotNeeds, Rotation, Slot, check_rotation
from trading.strategy import Record, StrategyDefinition


class PlanImpossible(ValueError):
    """This account cannot be simulated as asked."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class AccountBot:
    """One bot: a strategy with its parameters on one market or several, and what its book may hold of each."""

    key: str
    definition: StrategyDefinition
    params: Record
    interval_ms: int
    # In the order in which the strategy knows them, each with its base candles.
    instruments: tuple[Instrument, ...]
    candles: tuple[Candles, ...]
    position_cap_percent: Decimal = HUNDRED
    # Open of the first bar that the indicators see; the first whole bar of the candles if it is not said.
    anchor: int | None = None

    @property
    def base_ms(self) -> int:
        """Return the length of its base candles."""
        return self.candles[0].interval_ms

    @property
    def quote(self) -> str:
        """Return what its markets are paid in."""
        return self.instruments[0].quote


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """Shares in percent that hold from a moment on; with `rebase` gains and losses of all are dealt out anew."""

    at: datetime
    percents: Mapping[str, Decimal]
    rebase: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Shares:
    """Percentage mode: the versions of the plan, oldest first, and what holds for all of them."""

    versions: tuple[Version, ...]
    policy: Policy = field(default_factory=Policy)


@dataclass(frozen=True, slots=True, kw_only=True)
class Turns:
    """Single or rotation mode: whose turn it is, and the budget of whoever has it; None is all there is."""

    mode: Mode
    rotation: Rotation
    budget: Decimal | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class AccountPlan:
    """A whole account over a stretch of time; the bots stand in the order of their ranks."""

    name: str
    bots: tuple[AccountBot, ...]
    sharing: Shares | Turns
    capital: Decimal
    begin_at: datetime
    end_at: datetime
    costs: Costs = field(default_factory=Costs)
    # None limits nothing: neither caps of the day nor the value of an order.
    limits: Limits | None = None
    # Deposits and withdrawals, in any order.
    flows: tuple[Flow, ...] = ()

    def __post_init__(self) -> None:
        """Refuse what cannot be simulated."""
        _check_bots(self.bots)
        if self.begin_at >= self.end_at:
            raise PlanImpossible(f"{self.name}: the end {self.end_at} must be after the beginning {self.begin_at}")
        if not (self.capital.is_finite() and self.capital > ZERO) or self.capital % UNIT:
            raise PlanImpossible(f"{self.name}: the capital must be above zero and a whole number of {UNIT}, not {self.capital}")
        known = {bot.key for bot in self.bots}
        if isinstance(self.sharing, Shares):
            _check_shares(self.sharing, known, self.begin_at)
        else:
            _check_turns(self.sharing, self.bots)
        for bot in self.bots:
            self.costs.frictions.checked(interval_ms=bot.interval_ms)
        _check_flows(self)

    @property
    def mode(self) -> Mode:
        """Answer how the bots share the account."""
        return Mode.PERCENTAGE if isinstance(self.sharing, Shares) else self.sharing.mode


def single(bot: str, *, budget: Decimal | None = None) -> Turns:
    """Give the account to one bot for ever."""
    slot = Slot(days=frozenset(range(7)), begin_minute=0, end_minute=DAY, bot=bot)
    return Turns(mode=Mode.SINGLE, rotation=Rotation(zone="UTC", slots=(slot,)), budget=budget)


def _check_bots(bots: tuple[AccountBot, ...]) -> None:
    if not bots:
        raise PlanImpossible("A plan needs at least one bot")
    if len({bot.key for bot in bots}) < len(bots):
        raise PlanImpossible(f"A bot is named twice: {', '.join(bot.key for bot in bots)}")
    if len({instrument.quote for bot in bots for instrument in bot.instruments}) > 1:
        raise PlanImpossible("One account pays in one asset: the bots' markets have several")
    if len({candles.interval_ms for bot in bots for candles in bot.candles}) > 1:
        raise PlanImpossible("All bots must be matched on candles of one length")
    filters: dict[str, Instrument] = {}
    for bot in bots:
        _check_markets(bot)
        for instrument in bot.instruments:
            if filters.setdefault(instrument.symbol, instrument) != instrument:
                raise PlanImpossible(f"{instrument.symbol} has other filters for {bot.key} than for another bot")
        if bot.interval_ms % bot.base_ms:
            raise PlanImpossible(f"{bot.key}: candles of {bot.base_ms} ms do not add up to its {bot.interval_ms} ms")
        if not (bot.position_cap_percent.is_finite() and ZERO < bot.position_cap_percent <= HUNDRED):
            raise PlanImpossible(f"{bot.key}: a position cap is above 0 and at most 100 percent, not {bot.position_cap_percent}")


def _check_markets(bot: AccountBot) -> None:
    count, definition = len(bot.instruments), bot.definition
    if definition.is_across_accounts:
        raise PlanImpossible(f"{bot.key}: {definition.title} needs two exchanges, and one account is simulated on one")
    if len(bot.candles) != count or len({instrument.symbol for instrument in bot.instruments}) < count:
        raise PlanImpossible(f"{bot.key}: every market needs its own candles, once")
    if not definition.symbols_least <= count <= definition.symbols_most:
        least, most = definition.symbols_least, definition.symbols_most
        raise PlanImpossible(f"{bot.key}: {definition.title} trades {least} to {most} markets, not {count}")


def _check_shares(shares: Shares, known: set[str], begin_at: datetime) -> None:
    check_policy(shares.policy)
    moments = [version.at for version in shares.versions]
    if not moments or moments[0] != begin_at or sorted(set(moments)) != moments:
        raise PlanImpossible("Versions of shares stand in order of time, and the first holds from the beginning")
    for version in shares.versions:
        if unknown := sorted(version.percents.keys() - known):
            raise PlanImpossible(f"There is no bot {', '.join(unknown)}")
        for key, percent in version.percents.items():
            if not (percent.is_finite() and ZERO <= percent <= HUNDRED) or percent % GRAIN:
                raise PlanImpossible(f"{key}: a share is from 0 to 100 percent in steps of {GRAIN}, not {percent}")


def _check_turns(turns: Turns, bots: tuple[AccountBot, ...]) -> None:
    if turns.mode not in EXCLUSIVE:
        raise PlanImpossible(f"Bots take turns in the modes {' and '.join(sorted(EXCLUSIVE))}, not in {turns.mode}")
    needs = {bot.key: BotNeeds(bar_minutes=bot.interval_ms // 60_000) for bot in bots}
    refusals = [finding.message for finding in check_rotation(turns.rotation, needs) if finding.is_refusal]
    if refusals:
        raise PlanImpossible(" ".join(refusals))
    if turns.budget is not None and (not turns.budget.is_finite() or turns.budget <= ZERO or turns.budget % UNIT):
        raise PlanImpossible(f"A budget is above zero and a whole number of {UNIT}, not {turns.budget}")


def _check_flows(plan: AccountPlan) -> None:
    if len(plan.flows) > FLOWS_MAX:
        raise PlanImpossible(f"{plan.name}: at most {FLOWS_MAX:,} deposits and withdrawals are simulated")
    for flow in plan.flows:
        if fault := amount_fault(flow.amount):
            raise PlanImpossible(f"{plan.name}: {fault}")
        # The end closes the last base candle: what comes in that one is taken when it is over.
        if not plan.begin_at <= flow.at <= plan.end_at - timedelta(milliseconds=plan.bots[0].base_ms):
            raise PlanImpossible(
                f"{plan.name}: the flow of {flow.amount} at {flow.at} must lie between the beginning {plan.begin_at} and the last"
                f" base candle before the end {plan.end_at}"
            )
    if plan.capital + sum((max(flow.amount, ZERO) for flow in plan.flows), ZERO) > MONEY_MAX and plan.flows:
        raise PlanImpossible(f"{plan.name}: capital and deposits come to more than {MONEY_MAX:,}")
