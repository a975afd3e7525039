"""What the exchange's history tells is booked where books and balances differ by it, once, and never against them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal

import pytest
from django.db import transaction

from exchange.errors import ExchangeTrouble, Outcome
from exchange.ports import FlowReport, RecordedFlow
from portfolio import selectors, services
from portfolio.models import Account, FlowCursor, KnownFlow, LedgerTransaction, Reconciliation
from portfolio.trader import records
from portfolio.trader.flow_history import AGAIN_SECONDS, LOOK_SECONDS
from portfolio.writers import accounts, flow_history, flows
from tests.portfolio.trader.lagging import Bench, account_of, bench
from tests.portfolio.world import MARKET_AT, NOW, World, build

D = Decimal
pytestmark = pytest.mark.timeout(120)


@pytest.fixture
def world(transactional_db: None) -> World:
    return build(balances={"USDT": D("9882.31"), "BNB": D(2)})


def recorded(number: str, amount: str, *, minutes: float = -5, asset: str = "USDT") -> RecordedFlow:
    """Make a flow that was through so many minutes after the test's beginning."""
    at = NOW + timedelta(minutes=minutes)
    return RecordedFlow(number=number, asset=asset, amount=D(amount), began_at=at, cleared_at=at, has_moved=True, is_final=True)


def came(world: World, amount: str, asset: str = "USDT") -> None:
    """Have something come to the exchange, or leave it, and nobody hear of it."""
    world.exchange.free[asset] += D(amount)


def told(amount: str, at: datetime, number: int = 1, asset: str = "USDT") -> FlowReport:
    """Make what the stream tells of a flow."""
    return FlowReport(asset, D(amount), at, f"{asset}:{number}:{amount}")


def run(world: World, story: Callable[[Bench], Awaitable[None]], *, tells: bool = True) -> None:
    async def tell() -> None:
        async with bench(world, tells_flows=tells) as opened:
            await story(opened)

    asyncio.run(tell())


async def hear(opened: Bench, *reports: FlowReport) -> None:
    """Have the stream tell."""
    session = opened.session
    await session.answers.run(records.record_events, session.account_id, session.epoch, list(reports), now=session.now())


def booked(world: World) -> list[tuple[str, str]]:
    """Return the flows in the books but the opening, by kind and reference."""
    rows = LedgerTransaction.objects.filter(account=world.account_id, kind__in=flows.KINDS)
    return list(rows.exclude(reference__startswith="opening").order_by("seq").values_list("kind", "reference"))


def unallocated(world: World) -> Decimal:
    return selectors.account_overview(world.account_id).unallocated


def test_a_deposit_that_nobody_heard_of_is_the_operators(world: World) -> None:
    before, pnl = unallocated(world), selectors.account_overview(world.account_id).pnl
    came(world, "500")

    async def story(opened: Bench) -> None:
        opened.port.recorded.append(recorded("7", "500"))
        assert await opened.sandwich.compare("startup") == "exact"

    run(world, story)
    assert booked(world) == [("deposit", "history:deposit:7")]
    assert unallocated(world) == before + 500
    assert (account_of(world).state, selectors.account_overview(world.account_id).pnl) == (Account.State.ACTIVE, pnl)
    assert not LedgerTransaction.objects.filter(kind="suspense").exists()
    assert KnownFlow.objects.get().is_booked
    assert world.verify() == []


def test_a_withdrawal_that_nobody_heard_of_is_the_operators(world: World) -> None:
    with transaction.atomic():
        flows.record_flow(world.account(), asset="USDT", amount=D(50), reference="more", market_at=MARKET_AT, now=NOW)
    came(world, "50")
    came(world, "-30.5")

    async def story(opened: Bench) -> None:
        opened.port.recorded.append(recorded("w", "-30.5"))
        assert await opened.sandwich.compare("startup") == "exact"

    run(world, story)
    assert booked(world)[-1] == ("withdrawal", "history:withdrawal:w")
    assert account_of(world).state == Account.State.ACTIVE
    assert world.verify() == []


