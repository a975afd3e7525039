"""Find a strategy by its name, and translate its parameters and state for people."""

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import fields, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final, get_args, get_origin, get_type_hints

import numpy as np

from strategies import (
    arbitrage,
    ema_ribbon,
    grid,
    hedge,
    mean_reversion,
    momentum,
    sasha_hybrid,
    scalping,
    sma_cross,
    sources,
    triple_ema,
)
from strategies.sources import UnknownStrategy
from trading.compilation import sources_hash
from trading.strategy import (
    Choice,
    Flag,
    Range,
    Record,
    StrategyDefinition,
    record_dtype,
)


class BadParameter(ValueError):
    """A parameter is unknown, of the wrong type or out of its range."""


def shipped_names() -> tuple[str, ...]:
    """List the strategies that are part of the product."""
    return tuple(_DEFINITIONS)


def own_names() -> tuple[str, ...]:
    """List the users' own strategies; one that has a shipped one's name is not among them."""
    return tuple(name for name in sources.get().names() if name not in _DEFINITIONS)


def names() -> tuple[str, ...]:
    """List the strategies there are, the shipped ones first."""
    return (*shipped_names(), *own_names())


def definition(name: str) -> StrategyDefinition:
    """Find a strategy, or refuse with the closest known name; BrokenStrategy for a user's that cannot be run."""
    if name in _DEFINITIONS:
        return _DEFINITIONS[name]
    found = sources.get().definition(name)
    if found is None:
        raise UnknownStrategy(f"Unknown strategy {name!r}.{_hint(name, names())}")
    return found


def consult(name: str, values: Mapping[str, Any] | None = None, interval: str = "") -> None:
    """Ask a strategy all that somebody who holds locks will want to know: a user's own starts its process here, not there."""
    definition(name).warmup_bars(make_params(name, values, interval))


def is_grid(name: str) -> bool:
    """Say whether results are counted in matched pairs; those of a user's strategy that is gone are counted from flat to flat."""
    try:
        return definition(name).is_grid
    except UnknownStrategy:
        return False


def code_hash(*strategies: str) -> str:
    """Fingerprint the code that these strategies run on: ours, and what users wrote."""
    own = [definition(name).source_hash for name in sorted(set(strategies)) if name not in _DEFINITIONS]
    return hashlib.sha256(" ".join([sources_hash(), *own]).encode()).hexdigest() if own else sources_hash()


def schema(name: str) -> dict[str, dict[str, Any]]:
    """Describe the parameters of a strategy for forms, checks and sweeps."""
    params_type = definition(name).params_type
    annotations = _annotations(params_type)
    described: dict[str, dict[str, Any]] = {}
    for field in fields(params_type):
        kind, rule = annotations[field.name]
        row: dict[str, Any] = {"type": kind.__name__, "default": field.default}
        if isinstance(rule, Range):
            row |= {"minimum": rule.minimum, "maximum": rule.maximum}
            row |= {"step": rule.step, "scale": rule.scale}
        elif isinstance(rule, Choice):
            row |= {"type": "choice", "options": list(rule.options)}
        described[field.name] = row | {"description": rule.description}
    return described


def param_values(name: str, values: Mapping[str, Any] | None = None, interval: str = "", preset: str = "") -> dict[str, Any]:
    """Complete the values with the interval's preset and the defaults, all checked."""
    return values_of(definition(name), values, interval, preset)


def values_of(
    strategy: StrategyDefinition, values: Mapping[str, Any] | None = None, interval: str = "", preset: str = ""
) -> dict[str, Any]:
    """Complete the values of any strategy, shipped or a user's."""
    name = strategy.name
    annotations = _annotations(strategy.params_type)
    chosen = {field.name: field.default for field in fields(strategy.params_type)}
    chosen |= strategy.presets.get(interval, {})
    chosen |= _named_preset(strategy, preset)
    for key, value in (values or {}).items():
        if key not in annotations:
            raise BadParameter(f"{name} has no parameter {key!r}.{_hint(key, annotations)}")
        chosen[key] = value
    for key, (kind, rule) in annotations.items():
        chosen[key] = _checked(f"{name}.{key}", kind, rule, chosen[key])
    strategy.check(chosen)
    return chosen


