"""Transfers between a master and its sub-accounts in the ledgers: out of reach, in both books or in neither, within limits."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import IntegrityError, transaction

from exchange.ports import RecordedFlow
from marketdata.models import Market
from portfolio import services
from portfolio.jobs import reconcile, verify
from portfolio.models import Account, AccountTransfer, AuditEntry, Book, Credential, Heartbeat
from portfolio.selectors import books_exact
from portfolio.selectors.families import family
from portfolio.services import UnableToTransfer
from portfolio.writers import accounts, flow_history, transfers
from portfolio.writers.books import open_book
from tests.portfolio.world import MARKET_AT, NOW, World

D = Decimal
State = AccountTransfer.State


@pytest.fixture
def sub(world: World) -> Account:
    """Have an empty sub-account, limits, half of the first book's share unallocated, and somebody to carry it."""
    let_move(world.account_id)
    services.set_transfer_limits(account_id=world.account_id, per_transfer=D(500), per_day=D(800), by=None, now=NOW)
    services.set_allocations(
        account_id=world.account_id, percents={world.books[0].pk: D(10)}, by=None, now=NOW, market_at=MARKET_AT
    )
    return new_sub(world, "second")


def let_move(master_id: int) -> None:
    """Have a key that may move money, and a trader that is alive."""
    key = {"key_last4": "last", "fingerprint": "one of its own", "sealed": "sealed", "created_at": NOW}
    Credential.objects.create(account_id=master_id, role=Credential.Role.TRANSFER, **key)
    Heartbeat.objects.create(process=f"trader {master_id}", beat_at=NOW)


