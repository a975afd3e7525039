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
def row_below_band(_context: Any, row: Any, _i: Any, mean: Any, sigma: Any, _j: Any, _width: Any) -> tuple[Any, Generate]:
    """Mark where `row[i + k] < mean[j + k] - width * sigma[j + k]`."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        left = _start(context, builder, signature.args[0], arguments[0], arguments[1])
        middle = _start(context, builder, signature.args[2], arguments[2], arguments[4])
        spread = _start(context, builder, signature.args[3], arguments[3], arguments[4])
        width = _everywhere(builder, arguments[5])

        def band(k: int) -> Any:
            return builder.fsub(_lanes(builder, middle, k), builder.fmul(width, _lanes(builder, spread, k)))

        return _word(builder, "<", lambda k: _lanes(builder, left, k), band)

    return types.uint64(row, types.uint64, mean, sigma, types.uint64, types.float64), generate


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
def lowest_of_some(_context: Any, row: Any, _i: Any, _mask: Any) -> tuple[Any, Generate]:
    """Answer the lowest of those of 64 numbers whose bit is set; what the others are does not matter."""
    return types.float64(row, types.uint64, types.uint64), _extreme("<", ir.Constant(_DOUBLE, float("inf")))


@intrinsic
def highest_of_some(_context: Any, row: Any, _i: Any, _mask: Any) -> tuple[Any, Generate]:
    """Answer the highest of those of 64 numbers whose bit is set; what the others are does not matter."""
    return types.float64(row, types.uint64, types.uint64), _extreme(">", ir.Constant(_DOUBLE, float("-inf")))


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
        spread = _everywhere(builder, arguments[0])
        return _word(builder, comparison, lambda _k: spread, lambda k: _lanes(builder, right, k))

    return generate


def _extreme(comparison: str, neutral: Any = None) -> Generate:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        start = _start(context, builder, signature.args[0], arguments[0], arguments[1])

        def wanted(k: int) -> Any:
            lanes = _lanes(builder, start, k)
            return lanes if neutral is None else _where(builder, arguments[2], k, lanes, neutral)

        best = wanted(0)
        for k in range(1, WORD // _LANES):
            best = _better(builder, comparison, wanted(k), best)
        lanes = _LANES
        while lanes > 1:
            lanes //= 2
            one, other = (_some_lanes(builder, best, first, lanes) for first in (0, lanes))
            best = _better(builder, comparison, one, other)
        return builder.extract_element(best, ir.Constant(ir.IntType(32), 0))

    return generate


def _some_lanes(builder: Any, vector: Any, first: int, count: int) -> Any:
    chosen = ir.Constant(ir.VectorType(ir.IntType(32), count), list(range(first, first + count)))
    return builder.shuffle_vector(vector, ir.Constant(vector.type, ir.Undefined), chosen)


def _where(builder: Any, mask: Any, k: int, lanes: Any, neutral: Any) -> Any:
    """Take those lanes whose bit is set, and what changes nothing for the others."""
    byte = builder.trunc(builder.lshr(mask, ir.Constant(_INTEGER, _LANES * k)), ir.IntType(_LANES))
    bits = builder.bitcast(byte, ir.VectorType(ir.IntType(1), _LANES))
    return builder.select(bits, lanes, ir.Constant(_VECTOR, [neutral] * _LANES))


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


def _everywhere(builder: Any, value: Any) -> Any:
    """Spread one number over all lanes."""
    first = builder.insert_element(ir.Constant(_VECTOR, ir.Undefined), value, ir.Constant(ir.IntType(32), 0))
    return builder.shuffle_vector(
        first, ir.Constant(_VECTOR, ir.Undefined), ir.Constant(ir.VectorType(ir.IntType(32), _LANES), [0] * _LANES)
    )


def _lanes(builder: Any, start: Any, k: int) -> Any:
    place = builder.gep(start, [ir.Constant(_INTEGER, _LANES * k)])
    return builder.load(builder.bitcast(place, _VECTOR.as_pointer()), align=8)
