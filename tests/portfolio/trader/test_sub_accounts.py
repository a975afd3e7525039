"""Five sub-accounts, their keys and their transfers, over the real venue with real traders."""

from __future__ import annotations

import urllib.request
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

import pytest
from django.core.management import call_command
from django.utils import timezone

from bots import lineups, venue_control
from bots.services import UnableToOperate, create_bot
from portfolio import services
from portfolio.jobs import reconcile, verify
from portfolio.models import Account, AccountTransfer, Credential, Order
from portfolio.selectors.families import family
from portfolio.services.credentials import store_credential
from portfolio.trader import records
from tests.portfolio.trader.desk import BALANCE, KILLED, MANAGE, Desk

D = Decimal
State = AccountTransfer.State
ENDPOINT = "POST /sapi/v1/sub-account/universalTransfer"


@pytest.fixture
def subs(desk: Desk) -> list[Account]:
    """Open a sub-account for each bot of line-up A with the command, and set limits."""
    call_command("sub_accounts", "--account", str(desk.account_id), "open", "A")
    services.set_transfer_limits(account_id=desk.account_id, per_transfer=D(1000), per_day=D(4000), by=None, now=timezone.now())
    return list(Account.objects.filter(master=desk.account_id).order_by("id"))


def ask(sender_id: int, receiver_id: int, amount: str) -> AccountTransfer:
    """Ask for a transfer of quote."""
    return services.request_transfer(
        sender_id=sender_id, receiver_id=receiver_id, asset="USDT", amount=D(amount), by=None, now=timezone.now()
    )


def has_ended(*rows: AccountTransfer) -> Callable[[], bool]:
    """Say whether these transfers have come to an end, whichever."""
    numbers = [row.pk for row in rows]
    return lambda: not AccountTransfer.objects.filter(id__in=numbers, state__in=AccountTransfer.OPEN).exists()


def state_of(row: AccountTransfer) -> str:
    """Return what became of a transfer."""
    row.refresh_from_db()
    return row.state


def held_at_venue(desk: Desk, account: Account) -> dict[str, Decimal]:
    """Read what the venue's own books hold for an account."""
    books = desk.stack.control(f"/control/books/{account.venue_uid}")
    held = {asset: D(row["free"]) + D(row["locked"]) for asset, row in books["balances"].items()}
    return {asset: total for asset, total in held.items() if total}


def moves_at_venue(desk: Desk, account: Account) -> int:
    """Count what came to an account or left it."""
    return len(desk.stack.control(f"/control/books/{account.venue_uid}")["flows"])


def compare(desk: Desk, account: Account) -> str:
    """Reconcile an account with the venue's own books."""
    row = reconcile.compare(
        account_id=account.pk,
        totals=held_at_venue(desk, account),
        cause="test",
        market_at=desk.market_at(),
        duration_ms=0,
        now=timezone.now(),
    )
    return str(row.outcome)


def check_family(desk: Desk, subs: list[Account]) -> None:
    """Compare every ledger with the venue's books to the last unit."""
    everyone = [desk.account(), *subs]
    for account in everyone:
        assert records.ledger_totals(account.pk) == held_at_venue(desk, account), account.name
        assert verify.verify(account.pk) == []
    all_of_them = family(desk.account_id, now=timezone.now())
    assert (all_of_them.equity, all_of_them.pnl, all_of_them.is_exact) == (BALANCE["USDT"], D(0), True)


def arm(desk: Desk, action: str, fault_id: str, **words: Any) -> None:
    """Have the next transfer go wrong."""
    desk.stack.control("/control/faults", {"id": fault_id, "action": action, "match": {"endpoint": ENDPOINT}, "with": words})


def test_i37_money_goes_to_five_sub_accounts_and_back(desk: Desk, subs: list[Account]) -> None:
    """Six ledgers and six accounts at the venue agree, and what the streams tell is posted once."""
    first = subs[0]
    # Opening them again finds what there is, and a second bot has no place in one (G05).
    call_command("sub_accounts", "--account", str(desk.account_id), "open", "A")
    assert list(Account.objects.filter(master=desk.account_id).order_by("id")) == subs
    assert len({account.venue_uid for account in subs}) == 5
    with pytest.raises(UnableToOperate, match="belongs to one alone"):
        create_bot(account_id=first.pk, planned=lineups.load().bots[1], by=None, now=timezone.now())
    desk.start_trader()
    desk.stack.start(f"trader {first.pk}", [*MANAGE, "run_trader", "--account", str(first.pk)])
    desk.wait(lambda: Account.objects.get(id=first.pk).state == Account.State.ACTIVE, "the sub-account's trader has recovered")
    there = [ask(desk.account_id, account.pk, "300.00000001") for account in subs]
    desk.wait(has_ended(*there), "five transfers have ended")
    # No candle has closed, so nothing is dealt out to the bots yet.
    back = ask(subs[1].pk, desk.account_id, "100")
    aside = ask(subs[2].pk, subs[3].pk, "50")
    desk.wait(has_ended(back, aside), "the way back has ended")
    desk.wait(lambda: bool(AccountTransfer.objects.get(id=there[0].pk).receiver_echo), "the sub-account has heard of it")

    assert [state_of(row) for row in (*there, back, aside)] == [State.DONE] * 7
    check_family(desk, subs)
    assert [compare(desk, account) for account in (desk.account(), *subs)] == ["exact"] * 6
    assert [moves_at_venue(desk, account) for account in subs] == [1, 2, 2, 2, 1]


