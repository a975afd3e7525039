"""Transfers between a master and its sub-accounts in the ledgers: out of reach, in both books or in neither, within limits."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest
from django.db import IntegrityError, transaction

from portfolio import services
from portfolio.jobs import reconcile, verify
from portfolio.models import Account, AccountTransfer, AuditEntry
from portfolio.selectors.families import family
from portfolio.services import UnableToTransfer
from portfolio.writers import accounts, transfers
from tests.portfolio.world import MARKET_AT, NOW, World

D = Decimal
State = AccountTransfer.State


@pytest.fixture
def sub(world: World) -> Account:
    """Have an empty sub-account, limits, and half of the first book's share unallocated."""
    services.set_transfer_limits(account_id=world.account_id, per_transfer=D(500), per_day=D(800), by=None, now=NOW)
    services.set_allocations(
        account_id=world.account_id, percents={world.books[0].pk: D(10)}, by=None, now=NOW, market_at=MARKET_AT
    )
    return new_sub(world, "second")


def new_sub(world: World, name: str, *, master: bool = True) -> Account:
    """Open an account of no money, under the world's master or under none."""
    account = services.open_account(
        name=name,
        market=world.account().market,
        mode="paper",
        deploy=name[:6],
        quote_asset="USDT",
        balances={},
        books=[],
        now=NOW,
        market_at=MARKET_AT,
        venue_uid=name,
    )
    if master:
        account.master_id, account.venue_name = world.account_id, f"{name}@venue"
        account.save(update_fields=["master", "venue_name"])
    return account


def ask(world: World, receiver: Account, amount: str, *, back: bool = False) -> AccountTransfer:
    """Ask for a transfer of quote from the master to a sub-account, or back."""
    ends = (receiver.pk, world.account_id) if back else (world.account_id, receiver.pk)
    return services.request_transfer(
        sender_id=ends[0], receiver_id=ends[1], asset="USDT", amount=D(amount), by=None, now=NOW, reason="test"
    )


def compare(account_id: int, total: str) -> str:
    """Compare with an exchange that holds so much quote."""
    row = reconcile.compare(
        account_id=account_id,
        totals={"USDT": D(total)},
        cause="test",
        market_at=MARKET_AT,
        duration_ms=1,
        # Long after anything was sent or ended.
        now=NOW + timedelta(minutes=5),
    )
    return str(row.outcome)


def end(transfer: AccountTransfer, state: str) -> None:
    """End a transfer, one way or the other."""
    with transaction.atomic():
        if state == State.DONE:
            transfers.complete(transfer.pk, exchange_id="7", now=NOW)
        else:
            transfers.give_back(transfer.pk, state=state, outcome="The exchange said no.", now=NOW)


def test_i37_until_its_end_a_transfer_is_exact_wherever_the_exchange_shows_it(world: World, sub: Account) -> None:
    """Before, in flight on either side of the exchange's books, and afterwards: no unit is ever unexplained."""
    asked = ask(world, sub, "300")
    assert compare(world.account_id, "9882.31") == "exact"
    assert transfers.claim(asked.pk, now=NOW)
    for master_holds, sub_holds in (("9882.31", "0"), ("9582.31", "300"), ("9582.31", "0")):
        assert (compare(world.account_id, master_holds), compare(sub.pk, sub_holds)) == ("exact", "exact")
    # Any other difference is none of the transfer's.
    assert compare(sub.pk, "299.99999999") == "residual"
    assert compare(sub.pk, "0") == "exact"
    end(asked, State.DONE)

    assert (compare(world.account_id, "9582.31"), compare(sub.pk, "300")) == ("exact", "exact")
    both = family(world.account_id)
    assert [member.equity for member in both.members] == [D("9582.31"), D(300)]
    assert (both.equity, both.pnl, both.is_exact) == (D("9882.31"), D(0), True)
    assert [verify.verify(account_id) for account_id in (world.account_id, sub.pk)] == [[], []]