def test_a_deposit_and_a_withdrawal_of_one_number_are_two(world: World) -> None:
    """The exchange counts each on its own."""
    came(world, "100")

    async def story(opened: Bench) -> None:
        opened.port.recorded.append(recorded("7", "100"))
        assert await opened.sandwich.compare("startup") == "exact"
        came(world, "-30")
        opened.port.recorded.append(recorded("7", "-30", minutes=-4))
        opened.port.elapsed += AGAIN_SECONDS + 1
        assert await opened.sandwich.compare("cycle") == "exact"

    run(world, story)
    assert booked(world) == [("deposit", "history:deposit:7"), ("withdrawal", "history:withdrawal:7")]
    assert world.verify() == []


def test_a_withdrawal_beyond_the_operators_money_halts_entries_and_is_named(world: World) -> None:
    """2.3(5): which bot's capital shrinks is a person's choice."""
    came(world, "-500")

    async def story(opened: Bench) -> None:
        opened.port.recorded.append(recorded("w", "-500"))
        assert await opened.sandwich.compare("startup") == "residual"

    run(world, story)
    assert booked(world) == [("withdrawal", "history:withdrawal:w")]
    assert account_of(world).state_reason == accounts.RECONCILE_RESIDUAL
    assert world.verify() == []


def test_what_the_stream_told_is_not_booked_again(world: World) -> None:
    """Another 100 have come, of which no history tells."""
    came(world, "100")

    async def story(opened: Bench) -> None:
        await hear(opened, told("100", NOW - timedelta(minutes=5)))
        opened.port.recorded.append(recorded("1", "100"))
        came(world, "100")
        assert await opened.sandwich.compare("cycle") == "residual"

    run(world, story)
    assert booked(world) == [("deposit", "USDT:1:100")]
    assert account_of(world).state_reason == accounts.RECONCILE_RESIDUAL
    assert world.verify() == []


def test_of_two_equal_deposits_the_one_that_the_stream_missed_is_booked(world: World) -> None:
    came(world, "200")

    async def story(opened: Bench) -> None:
        opened.port.recorded += [recorded("1", "100"), recorded("2", "100", minutes=-5 + 1 / 60)]
        await hear(opened, told("100", NOW - timedelta(minutes=5)))
        assert await opened.sandwich.compare("cycle") == "exact"

    run(world, story)
    assert len(booked(world)) == 2
    assert world.verify() == []


def test_what_the_stream_tells_late_of_a_booked_flow_is_an_echo(world: World) -> None:
    """And what it tells once more, too; the next one of that amount is another one."""
    came(world, "100")

    async def story(opened: Bench) -> None:
        opened.port.recorded.append(recorded("1", "100"))
        assert await opened.sandwich.compare("cycle") == "exact"
        late = told("100", NOW - timedelta(minutes=5))
        await hear(opened, late, late)
        assert await opened.sandwich.compare("cycle") == "exact"
        came(world, "100")
        await hear(opened, told("100", NOW - timedelta(minutes=5), 2), late)
        assert await opened.sandwich.compare("cycle") == "exact"

    run(world, story)
    assert booked(world) == [("deposit", "history:deposit:1"), ("deposit", "USDT:2:100")]
    assert KnownFlow.objects.get(name="deposit:1").echo == "USDT:1:100"
    assert world.verify() == []


def test_an_hour_later_an_equal_flow_is_no_echo_any_more(world: World) -> None:
    came(world, "100")

    async def story(opened: Bench) -> None:
        opened.port.recorded.append(replace(recorded("1", "100"), cleared_at=None))
        assert await opened.sandwich.compare("cycle") == "exact"
        opened.port.elapsed += 3601
        came(world, "100")
        await hear(opened, told("100", NOW + timedelta(hours=1)))
        assert await opened.sandwich.compare("cycle") == "exact"

    run(world, story)
    assert len(booked(world)) == 2


def test_a_flow_taken_for_an_echo_comes_back_by_its_number(world: World) -> None:
    """The trader was down when the first came, so its stream never tells of it; the second is told within the hour."""
    came(world, "100")

    async def story(opened: Bench) -> None:
        opened.port.recorded.append(replace(recorded("1", "100"), cleared_at=None))
        assert await opened.sandwich.compare("startup") == "exact"
        opened.port.elapsed += 600
        came(world, "100")
        await hear(opened, told("100", NOW + timedelta(minutes=9)))
        opened.port.recorded.append(recorded("2", "100", minutes=9))
        assert await opened.sandwich.compare("cycle") == "exact"

    run(world, story)
    assert booked(world) == [("deposit", "history:deposit:1"), ("deposit", "history:deposit:2")]
    assert world.verify() == []


