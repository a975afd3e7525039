"""A strategy's definition as JSON: what a child tells of it, and what its parent believes of that."""

from __future__ import annotations

import keyword
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, field, fields, make_dataclass
from typing import Annotated, Any, Final, get_args, get_origin, get_type_hints

import numpy as np

from trading.strategy import MAX_SYMBOLS, Choice, Flag, OrderKind, Plot, Range, StrategyDefinition

STATE_BYTES_MAX: Final = 4 * 2**20
PARAMS_MAX: Final = 100
TEXT_MAX: Final = 2_000
_KINDS: Final[Mapping[str, type[Any]]] = {"int": int, "float": float, "bool": bool, "str": str}
_RULES: Final[Mapping[str, type[Any]]] = {"range": Range, "choice": Choice, "flag": Flag}


class BadDescription(ValueError):
    """What a strategy says of itself cannot be."""


def describe(definition: StrategyDefinition) -> dict[str, Any]:
    """Tell all of a definition that is no function."""
    if definition.leg_reasons or definition.mend_reasons:
        raise BadDescription("a strategy of one's own trades on one account: leave leg_reasons and mend_reasons out")
    return {
        "name": definition.name,
        "title": definition.title,
        "summary": definition.summary,
        "notes": list(definition.notes),
        "params": [_param(definition.params_type, name.name) for name in fields(definition.params_type)],
        "presets": {interval: dict(values) for interval, values in definition.presets.items()},
        "named_presets": {name: dict(values) for name, values in definition.named_presets.items()},
        "state": np.lib.format.dtype_to_descr(_plain(np.dtype(definition.state_dtype))),
        "order_kinds": [int(kind) for kind in definition.order_kinds],
        "regimes_expected": list(definition.regimes_expected),
        "required_inputs": list(definition.required_inputs),
        "path_dependent": definition.path_dependent,
        "is_grid": definition.is_grid,
        "symbols": [definition.symbols_least, definition.symbols_most],
    }


def _param(params_type: type[Any], name: str) -> dict[str, Any]:
    hints = get_type_hints(params_type, include_extras=True)
    hint = hints[name]
    if get_origin(hint) is not Annotated:
        raise BadDescription(f"the parameter {name} says not what it may be: write Annotated[int, Range(...)]")
    kind, rule = get_args(hint)[:2]
    words = next((word for word, known in _RULES.items() if isinstance(rule, known)), "")
    default = next(one.default for one in fields(params_type) if one.name == name)
    return {"name": name, "kind": kind.__name__, "default": default, "rule": words, **(asdict(rule) if words else {})}


