"""Compare 64 numbers at a time: the answer is one bit each, and no bit for a NaN.

The compiler does not find these comparisons by itself: it would have to know that NaN may be
ignored. Written on vectors of eight, they become AVX-512 or pairs of AVX2 instructions.
"""

from collections.abc import Callable
from typing import Any, Final

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba import extending, types
from numba.np import arrayobj

WORD: Final = 64
# Whole numbers in array positions are unsigned, which spares the code for negative ones.
ONE: Final = np.uint64(1)
ALL: Final = np.uint64(0xFFFF_FFFF_FFFF_FFFF)

_LANES: Final = 8
_DOUBLE: Final = ir.DoubleType()
_INTEGER: Final = ir.IntType(64)
_VECTOR: Final = ir.VectorType(_DOUBLE, _LANES)

Generate = Callable[..., Any]

# Neither has types.
intrinsic: Any = extending.intrinsic
_make_array: Any = arrayobj.make_array


@intrinsic
def rows_above(_context: Any, left: Any, _i: Any, right: Any, _j: Any) -> tuple[Any, Generate]:
    """Mark where `left[i + k] > right[j + k]`."""
    return types.uint64(left, types.uint64, right, types.uint64), _of_rows(">")


@intrinsic
def rows_below(_context: Any, left: Any, _i: Any, right: Any, _j: Any) -> tuple[Any, Generate]:
    """Mark where `left[i + k] < right[j + k]`."""
    return types.uint64(left, types.uint64, right, types.uint64), _of_rows("<")


@intrinsic
def rows_at_least(_context: Any, left: Any, _i: Any, right: Any, _j: Any) -> tuple[Any, Generate]:
    """Mark where `left[i + k] >= right[j + k]`."""
    return types.uint64(left, types.uint64, right, types.uint64), _of_rows(">=")


@intrinsic
def value_at_least(_context: Any, _value: Any, right: Any, _j: Any) -> tuple[Any, Generate]:
    """Mark where `value >= right[j + k]`."""
    return types.uint64(types.float64, right, types.uint64), _of_value(">=")


@intrinsic
def value_at_most(_context: Any, _value: Any, right: Any, _j: Any) -> tuple[Any, Generate]:
    """Mark where `value <= right[j + k]`."""
    return types.uint64(types.float64, right, types.uint64), _of_value("<=")


@intrinsic
def value_above(_context: Any, _value: Any, right: Any, _j: Any) -> tuple[Any, Generate]:
    """Mark where `value > right[j + k]`."""
    return types.uint64(types.float64, right, types.uint64), _of_value(">")


@intrinsic
def value_below(_context: Any, _value: Any, right: Any, _j: Any) -> tuple[Any, Generate]:
    """Mark where `value < right[j + k]`."""
    return types.uint64(types.float64, right, types.uint64), _of_value("<")


@intrinsic
def lowest_of_word(_context: Any, row: Any, _i: Any) -> tuple[Any, Generate]:
    """Answer the lowest of 64 numbers, none of which may be NaN."""
    return types.float64(row, types.uint64), _extreme("<")


@intrinsic
def highest_of_word(_context: Any, row: Any, _i: Any) -> tuple[Any, Generate]:
    """Answer the highest of 64 numbers, none of which may be NaN."""
    return types.float64(row, types.uint64), _extreme(">")


@intrinsic
def first_bit(_context: Any, _word: Any) -> tuple[Any, Generate]:
    """Answer the position of the lowest set bit; the word must not be zero."""

    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 1))

    return types.int64(types.uint64), generate


def _of_rows(comparison: str) -> Generate:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        left = _start(context, builder, signature.args[0], arguments[0], arguments[1])
        right = _start(context, builder, signature.args[2], arguments[2], arguments[3])
        return _word(builder, comparison, lambda k: _lanes(builder, left, k), lambda k: _lanes(builder, right, k))

    return generate


def _of_value(comparison: str) -> Generate:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        right = _start(context, builder, signature.args[1], arguments[1], arguments[2])
        first = builder.insert_element(ir.Constant(_VECTOR, ir.Undefined), arguments[0], ir.Constant(ir.IntType(32), 0))
        everywhere = ir.Constant(ir.VectorType(ir.IntType(32), _LANES), [0] * _LANES)
        spread = builder.shuffle_vector(first, ir.Constant(_VECTOR, ir.Undefined), everywhere)
        return _word(builder, comparison, lambda _k: spread, lambda k: _lanes(builder, right, k))

    return generate


def _extreme(comparison: str) -> Generate:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        start = _start(context, builder, signature.args[0], arguments[0], arguments[1])
        best = _lanes(builder, start, 0)
        for k in range(1, WORD // _LANES):
            best = _better(builder, comparison, _lanes(builder, start, k), best)
        answer = builder.extract_element(best, ir.Constant(ir.IntType(32), 0))
        for lane in range(1, _LANES):
            other = builder.extract_element(best, ir.Constant(ir.IntType(32), lane))
            answer = _better(builder, comparison, other, answer)
        return answer

    return generate


def _word(builder: Any, comparison: str, left: Generate, right: Generate) -> Any:
    word = ir.Constant(_INTEGER, 0)
    for k in range(WORD // _LANES):
        lanes = builder.fcmp_ordered(comparison, left(k), right(k))
        byte = builder.zext(builder.bitcast(lanes, ir.IntType(_LANES)), _INTEGER)
        word = builder.or_(word, builder.shl(byte, ir.Constant(_INTEGER, _LANES * k)))
    return word


def _better(builder: Any, comparison: str, one: Any, other: Any) -> Any:
    return builder.select(builder.fcmp_ordered(comparison, one, other), one, other)


def _start(context: Any, builder: Any, kind: Any, array: Any, index: Any) -> Any:
    return builder.gep(_make_array(kind)(context, builder, array).data, [index])


def _lanes(builder: Any, start: Any, k: int) -> Any:
    place = builder.gep(start, [ir.Constant(_INTEGER, _LANES * k)])
    return builder.load(builder.bitcast(place, _VECTOR.as_pointer()), align=8)
