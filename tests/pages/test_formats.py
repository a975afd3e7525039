"""Numbers as people read them."""

from __future__ import annotations

from decimal import Decimal

import pytest

from tradeapp.pages import formats

D = Decimal


@pytest.mark.parametrize(
    ("shown", "text"),
    [
        (formats.quote(D("9882.31")), "9,882.31"),
        (formats.quote(D("-1234.565")), f"{formats.MINUS}1,234.56"),
        (formats.quote(D("-0.001")), "0.00"),
        (formats.quote(None), formats.NONE),
        (formats.gain(D("12.3")), "+12.30"),
        (formats.gain(D("-12.3")), f"{formats.MINUS}12.30"),
        (formats.gain(D("0.004")), "0.00"),
        (formats.percent(D("0.00123")), "+0.12 %"),
        (formats.percent(D("-0.5")), f"{formats.MINUS}50.00 %"),
        (formats.price(D("43936.23"), D("0.01")), "43,936.23"),
        (formats.price(D("0.00001234"), D("0.00000001")), "0.00001234"),
        (formats.quantity(D("0.004480000000000000")), "0.00448"),
        (formats.quantity(D("1000")), "1,000"),
        (formats.share(D("20.0000")), "20 %"),
        (formats.words("SIGNAL_NO_OPINION"), "No opinion"),
        (formats.words("DATA_STALE"), "Data stale"),
    ],
)
def test_a_number_is_written(shown: str, text: str) -> None:
    assert shown == text


@pytest.mark.parametrize(("amount", "tone"), [("0.01", "gain"), ("-0.01", "loss"), ("0.001", ""), ("-0.001", "")])
def test_what_reads_zero_has_no_colour(amount: str, tone: str) -> None:
    assert formats.tone(D(amount)) == tone
