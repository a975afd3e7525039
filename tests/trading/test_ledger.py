"""Legs, hashes, worst cases: the ledger's arithmetic without a database."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from decimal import Decimal, FloatOperation, Inexact
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from trading.ledger import (
    FEE_ROUNDING,
    ZERO,
    Leg,
    NotZeroSum,
    Pocket,
    QuoteFee,
    ceil_to,
    checked_legs,
    exactly,
    floor_to,
    plain,
    spendable,
    stored,
    take,
    transaction_hash,
    worst_case,
)
from trading.settlement import Settlement, Trade, settle

D = Decimal
UNIT = D("0.00000001")
AT = datetime(2024, 3, 1, tzinfo=UTC)
CASH = Pocket("available", 1, "USDT")
MARKET = Pocket("external_trade", 1, "USDT")


@given(st.lists(st.decimals("-1e12", "1e12", places=8), min_size=1, max_size=8))
def test_legs_pass_only_when_every_asset_sums_to_zero(amounts: list[Decimal]) -> None:
    """I-01."""
    assume(any(amounts))
    closing = -sum(amounts, ZERO)
    legs = [Leg(CASH, amount) for amount in amounts]
    assert sum(leg.amount for leg in checked_legs([*legs, Leg(MARKET, closing)])) == 0
    with pytest.raises(NotZeroSum):
        checked_legs([*legs, Leg(MARKET, closing + UNIT)])
    with pytest.raises(NotZeroSum):
        checked_legs([*legs, Leg(Pocket("external_trade", 1, "BTC"), closing or UNIT)])


def test_a_transaction_that_moves_nothing_is_refused() -> None:
    """An empty transaction says nothing and costs a place in the chain."""
    with pytest.raises(NotZeroSum, match=r"^A transaction must move something$"):
        checked_legs([Leg(CASH, ZERO), Leg(MARKET, ZERO)])


def test_what_does_not_sum_to_zero_is_named_with_what_is_over() -> None:
    """Whoever reads the log of a refused transaction must see which asset, and by how much."""
    with pytest.raises(NotZeroSum, match=r"^These assets do not sum to zero: \{'USDT': '2'\}$"):
        checked_legs([Leg(CASH, D(5)), Leg(MARKET, D(-3)), Leg(Pocket("available", 1, "BTC"), ZERO)])


def test_rounding_and_floats_raise() -> None:
    """No figure is silently other than it was."""

    @exactly
    def third() -> Decimal:
        return D(1) / D(3)

    @exactly
    def mixed() -> bool:
        return D("0.1") < 0.1

    with pytest.raises(Inexact):
        third()
    with pytest.raises(FloatOperation):
        mixed()
    with pytest.raises(Inexact):
        stored(D("1E-19"))
    assert stored(D("0.1")) == D("0.100000000000000000")


def test_the_hash_covers_every_part() -> None:
    """I-05: whatever changes, the hash changes; how a number is written does not matter."""
    legs = [Leg(CASH, D("-1.50")), Leg(MARKET, D("1.5"))]
    fields = {
        "previous": "p", "account_id": 1, "seq": 7, "kind": "fill", "reference": "BTCUSDT:9",
        "market_at": AT, "recorded_at": AT, "facts": {"order": "x"}, "legs": legs,
    }  # fmt: skip
    changes = {
        "previous": "q", "account_id": 2, "seq": 8, "kind": "release", "reference": "BTCUSDT:10",
        "market_at": AT.replace(hour=1), "recorded_at": AT.replace(hour=1), "facts": {}, "legs": legs[::-1],
    }  # fmt: skip
    first = transaction_hash(**fields)  # type: ignore[arg-type]
    same = [Leg(CASH, D("-1.5")), Leg(MARKET, D("1.500000000000000000"))]
    assert transaction_hash(**fields | {"legs": same}) == first  # type: ignore[arg-type]
    others = {transaction_hash(**fields | {name: value}) for name, value in changes.items()}  # type: ignore[arg-type]
    assert len(others | {first}) == len(changes) + 1


@pytest.mark.parametrize("zone", ["UTC", "Asia/Tokyo", "America/Lima"])
def test_the_hash_is_the_same_wherever_the_machine_stands(zone: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Books that move to another machine verify there (I-05)."""
    fields: dict[str, Any] = {"previous": "p", "account_id": 1, "seq": 7, "kind": "fill", "reference": "x", "facts": {}}
    fields |= {"market_at": AT, "recorded_at": AT.astimezone(ZoneInfo("Europe/Berlin"))}
    with monkeypatch.context() as patch:
        patch.setenv("TZ", zone)
        time.tzset()
        found = transaction_hash(**fields, legs=[Leg(CASH, D(1)), Leg(MARKET, D(-1))])
    time.tzset()
    assert found == "74f0250aaaaae2f3be0971d9b6295c714b78efff409645ec4201c66ec0b3ef11"


