"""Shares of a family: set, proposed, sent at one word, and refused when they are not what somebody looked at."""

from __future__ import annotations

from decimal import Decimal

import pytest

from portfolio import services
from portfolio.models import Account, AccountTransfer, AuditEntry
from portfolio.services import UnableToTransfer
from portfolio.services.rebalancing import Proposals
from portfolio.writers import transfers
from tests.portfolio.test_transfers import D, end, let_move, new_sub
from tests.portfolio.world import MARKET_AT, NOW, World
from trading.rebalancing import Move


@pytest.fixture
def subs(world: World) -> list[Account]:
    """Have two empty sub-accounts under a master of which 2000 and a little are nobody's."""
    let_move(world.account_id)
    services.set_transfer_limits(account_id=world.account_id, per_transfer=D(1500), per_day=D(1800), by=None, now=NOW)
    percents = dict.fromkeys((book.pk for book in world.books), D(15))
    services.set_allocations(account_id=world.account_id, percents=percents, by=None, now=NOW, market_at=MARKET_AT)
    return [new_sub(world, name) for name in ("second", "third")]


def set_targets(world: World, *percents: str | None, subs: list[Account]) -> None:
    given = {sub.pk: None if one is None else D(one) for sub, one in zip(subs, percents, strict=False)}
    services.set_targets(master_id=world.account_id, percents=given, by=None, now=NOW)


def propose(world: World) -> Proposals:
    return services.propose_transfers(world.account_id, now=NOW)


def execute(world: World, *moves: Move) -> list[AccountTransfer]:
    return services.execute_proposals(master_id=world.account_id, moves=moves, by=None, now=NOW)


def refused(world: World, *moves: Move) -> str:
    with pytest.raises(UnableToTransfer) as error:
        execute(world, *moves)
    return error.value.code


def test_what_is_proposed_is_sent_at_one_word_and_then_nothing_is_left_to_do(world: World, subs: list[Account]) -> None:
    assert propose(world).code == "TARGETS_UNSET"
    set_targets(world, "10", "5", subs=subs)
    found = propose(world)
    assert [(move.receiver_id, move.amount) for move in found.moves] == [(subs[0].pk, D("988.23")), (subs[1].pk, D("494.11"))]

    rows = execute(world, *found.moves)
    assert [row.amount for row in rows] == [D("988.23"), D("494.11")]
    assert propose(world).code == refused(world, *found.moves) == "TRANSFER_UNDER_WAY"
    for row in rows:
        transfers.claim(row.pk, now=NOW)
        end(row, AccountTransfer.State.DONE)

    assert propose(world).moves == ()
    assert [standing.equity for standing in propose(world).standings] == [D("8399.97"), D("988.23"), D("494.11")]
    assert refused(world, *found.moves) == "PROPOSAL_STALE"
    assert AuditEntry.objects.filter(action="transfer.request").count() == 2


def test_more_than_is_needed_is_refused_and_all_or_none_is_written(world: World, subs: list[Account]) -> None:
    set_targets(world, "10", "5", subs=subs)
    fits = Move(sender_id=world.account_id, receiver_id=subs[0].pk, amount=D(900))
    assert refused(world) == "PROPOSALS_NONE"
    assert refused(world, Move(sender_id=world.account_id, receiver_id=subs[0].pk, amount=D(1500)), fits) == "PROPOSAL_STALE"
    assert refused(world, Move(sender_id=world.account_id, receiver_id=10**9, amount=D(1))) == "PROPOSAL_STALE"
    # The first alone would pass; with the second the day's limit is over.
    services.set_transfer_limits(account_id=world.account_id, per_transfer=D(1500), per_day=D(1000), by=None, now=NOW)
    assert refused(world, fits, Move(sender_id=world.account_id, receiver_id=subs[1].pk, amount=D(400))) == "TRANSFER_LIMIT_DAY"
    assert not AccountTransfer.objects.exists()


def test_limits_and_free_money_say_why_less_is_proposed(world: World, subs: list[Account]) -> None:
    set_targets(world, "20", "20", subs=subs)
    found = propose(world)
    assert sum((move.amount for move in found.moves), D(0)) == D(1800)
    assert {standing.held_back for standing in found.standings} == {
        "CAPITAL_INSUFFICIENT",
        "TRANSFER_LIMIT",
        "TRANSFER_LIMIT_DAY",
    }
    services.set_transfer_limits(account_id=world.account_id, per_transfer=None, per_day=None, by=None, now=NOW)
    assert propose(world).code == "TRANSFER_LIMIT_UNSET"


def test_shares_are_kept_changed_and_taken_away(world: World, subs: list[Account]) -> None:
    set_targets(world, "10", "5", subs=subs)
    set_targets(world, "90", subs=subs)
    assert list(Account.objects.filter(master=world.account_id).order_by("id").values_list("target_percent", flat=True)) == [
        90,
        5,
    ]
    for percents, code in ((("95.0001",), "TARGET_SUM"), (("-1",), "TARGET_PERCENT"), (("NaN",), "TARGET_PERCENT")):
        with pytest.raises(UnableToTransfer) as error:
            set_targets(world, *percents, subs=subs)
        assert error.value.code == code
    set_targets(world, None, None, subs=subs)
    assert propose(world).code == "TARGETS_UNSET"
    for master_id, code in ((subs[0].pk, "TRANSFER_NOT_MASTER"), (world.account_id, "ACCOUNT_UNKNOWN")):
        with pytest.raises(UnableToTransfer) as error:
            services.set_targets(master_id=master_id, percents={world.account_id: Decimal(1)}, by=None, now=NOW)
        assert error.value.code == code
