"""A bot that merely waits for the market is not shown as one that something holds back."""

from __future__ import annotations

import pytest

from bots.gates import Checklist
from bots.models import Bot
from portfolio.selectors.gates import Gate


def checklist(*gates: Gate) -> Checklist:
    return Checklist(bot=Bot(), gates=gates)


def gate(name: str, code: str = "", *, is_open: bool = False) -> Gate:
    return Gate(name=name, is_open=is_open, code=code, remedy="Do this.", link="/")


def test_a_bot_without_a_signal_only_waits() -> None:
    one = checklist(gate("status", is_open=True), gate("signal", "FILTER_TREND"))
    assert one.only_waits
    assert one.verdict == "Nothing else is in its way: the market has to give its signal."


@pytest.mark.parametrize(
    "gates",
    [
        (gate("status"), gate("signal", "FILTER_TREND")),
        (gate("signal", "CAPITAL_INSUFFICIENT"),),
        (gate("status"),),
        (gate("signal", is_open=True),),
    ],
)
def test_whatever_else_is_shut_is_told(gates: tuple[Gate, ...]) -> None:
    assert not checklist(*gates).only_waits