@pytest.mark.parametrize(
    ("side", "price", "expected"), [("buy", D("50505"), D("101.01")), ("sell", None, D("0.002")), ("sell", D(9), D("0.002"))]
)
def test_the_worst_case_of_an_order(side: str, price: Decimal | None, expected: Decimal) -> None:
    """I-08: quote at the limit for a buy, base for a sell."""
    assert worst_case(side=side, quantity=D("0.0038"), filled=D("0.0018"), price=price) == expected


def test_a_fee_in_quote_is_part_of_the_worst_case() -> None:
    """I-08: the rate on all that the order may cost, rounded up, with the rounding of its trades, less what is paid."""
    buy = {"side": "buy", "quantity": D(3), "price": D("33.33")}
    whole = D("99.99") + D("0.59994") + FEE_ROUNDING
    assert worst_case(filled=ZERO, fee=QuoteFee(6000), **buy) == whole  # type: ignore[arg-type]
    # A third of it traded at 30 and paid 0.2: the fee is that of 30 and of what is left.
    after = worst_case(filled=D(1), fee=QuoteFee(6000, D(30), D("0.2")), **buy)  # type: ignore[arg-type]
    assert after == D("66.66") + D("0.57996") + FEE_ROUNDING - D("0.2")
    # Who paid more than was foreseen holds nothing more for it, and who has filled holds nothing at all.
    assert worst_case(filled=D(1), fee=QuoteFee(6000, D(30), D(9)), **buy) == D("66.66")  # type: ignore[arg-type]
    assert worst_case(filled=D(3), fee=QuoteFee(6000, D(90), ZERO), **buy) == ZERO  # type: ignore[arg-type]
    assert worst_case(side="sell", quantity=D(3), filled=ZERO, price=D(9), fee=QuoteFee(6000)) == D(3)


@given(
    st.decimals(0, "1e6", places=8),
    st.integers(0, 30_000),
    st.lists(st.integers(1, 999), min_size=1, max_size=8),
    st.integers(1, 10**6),
)
def test_what_may_be_spent_leaves_room_for_its_fees(free: Decimal, ppm: int, parts: list[int], tick: int) -> None:
    """Orders that cost no more than this in all can all be reserved with their fees."""
    most = spendable(free, fee_ppm=ppm, orders=len(parts))
    assert ZERO <= most <= free
    assert most % UNIT == ZERO, "it can be spent to the last unit"
    price = D(tick).scaleb(-2)
    quantities = [floor_to(most * part / (sum(parts) * price), UNIT) for part in parts]
    held = [worst_case(side="buy", quantity=q, filled=ZERO, price=price, fee=QuoteFee(ppm)) for q in quantities if q]
    assert sum(held, ZERO) <= free
    # Nothing to speak of is left lying.
    assert ppm or most == free
    assert most * (1_000_000 + ppm) / 1_000_000 >= free - len(parts) * D("0.00001")


def test_a_buy_without_a_limit_has_no_worst_case() -> None:
    """So there is none: entries are limit orders."""
    with pytest.raises(ValueError, match=r"^A buy without a limit has no worst case; entries are limit orders$"):
        worst_case(side="buy", quantity=D(1), filled=ZERO, price=None)


