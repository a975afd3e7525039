"""Whole accounts: a bot alone trades as in its backtest, the books add up, and modes and caps mean what they mean live."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import cache
from typing import Any

import numpy as np
import pytest

from strategies import registry
from tests.strategies.cases import CASES, COSTS
from tests.trading.markets import BTC, ETH, FIRST_OPEN, FIVE_MINUTES, random_walk
from trading.accounts.plan import AccountBot, AccountPlan, PlanImpossible, Shares, Turns, Version, single
from trading.accounts.result import AccountResult
from trading.accounts.simulation import AccountSimulation, simulate
from trading.allocations import Policy
from trading.bars import Candles
from trading.handover import Mode
from trading.instruments import Instrument
from trading.kernels.backtest import BacktestResult, run_backtest
from trading.ledger import ZERO
from trading.risk import HARD_STOP, REFUSE, Limits
from trading.rotation import turn_at
from trading.rotation_text import parse_rotation

CAPITAL = Decimal("9882.30")
# Later than the longest warm-up, and a midnight.
BEGIN_AT = datetime(2024, 1, 4, tzinfo=UTC)
BARS = 3200
END_AT = datetime.fromtimestamp((FIRST_OPEN + BARS * FIVE_MINUTES) / 1000, tz=UTC)
FIVE = ("mean_reversion", "sasha_hybrid", "grid", "triple_ema", "ema_ribbon")
PERCENTS = {name: Decimal(18) for name in FIVE}
WIDE = Limits(order_value_max=Decimal(100_000), soft_loss_percent=Decimal("9.8"), hard_loss_percent=Decimal("9.9"))
# Both caps bite: entries are refused, and books and account are shut.
TIGHT = replace(WIDE, soft_loss_percent=Decimal("0.3"), hard_loss_percent=Decimal("0.3"), fall_percent=Decimal("0.5"))
WEEK = """
zone Europe/Berlin
gaps idle
daily 00:00-06:00 grid {policy}
daily 06:00-12:00 triple_ema {policy}
daily 12:00-18:00 ema_ribbon {policy}
"""


@cache
def market(symbol: str, bars: int = BARS) -> Candles:
    """Make the market of a coin."""
    return random_walk(seed=11 if symbol == ETH.symbol else 12, bars=bars)


def bot(case: str, *, key: str = "", instrument: Instrument = ETH, candles: Candles | None = None, **values: Any) -> AccountBot:
    """Make a bot of a case that trades."""
    name, params = CASES[case]
    return AccountBot(
        key=key or case,
        definition=registry.definition(name),
        params=registry.make_params(name, params),
        interval_ms=FIVE_MINUTES,
        instruments=(instrument,),
        candles=(market(instrument.symbol) if candles is None else candles,),
        **values,
    )


def five(candles: Mapping[str, Candles] | None = None) -> tuple[AccountBot, ...]:
    """Make five bots on two coins."""
    coins = {name: BTC if name in ("mean_reversion", "triple_ema") else ETH for name in FIVE}
    given = candles or {}
    return tuple(bot(name, instrument=coin, candles=given.get(coin.symbol)) for name, coin in coins.items())


def shares(percents: Mapping[str, Decimal], *later: Version, **policy: Any) -> Shares:
    """Deal an account out from the beginning on."""
    return Shares(versions=(Version(at=BEGIN_AT, percents=percents), *later), policy=Policy(**policy))


def plan(bots: Sequence[AccountBot], sharing: Shares | Turns, **values: Any) -> AccountPlan:
    """Make a plan."""
    known: dict[str, Any] = {"capital": CAPITAL, "begin_at": BEGIN_AT, "end_at": END_AT, "costs": COSTS}
    return AccountPlan(name="test", bots=tuple(bots), sharing=sharing, **known | values)


def changing() -> AccountPlan:
    """Plan five bots whose shares change, are dealt out anew every day, and leave a reserve."""
    halfway = Version(at=BEGIN_AT + timedelta(days=3, hours=7), percents={"grid": Decimal(2), "triple_ema": Decimal(34)})
    return plan(
        five(), shares(PERCENTS, halfway, reserve_percent=Decimal(10), rebase_hours=24, band_percent=Decimal("0.1")), limits=WIDE
    )


def rotation(policy: str) -> AccountPlan:
    """Plan three turns a day."""
    bots = (bot("grid"), bot("triple_ema"), bot("ema_ribbon", instrument=BTC))
    return plan(bots, Turns(mode=Mode.ROTATION, rotation=parse_rotation(WEEK.format(policy=policy)), budget=Decimal(5000)))


def story(result: AccountResult) -> list[Any]:
    """Tell everything that came of an account."""
    return [
        *((one.key, one.fills, one.cash, one.holdings, one.net_flows, one.reasons, one.refusals) for one in result.bots),
        result.unallocated,
        result.worths.tolist(),
        result.switches,
        result.hard_stops,
    ]


def check_books(result: AccountResult) -> None:
    """Count the account anew from its fills alone, and what came and went, and compare to the last unit."""
    cash, coins = result.capital + result.net_flows, dict[str, Decimal]()
    for one in result.bots:
        for fill in one.fills:
            worth = fill.quantity * fill.price
            bought = fill.side == "buy"
            cash += -worth if bought else worth - fill.fee
            moved = fill.quantity - fill.fee if bought else -fill.quantity
            coins[fill.symbol] = coins.get(fill.symbol, ZERO) + moved
    assert cash == result.unallocated + sum((one.cash for one in result.bots), ZERO)
    holdings = [held for one in result.bots for held in one.holdings]
    for symbol, quantity in coins.items():
        assert quantity == sum((held.quantity for held in holdings if held.symbol == symbol), ZERO)
    assert min([result.unallocated, *(one.cash for one in result.bots), *(held.quantity for held in holdings)]) >= ZERO
    assert sum((one.profit for one in result.bots), ZERO) == result.final_equity - result.capital - result.net_flows
    assert float(result.final_equity) == pytest.approx(result.worths[-1], rel=1e-12, abs=1e-7)


def backtest_of(alone: AccountBot) -> BacktestResult:
    """Trade what a bot that has all of an account trades, without the account."""
    return run_backtest(
        definition=alone.definition,
        params=alone.params,
        candles=alone.candles[0],
        interval_ms=FIVE_MINUTES,
        instrument=ETH,
        costs=COSTS,
        allocation=CAPITAL,
        start=int(BEGIN_AT.timestamp()) * 1000,
    )


@pytest.mark.parametrize("case", FIVE)
def test_a_bot_alone_trades_as_in_its_backtest(case: str) -> None:
    alone = bot(case)

    result = simulate(plan([alone], shares({case: Decimal(100)})))

    expected = backtest_of(alone)
    assert len(expected.fills) >= 4
    assert result.bots[0].fills == expected.fills
    assert result.bots[0].tallies == expected.tallies
    assert (result.final_equity, result.bots[0].reasons) == (expected.final_equity, expected.reasons)
    check_books(result)


@pytest.mark.fault("E22")
@pytest.mark.parametrize("is_trusting", [True, False])
def test_a_stop_that_is_passed_sells_on_an_account_as_in_a_backtest(*, is_trusting: bool) -> None:
    """Opens gap through stops that were set at the close before: sold there, whoever carries the decision out."""
    alone = bot("triple_ema", candles=random_walk(seed=5, bars=BARS, gap=0.008))
    simulation = AccountSimulation(plan([alone], shares({"triple_ema": Decimal(100)})))
    simulation.court.is_trusting = is_trusting
    simulation.run()

    assert simulation.result().bots[0].fills == backtest_of(alone).fills
    assert sum(fill.reason == "STOP_WOULD_TRIGGER" for fill in simulation.result().bots[0].fills) > 1
    check_books(simulation.result())


@pytest.mark.parity("P8")
def test_the_books_add_up_at_every_moment() -> None:
    simulation = AccountSimulation(changing())
    for hours in range(5, 24 * 9, 31):
        simulation.run(BEGIN_AT + timedelta(hours=hours))
        check_books(simulation.result())
    simulation.run()

    result = simulation.result()
    check_books(result)
    assert all(one.fills for one in result.bots)
    # The reserve is dealt to nobody, and capital moved between the books more than once.
    assert result.unallocated > ZERO
    assert len({one.net_flows for one in result.bots}) > 1


def test_a_smaller_share_is_taken_back_and_a_larger_one_funded() -> None:
    at = BEGIN_AT + timedelta(days=2)
    later = Version(at=at, percents={"grid": Decimal(0), "triple_ema": Decimal(36)})
    simulation = AccountSimulation(plan(five(), shares(PERCENTS, later, reserve_percent=Decimal(0))))
    simulation.run(at)
    before = {one.key: one.net_flows for one in simulation.result().bots}
    simulation.run()

    after = {one.key: one for one in simulation.result().bots}
    assert before["triple_ema"] == Decimal("1778.81")
    assert after["triple_ema"].net_flows > before["triple_ema"]
    assert after["grid"].net_flows < before["grid"]


@pytest.mark.parametrize("policy", ["flatten", "carry", "transfer", "wait 30m"])
def test_nobody_enters_outside_its_slot(policy: str) -> None:
    asked = rotation(policy)
    result = simulate(asked)

    assert isinstance(asked.sharing, Turns)
    entries = [(one.key, fill.time) for one in result.bots for fill in one.fills if fill.side == "buy"]
    whose = {(key, turn_at(asked.sharing.rotation, datetime.fromtimestamp(at / 1000, tz=UTC)).bot) for key, at in entries}
    assert whose == {(key, key) for key, _ in entries}
    assert len(whose) >= 2
    assert sum(one.refusals.get("MODE_SLOT_CLOSED", 0) for one in result.bots) > 0
    # Nine days and a bit, with three turns and idle evenings.
    assert len(result.switches) >= 25
    check_books(result)


def test_a_book_that_left_is_flat_unless_it_carries() -> None:
    def sold(policy: str) -> int:
        result = simulate(rotation(policy))
        return sum(fill.reason == "MODE_HANDED_OVER" for one in result.bots for fill in one.fills)

    assert sold("flatten") > 0
    assert sold("carry") == 0


def test_one_bot_has_all_the_budget_in_single_mode() -> None:
    result = simulate(plan(five(), single("grid", budget=Decimal(3000))))

    flows = {one.key: one.net_flows for one in result.bots}
    assert flows == {"grid": Decimal(3000)} | dict.fromkeys(set(FIVE) - {"grid"}, ZERO)
    assert {one.key for one in result.bots if one.fills} == {"grid"}
    check_books(result)


def test_the_soft_cap_refuses_what_could_lose_too_much() -> None:
    tight = replace(WIDE, soft_loss_percent=Decimal("0.05"))

    free, bound = (simulate(plan(five(), shares(PERCENTS), limits=limits)) for limits in (None, tight))

    assert sum(one.refusals.get("RISK_DAILY_LOSS_CAP", 0) for one in bound.bots) > 0
    assert not any("RISK_DAILY_LOSS_CAP" in one.refusals for one in free.bots)
    assert sum(len(one.fills) for one in bound.bots) < sum(len(one.fills) for one in free.bots)


def test_the_hard_cap_sells_out_and_shuts_until_midnight() -> None:
    limits = replace(WIDE, hard_loss_percent=Decimal("0.3"), soft_loss_percent=Decimal("0.3"), fall_percent=Decimal("0.01"))

    result = simulate(plan([bot("grid")], shares({"grid": Decimal(100)}), limits=limits))

    assert result.hard_stops
    at = result.hard_stops[0][0]
    midnight = at.replace(hour=0, minute=0) + timedelta(days=1)
    sold = [fill for fill in result.bots[0].fills if fill.reason == HARD_STOP]
    moments = [datetime.fromtimestamp(fill.time / 1000, tz=UTC) for fill in result.bots[0].fills if fill.side == "buy"]
    assert sold
    assert moments
    assert not [moment for moment in moments if at <= moment < midnight]
    check_books(result)


def test_a_book_of_dust_is_not_shut() -> None:
    """What nobody would buy can neither be sold nor saved, as live (decision 40)."""
    limits = replace(WIDE, hard_loss_percent=Decimal("0.2"), soft_loss_percent=Decimal("0.2"), fall_percent=Decimal("0.01"))

    result = simulate(replace(rotation("flatten"), limits=limits))

    by_key = {one.key: one for one in result.bots}
    worths = [by_key[key].worths[np.searchsorted(result.times, at.timestamp() * 1000)] for at, key in result.hard_stops if key]
    assert worths
    assert min(worths) >= ETH.min_notional


def test_a_bot_may_be_kept_from_buying_what_another_sells() -> None:
    bots = (bot("grid"), bot("mean_reversion"), bot("triple_ema"))
    percents = {one.key: Decimal(30) for one in bots}

    allowed, refused = (
        simulate(plan(bots, shares(percents), limits=limits)) for limits in (WIDE, replace(WIDE, opposite_positions=REFUSE))
    )

    assert not any("CONFLICT_OPPOSITE_POSITION" in one.refusals for one in allowed.bots)
    assert sum(one.refusals.get("CONFLICT_OPPOSITE_POSITION", 0) for one in refused.bots) > 0
    check_books(refused)


def test_the_position_cap_of_a_book_is_kept() -> None:
    capped = bot("triple_ema", position_cap_percent=Decimal("0.5"))

    result = simulate(plan([capped], shares({"triple_ema": Decimal(100)})))

    assert result.bots[0].refusals.get("RISK_POSITION_CAP", 0) > 0
    assert not result.bots[0].fills


@pytest.mark.parametrize("make", [changing, lambda: rotation("transfer"), lambda: replace(changing(), limits=TIGHT)])
def test_stopping_and_going_on_changes_nothing(make: Any) -> None:
    whole = simulate(make())
    simulation = AccountSimulation(make())
    moment = BEGIN_AT
    while moment < END_AT:
        moment += timedelta(minutes=397)
        simulation.run(moment)

    assert story(simulation.result()) == story(whole)


@pytest.mark.parametrize(
    "make",
    [
        changing,
        lambda: rotation("carry"),
        lambda: replace(changing(), limits=TIGHT),
        lambda: replace(rotation("flatten"), limits=TIGHT),
    ],
)
def test_what_is_settled_unasked_is_what_the_rules_would_say(make: Any) -> None:
    swift, strict = AccountSimulation(make()), AccountSimulation(make())
    strict.court.is_trusting = False
    swift.run()
    strict.run()

    assert story(swift.result()) == story(strict.result())
    assert swift.court.decisions > 100


def test_the_future_cannot_change_the_past() -> None:
    cut = BEGIN_AT + timedelta(days=5, hours=3)
    last = (int(cut.timestamp()) * 1000 - FIRST_OPEN) // FIVE_MINUTES

    def other(symbol: str) -> Candles:
        known = market(symbol)
        values = known.values.copy()
        values[:4, last:] = np.rint(values[:4, last:] * 1.5 / 0.01) * 0.01
        return Candles(known.interval_ms, known.times, values)

    def told(candles: Mapping[str, Candles] | None) -> list[Any]:
        asked = changing()
        simulation = AccountSimulation(replace(asked, bots=five(candles)))
        simulation.run(cut)
        early = story(simulation.result())
        simulation.run()
        late = simulation.result()
        before = int(cut.timestamp()) * 1000
        return [early, [[fill for fill in one.fills if fill.time < before] for one in late.bots]]

    mine = told(None)
    assert told({ETH.symbol: other(ETH.symbol), BTC.symbol: other(BTC.symbol)}) == mine
    assert sum(map(len, mine[1])) > 10


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"capital": ZERO}, "capital"),
        ({"end_at": BEGIN_AT}, "end"),
        ({"bots": ()}, "at least one"),
        ({"bots": (bot("grid"), bot("grid"))}, "twice"),
        ({"bots": (replace(bot("grid"), definition=registry.definition("arbitrage")),)}, "needs two exchanges"),
        ({"bots": (replace(bot("grid"), instruments=(ETH, BTC)),)}, "its own candles"),
        ({"bots": (replace(bot("grid"), instruments=(ETH, BTC), candles=(market("a"), market("b"))),)}, "1 to 1 markets"),
        ({"sharing": shares({"nobody": Decimal(1)})}, "no bot nobody"),
        ({"sharing": shares({"grid": Decimal("0.00001")})}, "steps"),
        ({"sharing": Shares(versions=())}, "order of time"),
        ({"sharing": single("nobody")}, "There is no bot nobody"),
        ({"bots": (bot("grid"), bot("triple_ema", instrument=replace(ETH, tick_size=Decimal("0.1"))))}, "other filters"),
    ],
)
def test_a_plan_that_cannot_be_is_refused(values: dict[str, Any], words: str) -> None:
    with pytest.raises(PlanImpossible, match=words):
        replace(plan([bot("grid")], shares({"grid": Decimal(100)})), **values)
