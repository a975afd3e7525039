"""What a parent and its child say to each other: frames of bytes with their length before them, and never a pickle."""

from __future__ import annotations

import socket
import struct
import time
from typing import Final

import numpy as np

from trading.bars import Floats
from trading.strategy import BOOK_DTYPE, DECISION_DTYPE, FIELDS, FILL_DTYPE, MAX_DECISIONS, OPEN_ORDER_DTYPE, Record

START: Final = b"B"
STEP: Final = b"S"
WARMUP: Final = b"W"
FACTS: Final = b"F"
CHECK: Final = b"C"
PLOTS: Final = b"P"
PROMISES: Final = b"K"
# How an answer begins: done, or the error, or what is wrong with the parameters.
DONE: Final = b"+"
ERROR: Final = b"!"
REFUSED: Final = b"?"

FRAME_BYTES_MAX: Final = 64 * 2**20
_LENGTH: Final = struct.Struct("<I")
_STEP: Final = struct.Struct("<IIII")
COUNT: Final = struct.Struct("<q")
_FILLS_AT: Final = BOOK_DTYPE.fields["fills"][1]  # type: ignore[index]
_ORDERS_AT: Final = BOOK_DTYPE.fields["orders"][1]  # type: ignore[index]


class Closed(ConnectionError):
    """The other side is gone."""


class TooLong(ValueError):
    """The other side says more than anybody may."""


def send(channel: socket.socket, frame: bytes) -> None:
    """Send one frame; what does not get through within the channel's time raises TimeoutError."""
    try:
        channel.sendall(_LENGTH.pack(len(frame)) + frame)
    except (BrokenPipeError, ConnectionResetError) as error:
        raise Closed from error


def receive(channel: socket.socket, *, seconds: float | None = None) -> bytes:
    """Receive one frame; all of it within the seconds, or TimeoutError."""
    until = None if seconds is None else time.monotonic() + seconds
    (length,) = _LENGTH.unpack(_receive_exactly(channel, _LENGTH.size, until))
    if length > FRAME_BYTES_MAX:
        raise TooLong(f"{length:,} bytes are too many for an answer")
    return _receive_exactly(channel, length, until)


def _receive_exactly(channel: socket.socket, length: int, until: float | None) -> bytes:
    frame = bytearray(length)
    view, got = memoryview(frame), 0
    while got < length:
        if until is not None:
            left = until - time.monotonic()
            if left <= 0:
                raise TimeoutError
            channel.settimeout(left)
        try:
            count = channel.recv_into(view[got:])
        except ConnectionResetError as error:
            raise Closed from error
        if count == 0:
            raise Closed
        got += count
    return bytes(frame)


def step_question(params: Record, state: Record, panel: Floats, i: int, book: Record) -> bytes:
    """Ask for the decisions at the close of bar i: that bar alone is told, so that nobody can look ahead."""
    bar = np.ascontiguousarray(panel[:, :, i])
    fills, orders = int(book[0]["fill_count"]), int(book[0]["order_count"])
    whole = book.tobytes()
    shown = whole[:_FILLS_AT] + whole[_FILLS_AT : _FILLS_AT + fills * FILL_DTYPE.itemsize]
    shown += whole[_ORDERS_AT : _ORDERS_AT + orders * OPEN_ORDER_DTYPE.itemsize]
    head = _STEP.pack(panel.shape[1], params.nbytes, state.nbytes, fills)
    return b"".join((STEP, head, params.tobytes(), state.tobytes(), bar.tobytes(), shown))


def read_step(frame: bytes, params: Record, state: Record, panel: Floats, book: Record) -> Floats:
    """Lay out what is asked for in the child's arrays; answer the candles, of which the middle one is there."""
    markets, params_bytes, state_bytes, fills = _STEP.unpack_from(frame, 1)
    at = 1 + _STEP.size
    _fill(params, frame[at : at + params_bytes])
    at += params_bytes
    _fill(state, frame[at : at + state_bytes])
    at += state_bytes
    if panel.shape[1] != markets:
        # What lies before and after a bar is unknown to a step, here as everywhere.
        panel = np.full((FIELDS, markets, 3), np.nan)
    length = FIELDS * markets * 8
    panel[:, :, 1] = np.frombuffer(frame, np.float64, FIELDS * markets, at).reshape(FIELDS, markets)
    at += length
    shown, cells = frame[at:], book.view(np.uint8)
    cells[:] = 0
    cells[:_FILLS_AT] = np.frombuffer(shown, np.uint8, _FILLS_AT)
    end = _FILLS_AT + fills * FILL_DTYPE.itemsize
    cells[_FILLS_AT:end] = np.frombuffer(shown, np.uint8, end - _FILLS_AT, _FILLS_AT)
    rest = np.frombuffer(shown, np.uint8, -1, end) if len(shown) > end else np.zeros(0, np.uint8)
    cells[_ORDERS_AT : _ORDERS_AT + len(rest)] = rest
    return panel


def step_answer(state: Record, decisions: Record, count: int) -> bytes:
    """Answer what was decided; a count that cannot be is told as it is, with nothing behind it."""
    told = decisions[:count] if 1 <= count <= MAX_DECISIONS else decisions[:0]
    return b"".join((DONE, COUNT.pack(count), state.tobytes(), told.tobytes()))


def read_answer(answer: bytes, state: Record, decisions: Record) -> int:
    """Take over a new state and decisions, and answer how many; ValueError for what no step can have answered."""
    (count,) = COUNT.unpack_from(answer)
    if not 1 <= count <= MAX_DECISIONS:
        raise ValueError(f"step answered {count}: it must write 1 to {MAX_DECISIONS} decisions and say how many")
    expected = COUNT.size + state.nbytes + count * DECISION_DTYPE.itemsize
    if len(answer) != expected:
        raise ValueError(f"its state and decisions are {len(answer)} bytes, not {expected}")
    _fill(state, answer[COUNT.size : COUNT.size + state.nbytes])
    decisions[:count] = np.frombuffer(answer, DECISION_DTYPE, count, COUNT.size + state.nbytes)
    return int(count)


def _fill(record: Record, cells: bytes) -> None:
    if record.nbytes != len(cells):
        raise ValueError(f"a record of {record.nbytes} bytes cannot hold {len(cells)}")
    record.view(np.uint8)[:] = np.frombuffer(cells, np.uint8)
