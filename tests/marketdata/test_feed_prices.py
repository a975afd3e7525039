"""Which prices of a stream are believed, and when none of them is: the rules, second by second."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from exchange.ports import QuoteUpdate
from marketdata.feed.prices import Doubt, Limits, Mark, PriceWatch

START = 1_709_251_200_000
BTC = "BTC/USDT"


def quote(bid: str, ask: str, *, at: int = START, symbol: str = BTC) -> QuoteUpdate:
    return QuoteUpdate(symbol, Decimal(bid), Decimal(ask), at)


class Street:
    """A watch on one symbol, and a clock that the test moves."""

    def __init__(self) -> None:
        self.now = 100.0
        self.watch = PriceWatch(Limits())
        self.watch.watch([BTC], now=self.now)

    def hear(self, bid: str, ask: str, *, at: int = START) -> Mark | None:
        return self.watch.hear(quote(bid, ask, at=at), market_now=START, now=self.now)

    def answer(self, *quotes: QuoteUpdate) -> list[Mark]:
        return self.watch.answered([BTC], quotes, asked_at=self.now, now=self.now)

    def doubt(self, *, after: float = 0.0) -> Doubt | None:
        self.now += after
        trouble = self.watch.troubles(now=self.now).get(BTC)
        return trouble.doubt if trouble else None


def test_a_quote_in_order_is_the_mark() -> None:
    street = Street()
    assert street.hear("99", "101") == Mark(BTC, Decimal(100), START)
    assert street.doubt(after=1.0) is None


@pytest.mark.fault("M01")
def test_silence_is_asked_about_and_then_stops_entries_within_the_limit() -> None:
    street = Street()
    street.hear("99", "101")
    street.now += 4.5
    assert street.watch.to_ask(now=street.now) == [BTC]
    assert street.answer() == [], "nobody answers: nothing is known"
    assert street.doubt(after=4.0) is None
    assert street.doubt(after=2.0) == Doubt.SILENT, "ten seconds after the last word"
    street.hear("99", "101")
    assert street.doubt(after=0.5) is None


@pytest.mark.fault("M01")
def test_a_market_where_nothing_happens_is_not_a_broken_stream() -> None:
    street = Street()
    street.hear("99", "101")
    for _ in range(20):
        street.now += 5
        assert street.watch.to_ask(now=street.now) == [BTC]
        street.answer(quote("99", "101"))
        assert street.doubt() is None


@pytest.mark.fault("M01")
def test_a_stream_that_keeps_quiet_about_a_move_is_broken_and_exits_go_by_the_answer() -> None:
    street = Street()
    street.hear("99", "101")
    street.now += 5
    assert street.answer(quote("97", "99")) == [Mark(BTC, Decimal(98), START)]
    assert street.doubt(after=1.5) == Doubt.SILENT


@pytest.mark.fault("M04")
@pytest.mark.parametrize("price", ["0", "-1", "NaN", "Infinity", "-Infinity"])
def test_what_is_no_price_is_no_mark(price: str) -> None:
    street = Street()
    street.hear("99", "101")
    assert street.hear(price, "101") is None
    assert street.hear("99", price) is None
    assert street.doubt(after=1.1) in (Doubt.UNBELIEVABLE, Doubt.CROSSED)


@pytest.mark.fault("M04")
@pytest.mark.parametrize("factor", ["100000000", "0.00000001", "1e308"])
def test_a_wrong_scale_waits_for_an_answer_and_is_dropped(factor: str) -> None:
    street = Street()
    street.hear("99", "101")
    wrong = [f"{Decimal(price) * Decimal(factor):f}" for price in ("99", "101")]
    assert street.hear(*wrong) is None
    assert street.doubt(after=1.5) == Doubt.SPIKE
    assert street.watch.to_ask(now=street.now) == [BTC]
    street.answer(quote("99", "101"))
    assert street.doubt() is None
    assert street.hear("99.5", "101.5") == Mark(BTC, Decimal("100.5"), START)


@pytest.mark.fault("M05")
def test_a_spike_of_one_tick_moves_no_mark() -> None:
    street = Street()
    street.hear("99", "101")
    assert street.hear("149", "151") is None
    assert street.hear("99", "101") == Mark(BTC, Decimal(100), START)
    assert street.doubt(after=2.0) is None


@pytest.mark.fault("M05")
def test_a_real_crash_is_believed_once_the_exchange_confirms_it() -> None:
    street = Street()
    street.hear("99", "101")
    assert street.hear("49", "51") is None
    assert street.watch.to_ask(now=street.now) == [BTC], "at once"
    assert street.answer(quote("48", "50")) == [Mark(BTC, Decimal(49), START)]
    assert street.hear("47", "49") == Mark(BTC, Decimal(48), START)


@pytest.mark.fault("M06")
def test_a_crossed_book_is_no_price_until_it_is_in_order_again() -> None:
    street = Street()
    street.hear("99", "101")
    assert street.hear("102", "101") is None
    assert street.doubt(after=1.1) == Doubt.CROSSED
    street.hear("100", "101")
    assert street.doubt() is None


@pytest.mark.fault("M06")
def test_an_empty_side_is_no_price() -> None:
    street = Street()
    assert street.hear("99", "0") is None
    assert street.doubt(after=1.1) == Doubt.UNBELIEVABLE


@pytest.mark.fault("M08")
def test_a_quote_from_the_future_is_no_mark() -> None:
    street = Street()
    assert street.hear("99", "101", at=START + 365 * 86_400_000) is None
    assert street.doubt(after=1.1) == Doubt.UNBELIEVABLE


@pytest.mark.fault("M13")
def test_a_stream_that_disagrees_with_the_answers_stops_entries_though_it_goes_on_talking() -> None:
    street = Street()
    for _ in range(5):
        street.hear("99", "101")
        street.answer(quote("89", "91"))
        street.now += 1.5
    assert street.doubt() == Doubt.DISPUTED
    street.hear("99", "101")
    assert street.doubt() == Doubt.DISPUTED, "its own word does not settle it"
    street.answer(quote("99", "101"))
    assert street.doubt() is None


@pytest.mark.fault("M13")
def test_one_difference_is_asked_about_again_before_it_counts() -> None:
    street = Street()
    street.hear("99", "101")
    street.answer(quote("89", "91"))
    assert street.doubt(after=2.0) is None
    assert street.watch.to_ask(now=street.now) == [BTC]


EVENTS = st.lists(
    st.tuples(
        st.sampled_from(["hear", "nonsense", "answer", "none", "wait"]),
        st.decimals(min_value="-1", max_value="1000", places=2) | st.sampled_from([Decimal("NaN"), Decimal("1e300")]),
        st.floats(min_value=0.0, max_value=12.0),
    ),
    max_size=60,
)


@given(EVENTS)
# Nonsense in the moment before the limit is no sign of life.
@example([("wait", Decimal(0), 10.0), ("hear", Decimal(0), 0.0), ("wait", Decimal(0), 0.5)])
def test_whatever_comes_a_mark_is_a_price_and_silence_is_told_within_the_limit(events: list[tuple[str, Decimal, float]]) -> None:
    street = Street()
    limits = street.watch.limits
    spoken = street.now
    for kind, price, seconds in events:
        told: list[Mark | None] = []
        if kind == "hear":
            told = [street.hear(str(price), str(price + 1))]
        elif kind == "answer":
            told = list(street.answer(QuoteUpdate(BTC, price, price + 1, START)))
        elif kind == "none":
            street.answer()
        elif kind == "nonsense":
            street.watch.hear_nonsense(BTC, "no price", now=street.now)
        else:
            street.now += seconds
        marks = [mark for mark in told if mark is not None]
        assert all(mark.price.is_finite() and mark.price > 0 for mark in marks)
        spoken = street.now if marks else spoken
        if street.now - spoken > limits.silent_seconds:
            assert BTC in street.watch.troubles(now=street.now)
