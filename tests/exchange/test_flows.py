"""The exchange's record of deposits and withdrawals: exact, whole over windows and pages, and loud when it cannot be read."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from exchange.binance import answers, trading
from exchange.connect import trading_port
from exchange.errors import ExchangeTrouble, Outcome
from exchange.ports import RecordedFlow, TradingPort
from exchange.profiles import BINANCE, BINANCE_US, COINBASE, LOCAL_VENUE
from tests.exchange.local_venue import LocalVenue, running

D = Decimal
DEPOSITS, WITHDRAWALS = "GET /sapi/v1/capital/deposit/hisrec", "GET /sapi/v1/capital/withdraw/history"
# As the documentation shows them.
DEPOSIT: dict[str, Any] = {
    "id": "769800519366885376", "amount": "0.001", "coin": "BNB", "network": "BNB", "status": 1,
    "address": "bnb136ns6lfw4zs5hg4n85vdthaad7hq5m4gtkgf23", "addressTag": "101764890",
    "txId": "98A3EA560C6B3336D348B6C83F0F95ECE4F1F5919E94BD006E5BF3BF264FACFC", "insertTime": 1661493146000,
    "completeTime": 1661496746000, "transferType": 0, "confirmTimes": "1/1", "unlockConfirm": 12, "walletType": 0,
}  # fmt: skip
WITHDRAWAL: dict[str, Any] = {
    "id": "b6ae22b3aa844210a7041aee7589627c", "amount": "8.91000000", "transactionFee": "0.004", "coin": "USDT", "status": 6,
    "address": "0x94df8b352de7f46f64b01d3666bf6e936e44ce60", "applyTime": "2019-10-12 11:12:02", "network": "ETH",
    "txId": "0xb5ef8c13b968a406cc62a93a8bd80f9e9a906ef1b3fcf20a2e48573c17659268", "transferType": 0, "confirmNo": 3,
    "walletType": 0, "txKey": "", "completeTime": "2023-03-23 16:52:41",
}  # fmt: skip


def test_a_deposit_is_read_as_documented() -> None:
    flow = answers.deposit(DEPOSIT)
    assert flow == RecordedFlow(
        number="769800519366885376", asset="BNB", amount=D("0.001"), began_at=datetime(2022, 8, 26, 5, 52, 26, tzinfo=UTC),
        cleared_at=datetime(2022, 8, 26, 6, 52, 26, tzinfo=UTC), has_moved=True, is_final=True,
    )  # fmt: skip
    assert flow.name == "deposit:769800519366885376"
    assert answers.deposit(DEPOSIT | {"completeTime": None}).cleared_at is None


def test_a_withdrawal_takes_its_fee_with_it() -> None:
    flow = answers.withdrawal(WITHDRAWAL)
    assert (flow.amount, flow.began_at, flow.cleared_at) == (D("-8.914"), datetime(2019, 10, 12, 11, 12, 2, tzinfo=UTC), None)
    assert flow.name == "withdrawal:b6ae22b3aa844210a7041aee7589627c"


@pytest.mark.parametrize(
    ("status", "has_moved", "is_final"),
    [(0, False, False), (1, True, True), (2, False, True), (6, True, False), (7, False, False), (8, False, False)],
)
def test_the_status_of_a_deposit_says_whether_it_is_there(status: int, has_moved: bool, is_final: bool) -> None:
    flow = answers.deposit(DEPOSIT | {"status": status})
    assert (flow.has_moved, flow.is_final) == (has_moved, is_final)
    assert (flow.cleared_at is not None) is has_moved


@pytest.mark.parametrize(
    ("status", "has_moved", "is_final"),
    [
        (0, False, False), (1, False, True), (2, True, False), (3, False, True), (4, True, False), (5, False, True),
        (6, True, True),
    ],
)  # fmt: skip
def test_the_status_of_a_withdrawal_says_whether_it_is_gone(status: int, has_moved: bool, is_final: bool) -> None:
    flow = answers.withdrawal(WITHDRAWAL | {"status": status})
    assert (flow.has_moved, flow.is_final) == (has_moved, is_final)


@pytest.mark.parametrize(
    "changes", [{"amount": "0"}, {"amount": 0.5}, {"amount": None}, {"coin": None, "insertTime": "soon"}, {"status": "done"}]
)
def test_what_cannot_be_read_is_no_deposit(changes: dict[str, Any]) -> None:
    with pytest.raises(ExchangeTrouble):
        answers.deposit(DEPOSIT | changes)


@pytest.mark.parametrize("changes", [{"applyTime": 1661493146000}, {"applyTime": "12.10.2019"}, {"transactionFee": "much"}])
def test_what_cannot_be_read_is_no_withdrawal(changes: dict[str, Any]) -> None:
    with pytest.raises(ExchangeTrouble):
        answers.withdrawal(WITHDRAWAL | changes)


def test_who_tells_of_flows_is_said_in_the_profiles() -> None:
    assert [terms.tells_flows for terms in (BINANCE, BINANCE_US, LOCAL_VENUE, COINBASE)] == [True, True, True, False]


@dataclass
class Client:
    """An account at the local exchange, and our way to it."""

    venue: LocalVenue
    uid: int
    port: TradingPort

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.venue.ask("/control/clock")["market_time"] / 1000, UTC)

    def cross(self, amount: str, status: int, **words: Any) -> None:
        known = {"account": self.uid, "asset": "USDT", "amount": amount, "status": status}
        self.venue.arm({"id": "E42", "action": "crossing", "with": known | words})

    async def flows(self, **back: float) -> list[RecordedFlow]:
        until = self.now() + timedelta(minutes=1)
        return await self.port.flows(until - (timedelta(**back) if back else timedelta(days=1)), until)


@pytest.fixture(scope="module")
def venue(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalVenue]:
    with running(tmp_path_factory.mktemp("venue"), "--speed", "1") as found:
        yield found


@pytest.fixture(params=["binance", "binanceus"])
async def client(venue: LocalVenue, request: pytest.FixtureRequest) -> AsyncIterator[Client]:
    found = venue.ask("/control/accounts", {"name": request.node.name, "balances": {"USDT": "10000"}})
    port = trading_port(
        exchange=request.param, key=found["api_key"], secret=found["api_secret"], rest_url=venue.rest_url,
        stream_url=venue.stream_url, is_local=True,
    )  # fmt: skip
    yield Client(venue, int(found["uid"]), port)
    venue.disarm()
    await port.close()


async def test_both_records_come_as_one_oldest_first(client: Client) -> None:
    client.cross("-100.5", 6, fee="0.5")
    client.cross("25", 0)
    client.cross("7", 1, wallet="funding")
    found = await client.flows()
    assert sorted((flow.amount, flow.has_moved) for flow in found) == [(D("-100.5"), True), (D(25), False), (D(10_000), True)]
    assert [flow.began_at for flow in found] == sorted(flow.began_at for flow in found)


async def test_no_row_is_lost_between_pages_and_windows(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trading, "_FLOWS_PER_PAGE", 2)
    for amount in ("1", "2", "3", "4", "5"):
        client.cross(amount, 1)
        client.cross(f"-{amount}", 6)
    assert len(await client.flows()) == 11
    assert len(await client.flows(days=365)) == 11
    until = client.now() - timedelta(days=1)
    assert await client.port.flows(until - timedelta(days=200), until) == []


@pytest.mark.fault("E07", "E09", "E10", "E12", "E18", "E47")
@pytest.mark.parametrize("endpoint", [DEPOSITS, WITHDRAWALS])
@pytest.mark.parametrize(
    ("action", "words", "outcome"),
    [
        ("answer", {"status": 503}, Outcome.UNAVAILABLE),
        ("answer", {"status": 400, "code": -1000, "msg": "An unknown error occurred."}, Outcome.UNAVAILABLE),
        ("answer", {"status": 404, "body": "Not Found"}, Outcome.UNAVAILABLE),
        ("answer", {"status": 401, "code": -2015, "msg": "Invalid API-key, IP, or permissions."}, Outcome.KEY_INVALID),
        ("mangle", {"how": "html"}, Outcome.UNAVAILABLE),
        ("mangle", {"how": "cut"}, Outcome.UNAVAILABLE),
        ("mangle", {"how": "empty"}, Outcome.UNAVAILABLE),
        ("drop_answer", {}, Outcome.UNAVAILABLE),
        ("delay", {"seconds": 30}, Outcome.UNAVAILABLE),
    ],
)
async def test_half_a_record_is_no_record(
    client: Client, endpoint: str, action: str, words: dict[str, Any], outcome: Outcome
) -> None:
    match = {"endpoint": endpoint, "account": client.uid}
    rule = {"id": "E09", "action": action, "with": words, "match": match, "times": 5}
    client.venue.arm(rule)
    with pytest.raises(ExchangeTrouble) as caught:
        await client.flows()
    assert caught.value.outcome == outcome
    client.venue.disarm()
    assert len(await client.flows()) == 1
