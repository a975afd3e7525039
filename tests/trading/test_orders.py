"""Names of orders, moves between their statuses, the order of arbitration."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trading import order_status
from trading.order_status import LIVE, TERMINAL, may_move, sources
from trading.orders import (
    CLIENT_ORDER_ID_LENGTH_MAX,
    ClientOrderId,
    client_order_id,
    generation,
    parse_client_order_id,
    raise_deploy,
    same_family,
)
from trading.proposals import Proposal, ProposalKind, arbitration_order

EVERY = sorted(LIVE | TERMINAL)


@given(st.from_regex(r"[A-Za-z0-9]{1,8}", fullmatch=True), st.integers(0, 99_999), st.integers(0, 2**63))
def test_a_name_can_be_read_back(deploy: str, book: int, seq: int) -> None:
    """I-13: deterministic, unique for its intent, short enough for the exchange."""
    name = client_order_id(deploy, book, seq)
    assert len(name) <= CLIENT_ORDER_ID_LENGTH_MAX
    assert parse_client_order_id(name) == ClientOrderId(deploy, book, seq)
    assert client_order_id(deploy, book, seq) == name != client_order_id(deploy, book, seq + 1)


@pytest.mark.parametrize("name", ["", "web_123", "t1-1-1-zz", "x" * 36, "t1-1-1"])
def test_foreign_names_are_not_ours(name: str) -> None:
    """A check letter tells a stranger's name from ours."""
    assert parse_client_order_id(name) is None


def test_a_deploy_that_makes_no_name_is_refused() -> None:
    """At the door, not at the exchange."""
    with pytest.raises(ValueError, match="deploy"):
        client_order_id("too-long-deploy", 1, 1)


@given(st.from_regex(r"[0-9a-z]{1,6}", fullmatch=True), st.integers(1, 40))
def test_every_restore_names_orders_anew(deploy: str, count: int) -> None:
    lives = [deploy]
    for _ in range(count):
        lives.append(raise_deploy(lives[-1]))

    assert len(set(lives)) == len(lives)
    assert [generation(life) for life in lives] == list(range(count + 1))
    assert all(same_family(deploy, life) for life in lives)
    assert len({client_order_id(life, 3, 17) for life in lives}) == len(lives)


def test_a_later_life_that_was_seen_elsewhere_is_passed_over() -> None:
    assert raise_deploy("k3f9ab") == "k3f9ab1"
    assert raise_deploy("k3f9ab", beyond=31) == "k3f9ab10"
    assert not same_family("k3f9ab1", "k3f9ac1")
    with pytest.raises(ValueError, match="too often"):
        raise_deploy("k3f9abzz")


def test_terminal_orders_never_move() -> None:
    """I-14."""
    assert not any(may_move(before, after) for before in TERMINAL for after in EVERY)


def test_every_live_status_can_end_and_nothing_returns() -> None:
    """The graph has no cycle and no dead end."""
    for status in LIVE:
        assert any(may_move(status, end) for end in TERMINAL)
    assert sources(order_status.READY) == frozenset()
    assert sources(order_status.SENDING) == {order_status.READY}
    assert sources(order_status.WITHDRAWN) == {order_status.READY}
    assert sources(order_status.ABSENT) == {order_status.SENDING, order_status.UNKNOWN}


def proposal(book: int, leg: int, kind: ProposalKind, side: str = "") -> Proposal:
    """Make a proposal of a book whose rank is its number."""
    return Proposal(book_id=book, rank=book, leg=leg, instrument_id=1, kind=kind, reason="TEST", side=side)


@given(st.permutations(range(6)))
def test_arbitration_ignores_arrival(arrival: list[int]) -> None:
    """Exits first, then ranks; a book's own order is never turned round."""
    kind = ProposalKind
    asked = [
        proposal(1, 0, kind.ENTER),
        proposal(2, 0, kind.CANCEL),
        proposal(2, 1, kind.PLACE, "buy"),
        proposal(2, 2, kind.EXIT),
        proposal(3, 0, kind.EXIT),
        proposal(3, 1, kind.PLACE, "sell"),
    ]
    ranked = arbitration_order([asked[position] for position in arrival])
    assert [(row.book_id, row.leg) for row in ranked] == [(2, 0), (3, 0), (3, 1), (1, 0), (2, 1), (2, 2)]