@given(st.decimals(0, "1e9", places=10), st.sampled_from([UNIT, D("0.01"), D("0.5")]))
def test_floors_and_ceilings(amount: Decimal, unit: Decimal) -> None:
    """The two are at most one unit apart and hold the amount between them."""
    floor, ceiling = floor_to(amount, unit), ceil_to(amount, unit)
    assert floor <= amount <= ceiling
    assert floor % unit == ceiling % unit == 0
    assert ceiling - floor in (ZERO, unit)


@given(st.lists(st.decimals("-5", "50", places=8), max_size=5), st.decimals(0, 100, places=8))
def test_taking_never_overdraws_a_source(balances: list[Decimal], amount: Decimal) -> None:
    """What no source covers is said, not invented."""
    sources = [(Pocket("available", number, "USDT"), balance) for number, balance in enumerate(balances)]
    split = take(amount, sources)
    taken = {leg.pocket: -leg.amount for leg in split.legs}
    assert all(ZERO < part <= dict(sources)[pocket] for pocket, part in taken.items())
    assert sum(taken.values(), ZERO) + split.missing == amount


def test_amounts_are_written_plainly() -> None:
    """No exponents, no trailing zeros, no negative zero."""
    assert [plain(D(text)) for text in ("1E+3", "0.100", "-0E-9", "-2.50", "1E-18")] == [
        "1000", "0.1", "0", "-2.5", "0.000000000000000001",
    ]  # fmt: skip


def settlement(balances: dict[Pocket, Decimal], **fields: object) -> Settlement:
    """Settle a trade of 0.0038 BTC at 50,000."""
    trade = {
        "book_id": 1, "side": "buy", "base": "BTC", "quote": "USDT", "quantity": D("0.0038"), "price": D(50000),
        "quote_quantity": D(190), "fee": ZERO, "fee_asset": "BTC", "reserved": D("191.919"),
    } | fields  # fmt: skip
    result = settle(Trade(**trade), lambda pocket: balances.get(pocket, ZERO))  # type: ignore[arg-type]
    checked_legs(result.legs)
    return result


def test_a_fee_in_base_leaves_the_cost_whole() -> None:
    """2.3(3): the bot receives less, and paid all the same."""
    result = settlement({Pocket("reserved", 1, "USDT"): D("191.919")}, fee=D("0.0000038"))
    assert (result.fact.base, result.fact.quote, result.fact.fee_quote) == (D("0.0037962"), D(190), D("0.19"))
    assert (result.posted, result.voided) == (D(190), D("1.919"))


def test_a_fee_in_a_third_asset_is_paid_by_the_pool_and_charged_to_the_book() -> None:
    """2.3(3): 0.000375 BNB at 400.13 is 0.15004875, rounded up in the pool's favour."""
    pool, cash = Pocket("fee_pool", None, "BNB"), Pocket("available", 1, "USDT")
    balances = {Pocket("reserved", 1, "USDT"): D("191.919"), pool: D(1), cash: D(10)}
    result = settlement(balances, fee=D("0.000375"), fee_asset="BNB", fee_mark=D("400.130001"))
    moved = {leg.pocket: leg.amount for leg in result.legs if leg.pocket.kind == "fee_pool"}
    assert moved == {pool: D("-0.000375"), Pocket("fee_pool", None, "USDT"): D("0.15004876")}
    assert (result.fact.quote, result.fact.fee_quote) == (D("190.15004876"), D("0.15004876"))
    assert not result.is_fee_pending


def test_a_fee_that_cannot_be_priced_is_pending() -> None:
    """The book is told, and stops entering, until somebody knows the price."""
    balances = {Pocket("reserved", 1, "USDT"): D("191.919"), Pocket("fee_pool", None, "BNB"): D(1)}
    result = settlement(balances, fee=D("0.000375"), fee_asset="BNB")
    assert result.is_fee_pending
    assert result.fact.fee_quote == 0


def test_a_trade_without_cover_is_posted_against_suspense() -> None:
    """A trade has happened whatever we hold: it is shown as missing, never refused or hidden."""
    result = settlement({Pocket("available", 1, "USDT"): D(40)}, reserved=ZERO)
    assert result.shortfalls == {"USDT": D(150)}