def make_params(name: str, values: Mapping[str, Any] | None = None, interval: str = "", preset: str = "") -> Record:
    """Make the record that the compiled step reads."""
    return record_of(definition(name), values, interval, preset)


def record_of(
    strategy: StrategyDefinition, values: Mapping[str, Any] | None = None, interval: str = "", preset: str = ""
) -> Record:
    """Make the record of any strategy, shipped or a user's."""
    # Whatever a person typed, the types are normalised here: `fast=9` for a float would compile
    # a second version of every step.
    chosen = values_of(strategy, values, interval, preset)
    annotations = _annotations(strategy.params_type)
    kinds = [(key, "f8" if kind is float else "i8") for key, (kind, _) in annotations.items()]
    params = np.zeros(1, dtype=record_dtype(kinds))
    for key, (_, rule) in annotations.items():
        value = chosen[key]
        params[0][key] = rule.options.index(value) if isinstance(rule, Choice) else value
    return params


def _named_preset(strategy: StrategyDefinition, preset: str) -> Mapping[str, Any]:
    if preset and preset not in strategy.named_presets:
        hint = _hint(preset, strategy.named_presets)
        raise BadParameter(f"{strategy.name} has no preset {preset!r}.{hint}")
    return strategy.named_presets[preset] if preset else {}


def _annotations(params_type: type[Any]) -> dict[str, tuple[type[Any], Any]]:
    hints = get_type_hints(params_type, include_extras=True)
    return {key: get_args(hint)[:2] for key, hint in hints.items() if get_origin(hint)}


def _checked(what: str, kind: type[Any], rule: Any, value: Any) -> Any:
    if isinstance(rule, Choice):
        if value not in rule.options:
            raise BadParameter(f"{what} must be one of {', '.join(rule.options)}, not {value!r}")
        return value
    if isinstance(rule, Flag):
        return _flag(what, value)
    return _number(what, kind, rule, value)


def _flag(what: str, value: Any) -> bool:
    words = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
    word = str(value).strip().lower()
    if word not in words:
        raise BadParameter(f"{what} must be true or false, not {value!r}")
    return words[word]


def _number(what: str, kind: type[Any], rule: Range, value: Any) -> int | float:
    if isinstance(value, bool):
        raise BadParameter(f"{what} must be a number, not {value!r}")
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise BadParameter(f"{what} must be a number, not {value!r}") from None
    if not rule.minimum <= number <= rule.maximum:
        raise BadParameter(f"{what} must be from {rule.minimum:g} to {rule.maximum:g}, not {value!r}")
    if kind is int and number != int(number):
        raise BadParameter(f"{what} must be a whole number, not {value!r}")
    return int(number) if kind is int else number


def _hint(wanted: str, known: Collection[str]) -> str:
    close = get_close_matches(wanted.lower(), known, n=1, cutoff=0.5)
    meant = f" Did you mean {close[0]!r}?" if close else ""
    return f"{meant} Known: {', '.join(known)}."


def _source_hash(strategy: StrategyDefinition) -> str:
    source = Path(__file__).with_name(f"{strategy.name}.py")
    return hashlib.sha256(sources_hash().encode() + source.read_bytes()).hexdigest()


_DEFINITIONS: Final[Mapping[str, StrategyDefinition]] = {
    strategy.name: replace(strategy, source_hash=_source_hash(strategy))
    for strategy in (
        mean_reversion.DEFINITION,
        sasha_hybrid.DEFINITION,
        grid.DEFINITION,
        triple_ema.DEFINITION,
        ema_ribbon.DEFINITION,
        sma_cross.DEFINITION,
        scalping.DEFINITION,
        momentum.DEFINITION,
        hedge.DEFINITION,
        arbitrage.DEFINITION,
    )
}
