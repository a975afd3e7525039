"""Bots in sub-accounts over the real stack: funded, a transfer fails, a key is wrong, nobody trades above its share."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from django.utils import timezone

from bots import venue_control
from bots.lineups import Plan
from bots.models import Bot
from bots.opening import open_at_local_venue
from bots.services import Wish, start_bot, switch_mode
from bots.services.demo import BALANCE
from marketdata.candles import milliseconds
from portfolio import services
from portfolio.jobs import verify
from portfolio.models import Account, AccountTransfer, Allocation, Credential, Order, Reconciliation
from portfolio.selectors.families import Family, family
from portfolio.services.credentials import store_credential
from portfolio.services.transfers import TransferWish, request_transfers
from portfolio.trader import records
from tests.journeys.stack import PROJECT, Stack
from trading.ledger import ZERO

D = Decimal
State = AccountTransfer.State
BEGIN = datetime(2024, 3, 30, tzinfo=UTC)
MANAGE = [sys.executable, str(PROJECT / "manage.py")]
ENDPOINT = "POST /sapi/v1/sub-account/universalTransfer"
SECONDS = 600


@contextmanager
def market(shared_data: Path, directory: Path) -> Iterator[Stack]:
    """Have a stack over two coins of a real day, paused at its beginning."""
    words = ["--market", "replay", "--data", str(shared_data / "ohlcv"), "--exchange", "binance", "--from", "2024-03-30"]
    with Stack(directory / "stack", [*words, "--symbols", "BTCUSDT,ETHUSDT", "--speed", "1000000", "--paused"]) as stack:
        stack.start_venue()
        yield stack


class Household:
    """A master with a sub-account for each bot of a line-up, as an operator looks after it."""

    def __init__(self, stack: Stack, plan: Plan) -> None:
        self.stack = stack
        master = stack.set_up(plan).account
        self.master_id = master.pk
        opened = open_at_local_venue(master_id=master.pk, planned=plan.bots, now=timezone.now())
        self.subs = sorted(account.pk for account in opened)
        services.set_transfer_limits(account_id=master.pk, per_transfer=D(3000), per_day=D(30_000), by=None, now=timezone.now())

    def start(self, account_ids: list[int]) -> None:
        """Start feed, worker and the master's trader, and those of some sub-accounts with their bots."""
        at = datetime.fromtimestamp(self.stack.clock()["market_time"] / 1000, UTC)
        wish = Wish(mode="subaccounts")
        switch_mode(account_id=self.master_id, wish=wish, by=None, now=timezone.now(), reason="journey", market_at=at)
        for account_id in account_ids:
            # A new account begins with the smallest limit for one order.
            changes = {"order_value_max": D(2000)}
            services.set_limits(
                account_id=account_id, changes=changes, reason="funded", may_raise=True, by=None, now=timezone.now()
            )
            start_bot(bot_id=self.bot(account_id).pk, by=None, now=timezone.now(), market_at=at)
        self.stack.start_all()
        for account_id in account_ids:
            self.start_trader(account_id)
        for account_id in (self.master_id, *account_ids):
            self.wait(Account.objects.filter(pk=account_id, state="active").exists, f"trader {account_id} recovers")

    def start_trader(self, account_id: int) -> None:
        self.stack.start(f"trader {account_id}", [*MANAGE, "run_trader", "--account", str(account_id)])

    def wait(self, done: Callable[[], bool], what: str) -> None:
        self.stack.wait_until(done, what=what, seconds=SECONDS)

    def bot(self, account_id: int) -> Bot:
        return Bot.objects.get(book__account=account_id)

    def together(self) -> Family:
        return family(self.master_id, now=timezone.now())

    def move(self, sender_id: int, receiver_id: int, amount: Decimal) -> str:
        """Move quote, taking from the sender's bot what is missing, and answer how it ended."""
        wish = TransferWish(sender_id=sender_id, receiver_id=receiver_id, asset="USDT", amount=amount, recall=True)
        (row,) = request_transfers([wish], by=None, now=timezone.now())
        return self.end_of([row])[0]

    def even_out(self) -> list[str]:
        """Send what is proposed, and answer how each ended."""
        found = services.propose_transfers(self.master_id, now=timezone.now())
        assert not found.code, found.message
        if not found.moves:
            return []
        rows = services.execute_proposals(master_id=self.master_id, moves=found.moves, by=None, now=timezone.now())
        return self.end_of(rows)

    def end_of(self, rows: list[AccountTransfer]) -> list[str]:
        numbers = [row.pk for row in rows]
        under_way = AccountTransfer.objects.filter(id__in=numbers, state__in=AccountTransfer.OPEN)
        self.wait(lambda: not under_way.exists(), f"transfers {numbers} have ended")
        return list(AccountTransfer.objects.filter(id__in=numbers).order_by("id").values_list("state", flat=True))

    def break_next_transfer(self, action: str, fault_id: str, **words: object) -> None:
        fault = {"id": fault_id, "action": action, "match": {"endpoint": ENDPOINT}, "with": words}
        self.stack.control("/control/faults", fault)

    def run_until(self, at: datetime) -> None:
        self.stack.run_until(milliseconds(at), seconds=1800)
        running = Account.objects.filter(pk__in=self.running())
        self.wait(lambda: not running.exclude(synced_through_at__gte=at).exists(), f"every account knows of {at}")

    def running(self) -> list[int]:
        names = [name.split() for name, process in self.stack.processes.items() if process.poll() is None]
        return [int(words[1]) for words in names if words[0] == "trader"]

    def give_wrong_key(self, account_id: int, other_id: int) -> subprocess.CompletedProcess[str]:
        """Have an account's trader start with the key of another sub-account."""
        other = Account.objects.get(pk=other_id)
        key = venue_control.open_paper_account(self.stack.control_url, name=other.venue_name, balances={})
        # One key has one place: it is taken from the account that it belongs to.
        Credential.objects.filter(account=other, role=Credential.Role.TRADE).delete()
        mine = Account.objects.get(pk=account_id)
        store_credential(account=mine, key=key.api_key, secret=key.api_secret, now=timezone.now())
        command = [*MANAGE, "run_trader", "--account", str(account_id)]
        environment = self.stack.environment("command")
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=SECONDS, check=False)

    def check(self) -> None:
        """Hold every ledger against the venue's own books to the last unit, and all of them against what was paid in."""
        for account in Account.objects.filter(pk__in=[self.master_id, *self.subs]):
            books = self.stack.control(f"/control/books/{account.venue_uid}")
            held = {asset: D(row["free"]) + D(row["locked"]) for asset, row in books["balances"].items()}
            ours = records.ledger_totals(account.pk)
            assert ours == {asset: total for asset, total in held.items() if total}, account.name
            assert verify.verify(account.pk) == [], account.name
        assert not Reconciliation.objects.filter(outcome=Reconciliation.Outcome.RESIDUAL).exists()
        found = self.together()
        assert (found.funded, found.is_exact) == (BALANCE, True)
        assert found.equity == found.funded + found.pnl
        assert self.above_their_share() == []

    def above_their_share(self) -> list[str]:
        """Name every buy beyond what its bot was given, and everything that anybody but the account's own bot ordered."""
        found = []
        for order in Order.objects.filter(account__in=[self.master_id, *self.subs], side="buy").select_related("intent", "book"):
            shares = Allocation.objects.filter(book=order.book, effective_at__lte=order.created_at)
            given = max(shares.values_list("amount", flat=True), default=ZERO)
            price = order.price or order.stop_price or ZERO
            if order.account_id == self.master_id or order.book != self.bot(order.account_id).book:
                found.append(f"{order.client_order_id} is of {order.book.name} on account {order.account_id}")
            elif order.quantity * price > given:
                found.append(f"{order.client_order_id}: {order.quantity * price} of {given}")
        return found