def test_a_pending_deposit_is_not_booked_and_holds_the_cursor(world: World) -> None:
    pending = replace(recorded("1", "100", minutes=-60), has_moved=False, is_final=False, cleared_at=None)

    async def story(opened: Bench) -> None:
        opened.port.recorded.append(pending)
        assert await opened.sandwich.compare("startup") == "exact"
        cursor = await opened.session.database.run(flow_history.cursor, world.account_id)
        assert cursor is not None
        assert cursor.through_at == pending.began_at
        came(world, "100")
        opened.port.recorded[:] = [replace(pending, has_moved=True, is_final=True, cleared_at=NOW)]
        opened.port.elapsed += AGAIN_SECONDS + 120
        assert await opened.sandwich.compare("cycle") == "exact"

    run(world, story)
    assert booked(world) == [("deposit", "history:deposit:1")]
    assert FlowCursor.objects.get().through_at > pending.began_at


def test_what_was_there_before_is_known_once_books_and_balances_agree(world: World) -> None:
    """The opening balances hold it: it explains nothing that comes later, though it is as much."""

    async def story(opened: Bench) -> None:
        opened.port.recorded.append(recorded("1", "100", minutes=-600))
        assert await opened.sandwich.compare("startup") == "exact"
        came(world, "100")
        opened.port.elapsed += AGAIN_SECONDS
        assert await opened.sandwich.compare("cycle") == "residual"

    run(world, story)
    known = KnownFlow.objects.get()
    assert (known.name, known.is_booked, known.transaction) == ("deposit:1", False, None)
    assert booked(world) == []
    assert account_of(world).state_reason == accounts.RECONCILE_RESIDUAL


def test_what_the_stream_told_is_known_by_its_number_after_the_next_look(world: World) -> None:
    async def story(opened: Bench) -> None:
        assert await opened.sandwich.compare("startup") == "exact"
        came(world, "100")
        await hear(opened, told("100", NOW + timedelta(minutes=1)))
        opened.port.recorded.append(recorded("1", "100", minutes=1))
        opened.port.elapsed += LOOK_SECONDS
        assert await opened.sandwich.compare("cycle") == "exact"

    run(world, story)
    known = KnownFlow.objects.select_related("transaction").get()
    assert known.transaction is not None
    assert (known.is_booked, known.transaction.reference) == (False, "USDT:1:100")


def test_what_has_just_moved_is_not_yet_known(world: World) -> None:
    """It may show in the history before it shows in the balances: books and balances agree, and both lack it."""

    async def story(opened: Bench) -> None:
        opened.port.recorded.append(recorded("1", "100", minutes=-0.5))
        assert await opened.sandwich.compare("startup") == "exact"
        came(world, "100")
        opened.port.elapsed += AGAIN_SECONDS
        assert await opened.sandwich.compare("cycle") == "exact"

    run(world, story)
    assert booked(world) == [("deposit", "history:deposit:1")]


def test_a_difference_that_the_history_does_not_explain_stays_one(world: World) -> None:
    """One unit more than was deposited: nobody knows what it is, so nothing is booked."""
    came(world, "100.00000001")

    async def story(opened: Bench) -> None:
        opened.port.recorded.append(recorded("1", "100"))
        assert await opened.sandwich.compare("startup") == "residual"

    run(world, story)
    assert booked(world) == []
    assert account_of(world).state_reason == accounts.RECONCILE_RESIDUAL


def test_a_history_that_shows_late_ends_the_halt_of_its_difference(world: World) -> None:
    before = unallocated(world)
    came(world, "100")

    async def story(opened: Bench) -> None:
        assert await opened.sandwich.compare("cycle") == "residual"
        opened.port.recorded.append(recorded("1", "100"))
        opened.port.elapsed += AGAIN_SECONDS
        assert await opened.sandwich.compare("cycle") == "exact"

    run(world, story)
    assert (account_of(world).state, account_of(world).state_reason) == (Account.State.ACTIVE, "")
    assert unallocated(world) == before + 100
    assert world.verify() == []


