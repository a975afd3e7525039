"""A slow reader costs nobody else anything."""

from __future__ import annotations

import pytest

from stream.outlets import Outlet


async def test_messages_leave_in_the_order_they_came() -> None:
    outlet = Outlet()
    for text in "abc":
        outlet.put(text)

    assert [await outlet.get() for _ in range(3)] == ["a", "b", "c"]


@pytest.mark.fault("R17", "R18")
async def test_a_full_queue_is_forgotten_and_asks_for_snapshots() -> None:
    outlet = Outlet(size=3)
    for text in "abcdef":
        outlet.put(text)

    assert await outlet.get() is None

    outlet.put("g")
    assert await outlet.get() == "g"