def _plain(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Strip a record type of the class of its scalars: only names, types and shapes are told."""
    if dtype.subdtype is not None:
        inner, shape = dtype.subdtype
        return np.dtype((_plain(inner), shape))
    if dtype.names is None:
        return dtype
    assert dtype.fields is not None
    return np.dtype([(name, _plain(dtype.fields[name][0])) for name in dtype.names])


def read(told: Mapping[str, Any], *, name: str, **functions: Any) -> StrategyDefinition:
    """Make a definition of what was told and of functions that ask the child; BadDescription for what cannot be."""
    if _text(told, "name") != name:
        raise BadDescription(f"it calls itself {told['name']!r}; a strategy has the name of its file, {name!r}")
    try:
        return _definition(told, functions)
    except (LookupError, TypeError, ValueError, ArithmeticError, AttributeError, SyntaxError, RecursionError) as error:
        raise BadDescription(f"its definition makes no sense: {error}") from error


def _definition(told: Mapping[str, Any], functions: Mapping[str, Any]) -> StrategyDefinition:
    least, most = (_whole(value, 1, MAX_SYMBOLS) for value in told["symbols"])
    if least > most:
        raise BadDescription(f"it trades at least {least} and at most {most} markets")
    return StrategyDefinition(
        name=_text(told, "name"),
        title=_text(told, "title"),
        summary=_text(told, "summary"),
        notes=tuple(_short(note) for note in told["notes"]),
        params_type=_params_type(told["params"]),
        presets={_short(interval): dict(values) for interval, values in told["presets"].items()},
        named_presets={_short(preset): dict(values) for preset, values in told["named_presets"].items()},
        state_dtype=_state_dtype(told["state"]),
        order_kinds=tuple(OrderKind(kind) for kind in told["order_kinds"]),
        regimes_expected=tuple(_short(regime) for regime in told["regimes_expected"]),
        required_inputs=tuple(_short(word) for word in told["required_inputs"]),
        path_dependent=bool(told["path_dependent"]),
        is_grid=bool(told["is_grid"]),
        symbols_least=least,
        symbols_most=most,
        **functions,
    )


def _params_type(told: Sequence[Mapping[str, Any]]) -> type[Any]:
    if len(told) > PARAMS_MAX:
        raise BadDescription(f"{len(told)} parameters are too many (at most {PARAMS_MAX})")
    rows: list[tuple[str, Any, Any]] = []
    for row in told:
        name = _text(row, "name")
        if not name.isidentifier() or keyword.iskeyword(name) or name.startswith("_"):
            raise BadDescription(f"{name!r} is no name for a parameter")
        kind, rule = _KINDS[row["kind"]], _rule(row)
        rows.append((name, Annotated[kind, rule], field(default=_plain_value(row["default"]))))
    return make_dataclass("Params", rows, frozen=True, slots=True)


def _rule(row: Mapping[str, Any]) -> Range | Choice | Flag:
    description = _short(row["description"])
    if row["rule"] == "choice":
        return Choice(tuple(_short(option) for option in row["options"]), description)
    if row["rule"] == "flag":
        return Flag(description)
    minimum, maximum, step = (float(row[key]) for key in ("minimum", "maximum", "step"))
    if not (math.isfinite(minimum) and math.isfinite(maximum) and minimum <= maximum):
        raise BadDescription(f"{row['name']} ranges from {minimum} to {maximum}")
    return Range(minimum, maximum, step, description, _short(row["scale"]))


def _state_dtype(told: Any) -> np.dtype[Any]:
    dtype = np.dtype(np.lib.format.descr_to_dtype(_tuples(told)))
    if dtype.names is None:
        raise BadDescription("its state is no record: make it with record_dtype([...])")
    if not 0 < dtype.itemsize <= STATE_BYTES_MAX:
        raise BadDescription(f"its state has {dtype.itemsize:,} bytes (at most {STATE_BYTES_MAX:,})")
    _refuse_objects(dtype)
    return dtype


def _refuse_objects(dtype: np.dtype[Any]) -> None:
    if dtype.subdtype is not None:
        _refuse_objects(dtype.subdtype[0])
    elif dtype.fields is not None:
        for inner, *_ in dtype.fields.values():
            _refuse_objects(inner)
    elif dtype.kind not in "fiub":
        raise BadDescription(f"its state has a field of the type {dtype}: only numbers can be kept")


def _tuples(told: Any) -> Any:
    """Undo what JSON does to a descr: its fields are tuples in a list, and so are shapes."""
    if isinstance(told, str):
        return told
    return [(_short(row[0]), _tuples(row[1]), *(tuple(int(cell) for cell in shape) for shape in row[2:])) for row in told]


def read_plots(told: Sequence[Mapping[str, Any]], dtype: np.dtype[Any]) -> tuple[Plot, ...]:
    """Read which numbers of the state a chart shows; each must be there."""
    plots = []
    for row in told[:PARAMS_MAX]:
        plot = Plot(
            label=_short(row["label"]),
            field=_short(row["field"]),
            pane=_short(row["pane"]),
            cell=_whole(row["cell"], 0, 10_000),
            spread=_short(row["spread"]),
            times=float(row["times"]),
        )
        if plot.field.partition(".")[0] not in (dtype.names or ()) or (plot.spread and plot.spread not in (dtype.names or ())):
            raise BadDescription(f"a plot shows {plot.field!r}, which its state does not have")
        plots.append(plot)
    return tuple(plots)


def told_plots(plots: Sequence[Plot]) -> list[dict[str, Any]]:
    """Tell which numbers of the state a chart shows."""
    return [asdict(plot) for plot in plots]


def _text(told: Mapping[str, Any], key: str) -> str:
    return _short(told[key])


def _short(value: Any) -> str:
    if not isinstance(value, str) or len(value) > TEXT_MAX:
        raise BadDescription(f"{str(value)[:60]!r} is no text of at most {TEXT_MAX} characters")
    return value


def _plain_value(value: Any) -> Any:
    if not isinstance(value, int | float | str | bool):
        raise BadDescription(f"{str(value)[:60]!r} is no number and no word")
    return value


def _whole(value: Any, least: int, most: int) -> int:
    if not isinstance(value, int) or not least <= value <= most:
        raise BadDescription(f"{str(value)[:60]!r} is no whole number from {least} to {most}")
    return value