def test_what_a_person_has_explained_is_not_booked_by_the_history(world: World) -> None:
    came(world, "100")

    def explain() -> None:
        services.explain_suspense(
            account_id=world.account_id, asset="USDT", amount=D(100), kind="deposit", by=None, reason="mine", now=NOW
        )

    async def story(opened: Bench) -> None:
        assert await opened.sandwich.compare("cycle") == "residual"
        await opened.session.database.run(explain)
        opened.port.recorded.append(recorded("1", "100"))
        opened.port.elapsed += LOOK_SECONDS
        assert await opened.sandwich.compare("cycle") == "exact"

    run(world, story)
    assert booked(world) == []
    assert not KnownFlow.objects.get().is_booked
    assert world.verify() == []


@pytest.mark.fault("E09", "E12", "E18")
@pytest.mark.parametrize(
    "trouble",
    [
        ExchangeTrouble(Outcome.UNAVAILABLE, "HTTP 503: maintenance"),
        ExchangeTrouble(Outcome.BACKOFF_WEIGHT, "HTTP 429: too much", code=-1003),
        ExchangeTrouble(Outcome.KEY_INVALID, "HTTP 401: Invalid API-key, IP, or permissions for action.", code=-2015),
        ExchangeTrouble(Outcome.UNKNOWN, "This cannot be read as a deposit"),
    ],
)
def test_a_history_that_cannot_be_read_leaves_the_difference_to_a_person_and_says_so(
    world: World, trouble: ExchangeTrouble
) -> None:
    """A key without the right is a key all the same: the account trades on as before there was a history."""

    async def story(opened: Bench) -> None:
        opened.port.troubles["flows"] = [trouble]
        assert await opened.sandwich.compare("startup") == "exact"
        assert opened.session.facts()["flow_history"] == str(trouble)
        came(world, "100")
        opened.port.recorded.append(recorded("1", "100"))
        assert await opened.sandwich.compare("cycle") == "residual"
        opened.port.elapsed += AGAIN_SECONDS
        assert await opened.sandwich.compare("cycle") == "exact"
        assert opened.session.facts()["flow_history"] == "told"

    run(world, story)
    row = Reconciliation.objects.get(outcome="residual")
    assert row.facts == {"flow_history": str(trouble)}


def test_where_the_exchange_tells_of_no_flows_nobody_asks(world: World) -> None:
    """The testnet has no such history."""
    came(world, "100")

    async def story(opened: Bench) -> None:
        opened.port.recorded.append(recorded("1", "100"))
        assert await opened.sandwich.compare("startup") == "residual"
        assert opened.port.calls["flows"] == 0
        assert opened.session.facts()["flow_history"] == "untold"

    run(world, story, tells=False)
    assert Reconciliation.objects.get().facts == {"flow_history": "untold"}


def test_the_history_is_not_asked_more_often_than_the_exchange_lets(world: World) -> None:
    came(world, "100")

    async def story(opened: Bench) -> None:
        for _ in range(5):
            await opened.sandwich.compare("cycle")
        assert opened.port.calls["flows"] == 1
        opened.port.elapsed += AGAIN_SECONDS
        await opened.sandwich.compare("cycle")
        assert opened.port.calls["flows"] == 2

    run(world, story)


def test_assets_are_explained_apart(world: World) -> None:
    """What cannot be explained in one is no reason to leave another in suspense."""
    came(world, "100")
    came(world, "0.5", "BNB")

    async def story(opened: Bench) -> None:
        opened.port.recorded += [recorded("1", "100"), recorded("2", "0.4", asset="BNB")]
        assert await opened.sandwich.compare("startup") == "residual"

    run(world, story)
    assert booked(world) == [("deposit", "history:deposit:1")]
    assert selectors.residuals(world.account_id) == {"BNB": D("0.5")}


def test_a_trader_that_begins_again_and_again_does_not_ask_again_and_again(world: World) -> None:
    """Once books and balances have agreed; a difference is another matter."""
    asked = []

    async def story(opened: Bench) -> None:
        assert await opened.sandwich.compare("startup") == "exact"
        asked.append(opened.port.calls["flows"])

    for _ in range(3):
        run(world, story)
    assert asked == [1, 0, 0]