def test_i37_a_transfer_that_goes_wrong_is_read_and_never_sent_again(desk: Desk, subs: list[Account]) -> None:
    """Refused: it comes back. No answer: read from the history. Never arrived: it comes back when that is proven."""
    desk.start_trader()
    found = []
    for action, fault_id, words in (
        ("answer", "E19", {"status": 400, "code": -2010, "msg": "Account has insufficient balance for requested action."}),
        ("drop_answer", "E03", {}),
        ("answer", "E10", {"code": -1007, "stage": "after"}),
        ("drop_request", "E02", {}),
    ):
        arm(desk, action, fault_id, **words)
        row = ask(desk.account_id, subs[0].pk, "200")
        desk.wait(has_ended(row), f"the transfer has ended after {action}")
        found.append(state_of(row))
        check_family(desk, subs)

    assert found == [State.REFUSED, State.DONE, State.DONE, State.ABSENT]
    assert moves_at_venue(desk, subs[0]) == 2
    assert set(AccountTransfer.objects.values_list("attempts", flat=True)) == {1}
    assert desk.account().state == Account.State.ACTIVE


# The next life ends the transfer of the last one, and dies in the middle of its own. Beside each where the venue stands then.
LIVES = (("transfer_recorded:1", 1, State.DONE), ("transfer_claimed:2", 1, State.ABSENT), ("transfer_sent:1", 2, State.DONE))


def check_lives(desk: Desk, subs: list[Account], lives: Sequence[tuple[str, int, str]]) -> None:
    """Have the trader die where it is told to, and its next life end what the last one began."""
    found = []
    points = [point for point, *_ in lives]
    desk.start_trader(crash_point=points[0])
    for (point, moves, _), coming in zip(lives, [*points[1:], ""], strict=True):
        row = ask(desk.account_id, subs[0].pk, "200")
        assert desk.stack.processes[desk.trader].wait(60) == KILLED, point
        # Between the lives both sides are explained already.
        assert [compare(desk, account) for account in (desk.account(), subs[0])] == ["exact", "exact"], point
        desk.start_trader(crash_point=coming)
        desk.wait(has_ended(row), f"the transfer has ended after {point}")
        found.append(state_of(row))
        assert moves_at_venue(desk, subs[0]) == moves
        check_family(desk, subs)

    assert found == [state for *_, state in lives]


def test_i37_a_crash_after_the_sending_moves_money_once(desk: Desk, subs: list[Account]) -> None:
    """The next life reads what became of it."""
    check_lives(desk, subs, [("transfer_sent:1", 1, State.DONE)])


@pytest.mark.nightly
def test_i37_a_crash_at_any_step_of_a_transfer_moves_money_once_or_not_at_all(desk: Desk, subs: list[Account]) -> None:
    """Before it is claimed, between claim and sending, between sending and answer."""
    check_lives(desk, subs, LIVES)


def test_i36_the_key_of_another_sub_account_trades_nothing(desk: Desk, subs: list[Account]) -> None:
    """The adapter is bound to one account: a key of another one halts before anything is read or sent."""
    mine, other = subs[:2]
    key = venue_control.open_paper_account(desk.stack.control_url, name=other.venue_name, balances={})
    Credential.objects.filter(account=other).delete()
    store_credential(account=mine, key=key.api_key, secret=key.api_secret, now=timezone.now())
    said = desk.run("run_trader", "--account", str(mine.pk))

    assert said.returncode == 1
    assert f"belongs to the exchange's account {other.venue_uid}, not to {mine.venue_uid}" in said.stderr
    mine.refresh_from_db()
    assert (mine.state, mine.state_reason) == (Account.State.HALTED, "ACCOUNT_NOT_OURS")
    assert not Order.objects.exists()


@pytest.mark.nightly
def test_i36_a_transfer_key_of_another_account_moves_nothing(desk: Desk, subs: list[Account]) -> None:
    """It ends the transfer and not the trading; so does a key that was revoked."""
    found = []
    for uid in (subs[1].venue_uid, desk.uid):
        key = venue_control.open_transfer_key(desk.stack.control_url, uid=uid)
        if uid == desk.uid:
            url = f"{desk.stack.control_url}/control/keys/{key.api_key}"
            urllib.request.urlopen(urllib.request.Request(url, method="DELETE"), timeout=60).close()
        store_credential(
            account=desk.account(), key=key.api_key, secret=key.api_secret, now=timezone.now(), role=Credential.Role.TRANSFER
        )
        desk.start_trader()
        row = ask(desk.account_id, subs[0].pk, "200")
        desk.wait(has_ended(row), "the transfer has ended")
        found.append((state_of(row), row.attempts))
        # A new key would end its session anyway.
        desk.stop_trader()

    assert found == [(State.REFUSED, 0)] * 2
    assert moves_at_venue(desk, subs[0]) == 0
    check_family(desk, subs)
