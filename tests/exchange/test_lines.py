"""Lines that are replaced while the exchange cuts them: what may have been missed is always told."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import pytest

from exchange.lines import Line, Lines, Terms
from exchange.ports import StreamGap, StreamOpen


@dataclass
class Wire:
    """A line that ends when a test says so."""

    cut: asyncio.Future[str] = field(default_factory=lambda: asyncio.get_running_loop().create_future())
    leaving: asyncio.Event = field(default_factory=asyncio.Event)

    async def close(self) -> None:
        pass


@pytest.mark.fault("M09")
@pytest.mark.parametrize("fails_first", [False, True])
async def test_a_line_that_is_cut_while_its_successor_is_dialled_leaves_a_gap(fails_first: bool) -> None:
    signs: list[StreamGap | StreamOpen] = []
    lines: list[Wire] = []
    dialling, may_answer = asyncio.Event(), asyncio.Event()

    async def dial(_names: Sequence[str]) -> Line:
        if lines:
            dialling.set()
            await may_answer.wait()
            if fails_first and len(signs) == 1:
                raise ConnectionError("nobody there")
        lines.append(Wire())
        return lines[-1]

    kept = Lines(dial=dial, sign=signs.append, names=["a"], terms=Terms(), host="gap", troubles=(ConnectionError,))
    async with asyncio.timeout(60):
        await until(lambda: signs == [StreamOpen()])
        lines[0].leaving.set()
        await dialling.wait()
        lines[0].cut.set_result("its life was over")
        may_answer.set()
        await until(lambda: len(signs) == 3)
    assert signs[1:] == [StreamGap("its life was over"), StreamOpen()]
    await kept.close()


async def until(is_so: Callable[[], bool]) -> None:
    while not is_so():  # noqa: ASYNC110 - a list sets no event.
        await asyncio.sleep(0.01)
