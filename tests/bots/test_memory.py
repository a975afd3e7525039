"""What a strategy remembers between candles: packed, read again, damaged, and shown to people."""

from __future__ import annotations

import json
import math
import zlib

import numpy as np
import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from hypothesis import given
from hypothesis import strategies as st

from bots import jobs
from bots.jobs.due import has_work, is_ready
from bots.memory import pack, unpack
from bots.models import Bot, BotState
from bots.selectors import remembered
from tests.bots.conftest import Desk, clock
from tests.bots.test_advance import started
from trading.live_step import StateSchemaChanged


def test_a_state_of_an_earlier_release_is_read_and_packed_with_the_next_candle(desk: Desk) -> None:
    """Nothing is warmed up anew; a hundred kilobytes of mostly empty cells become a few."""
    (bot,) = started(desk, ("FIRST", "BTC/USDT"))
    desk.close_bars([100.0])
    jobs.advance_account(account_id=desk.account.pk, clock=clock)
    memory = unpack(bytes(BotState.objects.get().data))
    BotState.objects.update(data=memory)
    seen = remembered(bot)["bars_seen"]

    desk.close_bars([100.1])
    assert jobs.advance_account(account_id=desk.account.pk, clock=clock).bots_halted == 0

    assert seen is not None
    assert remembered(bot)["bars_seen"] == seen + 1
    assert len(bytes(BotState.objects.get().data)) < len(memory)


def test_a_state_that_the_release_before_packed_is_read(desk: Desk) -> None:
    (bot,) = started(desk, ("FIRST", "BTC/USDT"))
    desk.close_bars([100.0])
    jobs.advance_account(account_id=desk.account.pk, clock=clock)
    seen = remembered(bot)
    BotState.objects.update(data=b"packed\0" + zlib.compress(unpack(bytes(BotState.objects.get().data)), 1))

    assert remembered(bot) == seen
    desk.close_bars([100.1])
    assert jobs.advance_account(account_id=desk.account.pk, clock=clock).bots_halted == 0


@given(
    st.binary(max_size=200)
    | st.lists(st.sampled_from([0.0, -0.0, 1.5, math.nan, math.inf])).map(lambda row: np.array(row).tobytes())
)
def test_what_is_packed_is_read_as_it_was(memory: bytes) -> None:
    assert unpack(pack(memory)) == memory


@given(st.binary(min_size=1, max_size=200), st.data())
def test_no_damage_is_read_as_a_state(memory: bytes, data: st.DataObject) -> None:
    stored = bytearray(pack(memory))
    at = data.draw(st.integers(len(b"sparse\0"), len(stored) - 1))
    stored[at] ^= data.draw(st.integers(1, 255))

    with pytest.raises(StateSchemaChanged, match="damaged"):
        unpack(bytes(stored))


def test_a_damaged_state_halts_its_bot_and_no_other(desk: Desk) -> None:
    broken, sound = started(desk, ("BROKEN", "BTC/USDT"), ("SOUND", "ETH/USDT"))
    desk.close_bars([100.0])
    jobs.advance_account(account_id=desk.account.pk, clock=clock)
    state = BotState.objects.get(bot=broken)
    BotState.objects.filter(pk=state.pk).update(data=bytes(state.data)[:-9])

    desk.close_bars([100.1])
    done = jobs.advance_account(account_id=desk.account.pk, clock=clock)

    assert (done.bots_stepped, done.bots_halted) == (1, 1)
    broken.refresh_from_db()
    assert broken.status_reason.startswith("STATE_CHANGED: The stored state is damaged")
    assert Bot.objects.get(pk=sound.pk).status == Bot.Status.RUNNING


def test_asking_whether_there_is_work_reads_no_memories(desk: Desk) -> None:
    """The trader asks for every candle of every market that comes in."""
    started(desk, ("FIRST", "BTC/USDT"), ("SECOND", "ETH/USDT"))
    desk.close_bars([100.0])
    jobs.advance_account(account_id=desk.account.pk, clock=clock)
    desk.close_bars([100.1])

    with CaptureQueriesContext(connection) as seen:
        assert is_ready(desk.account.pk, desk.market_at)
        assert has_work(desk.account.pk, desk.market_at)

    assert not [query["sql"] for query in seen.captured_queries if '"data"' in query["sql"]]


def test_stored_state_can_be_read_by_people(desk: Desk) -> None:
    (bot,) = started(desk, ("FIRST", "BTC/USDT"))
    assert remembered(bot) == {}
    desk.close_bars([100.0])
    jobs.advance_account(account_id=desk.account.pk, clock=clock)

    view = remembered(bot)

    assert json.dumps(view)
    assert (view["bars_seen"] or 0) > 250
    BotState.objects.update(data=b"something older")
    assert remembered(bot) == {}