def new_sub(world: World, name: str, *, master: bool = True, live: Market | None = None) -> Account:
    """Open an account of no money, under the world's master or under none."""
    account = services.open_account(
        name=name,
        market=live or world.account().market,
        mode="paper" if live is None else "live",
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


def ask(
    world: World, receiver: Account, amount: str, *, back: bool = False, asset: str = "USDT", recall: bool = False
) -> AccountTransfer:
    """Ask for a transfer from the master to a sub-account, or back."""
    ends = (receiver.pk, world.account_id) if back else (world.account_id, receiver.pk)
    return services.request_transfer(
        sender_id=ends[0], receiver_id=ends[1], asset=asset, amount=D(amount), by=None, now=NOW, recall=recall, reason="test"
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
    both = family(world.account_id, now=NOW)
    assert [member.equity for member in both.members] == [D("9582.31"), D(300)]
    assert (both.equity, both.pnl, both.is_exact) == (D("9882.31"), D(0), True)
    assert [verify.verify(account_id) for account_id in (world.account_id, sub.pk)] == [[], []]


def test_i37_a_transfer_that_did_not_happen_comes_back(world: World, sub: Account) -> None:
    """The money was out of reach meanwhile, and is where it was."""
    before = family(world.account_id, now=NOW).members[0].unallocated
    asked = ask(world, sub, "300")
    assert family(world.account_id, now=NOW).members[0].unallocated == before - D(300)
    transfers.claim(asked.pk, now=NOW)
    end(asked, State.ABSENT)
    end(asked, State.DONE)

    asked.refresh_from_db()
    assert asked.state == State.ABSENT
    assert family(world.account_id, now=NOW).members[0].unallocated == before
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
        (["Infinity"], "TRANSFER_AMOUNT"),
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


@pytest.mark.parametrize(
    ("asset", "amount", "code"),
    [
        ("DOGE", "1", "ASSET_UNKNOWN"),
        ("usdt", "1", "ASSET_UNKNOWN"),
        ("BTC", "1", "CAPITAL_INSUFFICIENT"),
        ("USDT", "988.25", "CAPITAL_INSUFFICIENT"),
        ("USDT", "100000000000000000000", "CAPITAL_INSUFFICIENT"),
    ],
)
def test_what_is_not_there_cannot_move(world: World, sub: Account, asset: str, amount: str, code: str) -> None:
    """An asset that the market does not know, or more than nobody owns."""
    services.set_transfer_limits(account_id=world.account_id, per_transfer=D(10**6), per_day=D(10**6), by=None, now=NOW)
    with pytest.raises(UnableToTransfer) as refused:
        ask(world, sub, amount, asset=asset)

    assert refused.value.code == code
    assert services.preview_transfer(wish(world, sub, amount, asset=asset), now=NOW).code == code
    assert not AccountTransfer.objects.exists()


def wish(world: World, sub: Account, amount: str, **words: Any) -> services.TransferWish:
    """Wish a transfer to a sub-account."""
    given = {"asset": "USDT"} | words
    return services.TransferWish(sender_id=world.account_id, receiver_id=sub.pk, amount=D(amount), **given)


def trader_is_away(world: World, _sub: Account) -> None:
    Heartbeat.objects.update(beat_at=NOW - timedelta(minutes=1))


def key_is_missing(world: World, _sub: Account) -> None:
    Credential.objects.all().delete()


def key_is_troubled(world: World, _sub: Account) -> None:
    Credential.objects.update(trouble="may withdraw")


def receiver_is_not_in_use(_world: World, sub: Account) -> None:
    Account.objects.filter(pk=sub.pk).update(is_enabled=False)


def receiver_is_unexplained(_world: World, sub: Account) -> None:
    assert compare(sub.pk, "5") == "residual"


def receiver_is_a_stranger(_world: World, sub: Account) -> None:
    Account.objects.filter(pk=sub.pk).update(master=None)


@pytest.mark.parametrize(
    ("spoil", "code"),
    [
        (trader_is_away, "TRADER_AWAY"),
        (key_is_missing, "TRANSFER_KEY_MISSING"),
        (key_is_troubled, "TRANSFER_KEY_MISSING"),
        (receiver_is_not_in_use, "ACCOUNT_DISABLED"),
        (receiver_is_unexplained, "RECONCILE_RESIDUAL"),
        (receiver_is_a_stranger, "TRANSFER_STRANGERS"),
    ],
)
def test_nothing_moves_where_nobody_could_carry_or_take_it(
    world: World, sub: Account, spoil: Callable[[World, Account], None], code: str
) -> None:
    """The reason is named before anything is out of reach."""
    assert services.preview_transfer(wish(world, sub, "1"), now=NOW).code == ""
    spoil(world, sub)
    with pytest.raises(UnableToTransfer) as refused:
        ask(world, sub, "1")

    assert refused.value.code == code
    assert not AccountTransfer.objects.exists()


def test_an_account_is_not_its_own_neighbour(world: World, sub: Account) -> None:
    """Nor is one that does not exist; and from paper to live there is no way at all."""
    market = Market.objects.create(exchange="binance", epoch="live", label="Live", created_at=NOW)
    live = new_sub(world, "live", master=False, live=market).pk
    refusals = ((world.account_id, "TRANSFER_SAME_ACCOUNT"), (10**9, "ACCOUNT_UNKNOWN"), (live, "TRANSFER_MODES"))
    for receiver, code in refusals:
        with pytest.raises(UnableToTransfer) as refused:
            services.preview_transfer(
                services.TransferWish(sender_id=world.account_id, receiver_id=receiver, asset="USDT", amount=D(1)), now=NOW
            )
        assert refused.value.code == code


def test_only_an_administrator_raises_limits(world: World, sub: Account) -> None:
    """Whoever operates may lower them."""
    lower: dict[str, Any] = {"account_id": world.account_id, "per_day": D(800), "by": None, "now": NOW, "may_raise": False}
    services.set_transfer_limits(per_transfer=D(400), **lower)
    with pytest.raises(UnableToTransfer) as refused:
        services.set_transfer_limits(per_transfer=D("400.01"), **lower)
    assert refused.value.code == "RISK_RAISE_NEEDS_ADMIN"
    with pytest.raises(UnableToTransfer):
        services.set_transfer_limits(per_transfer=D("NaN"), **lower)


@pytest.fixture
def owned(world: World, sub: Account) -> Book:
    """Have 300 in the sub-account, all of it its one bot's."""
    asked = ask(world, sub, "300")
    transfers.claim(asked.pk, now=NOW)
    end(asked, State.DONE)
    book = open_book(sub, name="Only one", position_cap_percent=D(100), now=NOW)
    services.set_allocations(account_id=sub.pk, percents={book.pk: D(100)}, by=None, now=NOW, market_at=MARKET_AT)
    return Book.objects.get(pk=book.pk)


def test_a_bot_gives_back_free_cash_when_it_is_asked_for(world: World, sub: Account, owned: Book) -> None:
    """Its capital leaves with the transfer, and comes back with one that did not happen."""
    assert (owned.base_equity, owned.net_flows) == (300, 300)
    with pytest.raises(UnableToTransfer, match="ask for it") as refused:
        ask(world, sub, "120", back=True)
    assert refused.value.code == "CAPITAL_INSUFFICIENT"
    with pytest.raises(UnableToTransfer, match="300 that its bot does not use"):
        ask(world, sub, "300.01", back=True, recall=True)

    asked = ask(world, sub, "120", back=True, recall=True)
    owned.refresh_from_db()
    assert (asked.recalled, owned.base_equity, owned.net_flows) == (120, 180, 180)
    assert books_exact([owned.pk], {})[owned.pk].gained_units == 0, "what was recalled is not lost"
    # What is on its way is nobody's to deal out.
    assert services.rebase_allocations(account_id=sub.pk, by=None, now=NOW, market_at=MARKET_AT).total == 180
    transfers.claim(asked.pk, now=NOW)
    end(asked, State.ABSENT)
    owned.refresh_from_db()
    assert (owned.base_equity, owned.net_flows) == (300, 300)

    asked = ask(world, sub, "120", back=True, recall=True)
    transfers.claim(asked.pk, now=NOW)
    end(asked, State.DONE)
    owned.refresh_from_db()
    both = family(world.account_id, now=NOW)
    assert [member.equity for member in both.members] == [D("9702.31"), D(180)]
    assert (owned.base_equity, both.pnl, both.members[1].funded) == (D(180), D(0), D(180))
    assert (compare(world.account_id, "9702.31"), compare(sub.pk, "180")) == ("exact", "exact")
    assert [verify.verify(account_id) for account_id in (world.account_id, sub.pk)] == [[], []]


def test_a_transfer_is_no_deposit_though_the_history_has_one_of_that_amount(world: World, sub: Account) -> None:
    """I-37: the difference is the transfer's, wherever the exchange shows it, and for a minute after its end."""
    asked = ask(world, sub, "300")
    assert transfers.claim(asked.pk, now=NOW)
    at = NOW - timedelta(minutes=5)
    deposit = RecordedFlow(number="1", asset="USDT", amount=D(300), began_at=at, cleared_at=at, has_moved=True, is_final=True)

    def book(total: str, minutes: float) -> int:
        now = NOW + timedelta(minutes=minutes)
        with transaction.atomic():
            return flow_history.book(accounts.lock(sub.pk), [deposit], {"USDT": D(total)}, now=now)

    assert [book("300", minutes) for minutes in (0, 5)] == [0, 0]
    end(asked, State.DONE)
    assert book("600", 0) == 0
    assert book("600", 5) == 1
    assert compare(sub.pk, "600") == "exact"
