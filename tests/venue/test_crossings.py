"""Deposits and withdrawals: what the history shows of them, when the money moves, and what survives a kill."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import ccxt
import pytest

from tests.venue.clients import make
from tests.venue.hostile import Hostile
from tests.venue.processes import VenueProcess

DEPOSITS, WITHDRAWALS = "/sapi/v1/capital/deposit/hisrec", "/sapi/v1/capital/withdraw/history"
DAY_MS = 86_400_000


@pytest.fixture
def client(fresh_venue: VenueProcess) -> Hostile:
    """Run an exchange of its own, whose market stands still, with one account."""
    fresh_venue.start()
    return Hostile(fresh_venue, "client", USDT="10000")


def _shown(client: Hostile, path: str = DEPOSITS, **words: object) -> Any:
    status, answer = client.send("GET", path, **words)
    assert status == 200, answer
    return answer


def _cross(client: Hostile, amount: str, status: int, **words: object) -> None:
    client.arm("crossing", "E42", words={"account": client.uid, "asset": "USDT", "amount": amount, "status": status, **words})


def _settle(client: Hostile, status: int) -> None:
    client.arm("settle", "E42", words={"account": client.uid, "status": status})


def _free(client: Hostile, asset: str = "USDT") -> Any:
    return Decimal(client.books()["balances"][asset]["free"])


def test_a_deposit_shows_as_the_documentation_says(client: Hostile) -> None:
    client.venue.control("POST", "/control/faucet", {"uid": client.uid, "asset": "BTC", "amount": "0.5"})
    [row] = _shown(client, coin="BTC")
    assert set(row) == {
        "id", "amount", "coin", "network", "status", "address", "addressTag", "txId", "insertTime", "transferType",
        "confirmTimes", "unlockConfirm", "walletType", "travelRuleStatus", "completeTime",
    }  # fmt: skip
    assert (row["amount"], row["coin"], row["status"], row["walletType"]) == ("0.50000000", "BTC", 1, 0)
    assert row["insertTime"] == row["completeTime"] == client.venue.control("GET", "/control/clock")["market_time"]
    assert isinstance(row["id"], str)
    assert _shown(client, WITHDRAWALS) == []
    assert [entry["coin"] for entry in _shown(client)] == ["BTC", "USDT"], "what it was opened with came from somewhere too"


def test_a_withdrawal_shows_its_fee_apart(client: Hostile) -> None:
    _cross(client, "-100.5", 6, fee="0.5")
    [row] = _shown(client, WITHDRAWALS)
    assert (row["amount"], row["transactionFee"], row["status"]) == ("100.00000000", "0.50000000", 6)
    assert len(row["applyTime"]) == len("2019-10-12 11:12:02") == len(row["completeTime"])
    assert _free(client) == Decimal("9899.5")
    assert _shown(client, WITHDRAWALS, idList=row["id"]) == [row]
    assert _shown(client, WITHDRAWALS, idList="other") == _shown(client, WITHDRAWALS, withdrawOrderId="mine") == []


def test_money_moves_when_the_status_says_so_and_a_kill_changes_nothing(client: Hostile) -> None:
    _cross(client, "50", 0)
    assert (_free(client), _shown(client)[0]["status"]) == (10_000, 0)
    assert "completeTime" not in _shown(client)[0]
    client.venue.kill()
    client.venue.start()
    _settle(client, 6)
    assert (_free(client), _shown(client)[0]["status"]) == (10_050, 6)
    _settle(client, 1)
    assert (_free(client), [row["status"] for row in _shown(client)]) == (10_050, [1, 1])

    _cross(client, "-20", 0)
    assert _free(client) == 10_050
    _settle(client, 4)
    assert _free(client) == 10_030
    client.venue.kill()
    client.venue.start()
    _settle(client, 5)
    assert (_free(client), _shown(client, WITHDRAWALS)[0]["status"]) == (10_050, 5)
    numbers = [row["id"] for row in (*_shown(client), *_shown(client, WITHDRAWALS))]
    assert len(set(numbers)) == 3


def test_the_funding_wallet_has_deposits_of_its_own(client: Hostile) -> None:
    _cross(client, "50", 1, wallet="funding")
    assert (_free(client), _shown(client)[0]["walletType"]) == (10_000, 1)


@pytest.mark.parametrize(
    ("amount", "status", "fee"), [("1", 4, "0"), ("-1", 8, "0"), ("0", 1, "0"), ("-1", 6, "1"), ("1", 1, "0.1")]
)
def test_what_cannot_be_is_refused(client: Hostile, amount: str, status: int, fee: str) -> None:
    _cross(client, amount, status, fee=fee)
    assert "there is no crossing" in client.firings()[-1]["facts"]["failed"]
    _settle(client, 1)
    assert "nothing of client waits" in client.firings()[-1]["facts"]["failed"]
    _cross(client, "-10001", 6)
    assert "insufficient balance" in client.firings()[-1]["facts"]["failed"]
    assert (_free(client), len(_shown(client)), _shown(client, WITHDRAWALS)) == (10_000, 1, [])


def test_transfers_between_accounts_and_silent_flows_are_no_deposits(client: Hostile) -> None:
    key = client.venue.control("POST", "/control/keys", {"uid": client.uid})
    master = Hostile(client.venue, "client")
    master.signer.keys = key
    email = master.send("POST", "/sapi/v1/sub-account/virtualSubAccount", subAccountString="grid")[1]["email"]
    wishes = {"fromAccountType": "SPOT", "toAccountType": "SPOT", "asset": "USDT", "amount": "2500"}
    assert master.send("POST", "/sapi/v1/sub-account/universalTransfer", toEmail=email, **wishes)[0] == 200
    assert master.send("POST", "/sapi/v1/asset/transfer", type="MAIN_FUNDING", asset="USDT", amount="5")[0] == 200
    client.arm("flow", "E42", words={"account": client.uid, "asset": "USDT", "amount": "1", "silent": True})
    sub = Hostile(client.venue, email)
    assert (_shown(sub), _shown(sub, WITHDRAWALS), _shown(client, WITHDRAWALS)) == ([], [], [])
    assert [row["amount"] for row in _shown(client)] == ["10000.00000000"]


def test_pages_windows_and_filters_are_the_exchanges(client: Hostile) -> None:
    for amount in ("1", "2", "3"):
        _cross(client, amount, 1)
    at = _shown(client)[0]["insertTime"]
    assert [row["amount"][0] for row in _shown(client)] == ["3", "2", "1", "1"], "the newest first"
    assert [row["amount"] for row in _shown(client, limit=2, offset=1)] == ["2.00000000", "1.00000000"]
    assert len(_shown(client, status=1)) == 4
    assert _shown(client, status=0) == _shown(client, coin="BTC") == []
    assert len(_shown(client, txId=_shown(client)[0]["txId"])) == 1
    assert len(_shown(client, startTime=at - 90 * DAY_MS, endTime=at)) == 4
    assert _shown(client, startTime=at + 1, endTime=at + 2) == _shown(client, endTime=at - 1) == []
    too_wide = [
        client.send("GET", DEPOSITS, startTime=at - 90 * DAY_MS - 1, endTime=at),
        client.send("GET", WITHDRAWALS, startTime=at, endTime=at - 1),
        client.send("GET", WITHDRAWALS, startTime=at - 8 * DAY_MS, endTime=at, withdrawOrderId="mine"),
    ]
    assert [(status, answer["code"]) for status, answer in too_wide] == [(400, -4047)] * 3
    refused = [
        client.send("GET", DEPOSITS, idList="1"),
        client.send("GET", WITHDRAWALS, txId="1"),
        client.send("GET", WITHDRAWALS, idList=",".join("x" * 46)),
        client.send("GET", DEPOSITS, limit=0),
    ]
    assert [answer["code"] for _, answer in refused] == [-1104, -1104, -1130, -1100]


def test_ccxt_reads_both(client: Hostile) -> None:
    _cross(client, "-100.5", 6, fee="0.5")

    exchange = make(ccxt.binance, client.venue.address, client.keys)
    [deposit], [withdrawal] = exchange.fetch_deposits("USDT"), exchange.fetch_withdrawals("USDT")
    assert (deposit["amount"], deposit["currency"], deposit["status"]) == (10_000.0, "USDT", "ok")
    assert (withdrawal["amount"], withdrawal["fee"]["cost"], withdrawal["status"]) == (100.0, 0.5, "ok")