def live_through(house: Household, trading: list[int], until: datetime) -> None:
    """Fund by proposals, have a transfer fail and be made up for, trade, and move money while bots trade."""
    house.start(trading)
    house.run_until(BEGIN + timedelta(minutes=30))
    refusal = {"status": 400, "code": -2010, "msg": "Account has insufficient balance for requested action."}
    house.break_next_transfer("answer", "E19", **refusal)
    states = house.even_out()
    assert sorted(states) == [State.DONE] * 4 + [State.REFUSED]
    assert house.even_out() == [State.DONE]
    house.check()
    assert [member.funded for member in house.together().members[1:]] == [D("1976.46")] * 5

    house.run_until(BEGIN + (until - BEGIN) / 2)
    # Nobody answers: it is read from the history and not sent again.
    house.break_next_transfer("drop_answer", "E03")
    assert house.move(trading[0], house.master_id, D("150.25")) == State.DONE
    house.break_next_transfer("drop_request", "E02")
    assert house.move(trading[1], trading[0], D("75")) == State.ABSENT
    assert house.move(house.master_id, trading[1], D("150.25")) == State.DONE
    house.run_until(until)
    house.check()


@pytest.mark.timeout(900)
@pytest.mark.nightly
def test_bots_trade_in_sub_accounts_that_are_funded_by_proposals(
    transactional_db: None, shared_data: Path, tmp_path: Path, lineup: Plan
) -> None:
    """Five sub-accounts of which two trade for some hours; the third has a wrong key."""
    with market(shared_data, tmp_path) as stack:
        house = Household(stack, lineup)
        live_through(house, house.subs[:2], BEGIN + timedelta(hours=8))

        said = house.give_wrong_key(house.subs[2], house.subs[3])
        assert (said.returncode, "belongs to the exchange's account" in said.stderr) == (1, True), said.stderr
        halted = Account.objects.get(pk=house.subs[2])
        assert (halted.state, halted.state_reason) == ("halted", "ACCOUNT_NOT_OURS")
        house.check()


@pytest.mark.timeout(3600)
@pytest.mark.nightly
def test_five_bots_trade_for_half_a_day_in_sub_accounts_of_their_own(
    transactional_db: None, shared_data: Path, tmp_path: Path, lineup: Plan
) -> None:
    """All five with their traders; shares are evened out at the end, and each still has what it made."""
    with market(shared_data, tmp_path) as stack:
        house = Household(stack, lineup)
        # Six traders take a second or more of two cores for each candle; by now three of the bots have bought.
        live_through(house, house.subs, BEGIN + timedelta(hours=12))
        made = {member.name: member.pnl for member in house.together().members}
        assert set(house.even_out()) <= {State.DONE}
        house.check()

        assert {member.name: member.pnl for member in house.together().members} == made, "no transfer is anybody's gain"
        traded = {order.book.name for order in Order.objects.filter(side="buy", status="filled").select_related("book")}
        print(f"\nmade: {made}; bought: {sorted(traded)}")
        assert len(traded) >= 2