def test_i37_a_transfer_that_did_not_happen_comes_back(world: World, sub: Account) -> None:
    """The money was out of reach meanwhile, and is where it was."""
    before = family(world.account_id).members[0].unallocated
    asked = ask(world, sub, "300")
    assert family(world.account_id).members[0].unallocated == before - D(300)
    transfers.claim(asked.pk, now=NOW)
    end(asked, State.ABSENT)
    end(asked, State.DONE)

    asked.refresh_from_db()
    assert asked.state == State.ABSENT
    assert family(world.account_id).members[0].unallocated == before
    assert (compare(world.account_id, "9882.31"), compare(sub.pk, "0")) == ("exact", "exact")
    assert AuditEntry.objects.filter(action__startswith="transfer.", subject=f"transfer:{asked.pk}").count() == 2


def test_a_transfer_is_claimed_once_and_two_are_never_in_flight(world: World, sub: Account) -> None:
    """Whoever comes second has nothing to send."""
    first, second = ask(world, sub, "100"), ask(world, sub, "100")

    assert [transfers.claim(first.pk, now=NOW) for _ in range(2)] == [True, False]
    with pytest.raises(IntegrityError), transaction.atomic():
        transfers.claim(second.pk, now=NOW)
    end(first, State.DONE)
    assert not transfers.claim(first.pk, now=NOW)
    assert transfers.claim(second.pk, now=NOW)


def test_what_the_stream_tells_of_a_transfer_is_posted_by_the_transfer_alone(world: World, sub: Account) -> None:
    """The echo of each side is known once; another flow of that amount is a deposit."""
    asked = ask(world, sub, "100")
    transfers.claim(asked.pk, now=NOW)
    row = accounts.lock(sub.pk)
    heard = [
        transfers.recognise(row, asset="USDT", amount=D(amount), reference=reference, now=NOW)
        for amount, reference in (("100", "a"), ("100", "a"), ("100", "b"), ("99", "c"), ("-100", "d"))
    ]

    assert heard == [True, True, False, False, False]
    assert transfers.recognise(world.account(), asset="USDT", amount=D(-100), reference="e", now=NOW)


@pytest.mark.parametrize(
    ("amounts", "code"),
    [
        (["500.00000001"], "TRANSFER_LIMIT"),
        (["500", "300.00000001"], "TRANSFER_LIMIT_DAY"),
        (["-1"], "TRANSFER_AMOUNT"),
        (["0"], "TRANSFER_AMOUNT"),
        (["NaN"], "TRANSFER_AMOUNT"),
        (["0.000000001"], "TRANSFER_AMOUNT"),
    ],
)
def test_limits_hold_a_transfer_and_a_day(world: World, sub: Account, amounts: list[str], code: str) -> None:
    """What is over is refused with its reason, and nothing is written."""
    for amount in amounts[:-1]:
        ask(world, sub, amount)
    with pytest.raises(UnableToTransfer) as refused:
        ask(world, sub, amounts[-1])

    assert refused.value.code == code
    assert AccountTransfer.objects.count() == len(amounts) - 1


def test_a_refused_transfer_counts_against_no_limit(world: World, sub: Account) -> None:
    """What came back did not move."""
    first = ask(world, sub, "500")
    end(first, State.REFUSED)

    assert ask(world, sub, "500").state == State.RECORDED


def test_only_unallocated_money_moves_and_only_inside_a_family(world: World, sub: Account) -> None:
    """A bot's capital stays a bot's; a stranger has no way in; without limits nothing moves."""
    stranger = new_sub(world, "third", master=False)
    codes = []
    for receiver, amount, back in ((stranger, "1", False), (sub, "0.01", True), (sub, "501", False)):
        with pytest.raises(UnableToTransfer) as refused:
            ask(world, receiver, amount, back=back)
        codes.append(refused.value.code)
    services.set_transfer_limits(account_id=world.account_id, per_transfer=None, per_day=D(1), by=None, now=NOW)
    with pytest.raises(UnableToTransfer) as refused:
        ask(world, sub, "1")

    assert [*codes, refused.value.code] == [
        "TRANSFER_STRANGERS",
        "CAPITAL_INSUFFICIENT",
        "TRANSFER_LIMIT",
        "TRANSFER_LIMIT_UNSET",
    ]
