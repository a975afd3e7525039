"""Sub-accounts, keys, transfers, fees in BNB and bans, over the wire and across a kill."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from tests.venue.hostile import POST_ORDER, Hostile
from tests.venue.processes import VenueProcess
from tests.venue.signed import Signer

TRANSFER = "/sapi/v1/sub-account/universalTransfer"
MARKET = {"symbol": "ETHUSDT", "side": "BUY", "type": "MARKET", "quantity": "0.1"}


@pytest.fixture
def master(fresh_venue: VenueProcess) -> Hostile:
    """Run an exchange of its own with one account."""
    fresh_venue.start()
    return Hostile(fresh_venue, "master", USDT="10000", BNB="1")


def _key(master: Hostile, **wishes: Any) -> Signer:
    return Signer(master.venue, master.venue.control("POST", "/control/keys", {"uid": master.keys["uid"], **wishes}))


def test_money_moves_between_a_master_and_its_sub_accounts(master: Hostile) -> None:
    treasurer = _key(master)
    email = treasurer.send("POST", "/sapi/v1/sub-account/virtualSubAccount", subAccountString="grid")[1]["email"]
    sub = Hostile(master.venue, email)
    wishes = {"fromAccountType": "SPOT", "toAccountType": "SPOT", "asset": "USDT", "amount": "2500"}
    moved = treasurer.send("POST", TRANSFER, toEmail=email, clientTranId="t-1", **wishes)[1]
    refused = treasurer.send("POST", TRANSFER, toEmail=email, **(wishes | {"amount": "99999"}))[1]
    upwards = _key(sub).send("POST", TRANSFER, toEmail="master", **wishes)[1]
    stranger = treasurer.send("POST", TRANSFER, toEmail="nobody@venue.local", **wishes)[1]
    traded = sub.send("POST", "/api/v3/order", **MARKET)[0]
    master.venue.kill()
    master.venue.start()

    assert (moved, traded) == ({"tranId": 1, "clientTranId": "t-1"}, 200)
    assert [answer["code"] for answer in (refused, upwards, stranger)] == [-2010, -12022, -12001]
    assert [row["email"] for row in master.send("GET", "/sapi/v1/sub-account/list")[1]["subAccounts"]] == [email]
    assert master.books()["balances"]["USDT"]["free"] == "7500.00000000"
    [held] = [
        row for row in master.send("GET", "/sapi/v4/sub-account/assets", email=email)[1]["balances"] if row["asset"] == "USDT"
    ]
    assert held["free"] == sub.books()["balances"]["USDT"]["free"]
    history = master.send("GET", TRANSFER)[1]
    assert (history["totalCount"], history["result"][0]["amount"]) == (1, "2500.00000000")
    filters = ({"clientTranId": "t-1"}, {"toEmail": email}, {"fromEmail": email}, {"clientTranId": "t-2"}, {"endTime": 1})
    assert [master.send("GET", TRANSFER, **words)[1]["totalCount"] for words in filters] == [1, 1, 0, 0, 0]
    assert master.send("GET", TRANSFER, fromEmail="master", toEmail=email)[1]["code"] == -1128
    assert master.send("GET", TRANSFER, page="2", limit="1")[1] == {"result": [], "totalCount": 1}


def test_the_funding_wallet_is_out_of_reach_of_orders(master: Hostile) -> None:
    wishes = {"asset": "USDT", "amount": "9990"}
    treasurer = _key(master)
    first = treasurer.send("POST", "/sapi/v1/asset/transfer", type="MAIN_FUNDING", **wishes)
    order = master.send("POST", "/api/v3/order", **MARKET)[1]
    master.venue.kill()
    master.venue.start()
    second = treasurer.send("POST", "/sapi/v1/asset/transfer", type="FUNDING_MAIN", **wishes)
    too_much = treasurer.send("POST", "/sapi/v1/asset/transfer", type="FUNDING_MAIN", **wishes)[1]

    assert (first, second) == ((200, {"tranId": 1}), (200, {"tranId": 2}))
    assert (order["code"], too_much["code"]) == (-2010, -2010)
    assert master.books()["balances"]["USDT"]["free"] == "10000.00000000"


def test_keys_may_do_what_they_may_from_where_they_may(master: Hostile) -> None:
    reader, elsewhere = _key(master, rights=["read"]), _key(master, addresses=["203.0.113.7"])
    trader, revoked = _key(master, rights=["read", "trade"]), _key(master)
    master.venue.control("DELETE", f"/control/keys/{revoked.keys['api_key']}")
    master.venue.kill()
    master.venue.start()

    assert reader.send("GET", "/api/v3/account")[0] == 200
    assert trader.send("POST", "/api/v3/order", **MARKET)[0] == 200
    assert reader.send("GET", "/sapi/v1/account/apiRestrictions")[1]["enableSpotAndMarginTrading"] is False
    refused = [
        reader.send("POST", "/api/v3/order", **MARKET),
        reader.send("DELETE", "/api/v3/openOrders", symbol="ETHUSDT"),
        trader.send("POST", "/sapi/v1/asset/transfer", type="MAIN_FUNDING", asset="USDT", amount="1"),
        elsewhere.send("GET", "/api/v3/account"),
        revoked.send("GET", "/api/v3/account"),
    ]
    assert [(status, answer["code"]) for status, answer in refused] == [(401, -2015)] * 5


def test_fees_are_taken_in_bnb_at_a_discount_until_there_is_none(master: Hostile) -> None:
    answer = master.send("POST", "/sapi/v1/bnbBurn", spotBNBBurn="true")[1]
    master.venue.kill()
    master.venue.start()
    price = Decimal(master.venue.ask("GET", "/api/v3/ticker/price?symbol=BNBUSDT")[1]["price"])
    order = master.send("POST", "/api/v3/order", **MARKET)[1]
    words = {"account": master.uid, "asset": "BNB", "amount": "-0.999"}
    master.arm("flow", "E38", match={"endpoint": POST_ORDER}, words=words)
    poor = master.send("POST", "/api/v3/order", **MARKET)[1]

    [fill] = order["fills"]
    expected = Decimal(order["cummulativeQuoteQty"]) * Decimal("0.00075") / price
    assert (answer["spotBNBBurn"], fill["commissionAsset"]) == (True, "BNB")
    assert abs(Decimal(fill["commission"]) - expected) <= Decimal("0.00000001")
    assert master.books()["balances"]["ETH"]["free"] == "0.19990000"
    assert [fill["commissionAsset"] for fill in poor["fills"]] == ["ETH"]


def test_bnb_runs_out_in_the_middle_of_an_order(master: Hostile) -> None:
    """A large order walks several levels: the first fills pay in BNB, the last in what is bought."""
    rich = Hostile(master.venue, "rich", USDT="900000000")
    rich.send("POST", "/sapi/v1/bnbBurn", spotBNBBurn="true")
    probe = rich.send("POST", "/api/v3/order", **(MARKET | {"quantity": "2000"}))[1]["fills"]
    price = Decimal(master.venue.ask("GET", "/api/v3/ticker/price?symbol=BNBUSDT")[1]["price"])
    first = Decimal(probe[0]["qty"]) * Decimal(probe[0]["price"]) * Decimal("0.00075") / price
    rich.arm("flow", "E38", words={"account": rich.uid, "asset": "BNB", "amount": f"{first * Decimal('1.5'):.8f}"})
    fills = rich.send("POST", "/api/v3/order", **(MARKET | {"quantity": "2000"}))[1]["fills"]
    assets = [fill["commissionAsset"] for fill in fills]

    assert len(probe) > 1
    # A small last fill may find enough again.
    assert assets[:2] == ["BNB", "ETH"]


def test_whoever_goes_on_after_429_is_banned(fresh_venue: VenueProcess) -> None:
    venue = VenueProcess(fresh_venue.data_dir, "--paused", "--weight-limit", "100")
    venue.start()
    try:
        answers = [venue.ask("GET", "/api/v3/exchangeInfo") for _ in range(30)]
    finally:
        venue.stop()

    statuses = [status for status, _ in answers]
    assert statuses == sorted(statuses, key=[200, 429, 418].index)
    assert set(statuses) == {200, 429, 418}
    assert "IP banned until" in answers[-1][1]["msg"]


def test_listen_keys_are_gone(synthetic_venue: VenueProcess) -> None:
    assert synthetic_venue.ask("POST", "/api/v3/userDataStream")[0] == 410
