"""Money is never a float, and only shells own a watch."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from tests.house.sources import Source, dotted_name, is_excused, product_sources

# Where amounts of money are stored, moved or sent.
MONEY = (
    "portfolio/",
    "trading/ledger.py",
    "trading/positions.py",
    "trading/orders.py",
    "trading/allocations.py",
    "trading/proposals.py",
)
CLOCKS = {
    "datetime.now",
    "datetime.utcnow",
    "datetime.today",
    "datetime.datetime.now",
    "date.today",
    "time.time",
    "time.time_ns",
    "timezone.now",
    "django.utils.timezone.now",
}
CHANCE = {"uuid.uuid4", "uuid.uuid1", "uuid4", "random.random", "random.randint", "random.choice", "secrets.token_hex"}
# Functions that decide or write are handed their instant.
TIMELESS_ROOMS = ("models", "selectors", "writers", "services")


def test_no_float_in_a_money_path() -> None:
    floats = [
        f"{source.path}:{node.lineno} {ast.unparse(node)}"
        for source in product_sources()
        if source.path.startswith(MONEY) and "/management/" not in source.path
        for node in ast.walk(source.tree)
        if isinstance(node, ast.Call) and dotted_name(node.func).split(".")[-1] in {"float", "FloatField"}
        if not is_excused(source, node.lineno)
    ]

    assert not floats, "\n".join(floats)


def test_no_decimal_is_made_from_a_float() -> None:
    inexact = [
        f"{source.path}:{node.lineno} {ast.unparse(node)}"
        for source in product_sources()
        for node in ast.walk(source.tree)
        if isinstance(node, ast.Call) and dotted_name(node.func) == "Decimal" and node.args
        if isinstance(node.args[0], ast.Constant) and isinstance(node.args[0].value, float)
    ]

    assert not inexact, "\n".join(inexact)


def test_a_pure_package_has_neither_clock_nor_chance() -> None:
    impure = [
        f"{source.path}:{line} {name}"
        for source in product_sources()
        if source.package in {"trading", "strategies"}
        for line, name in _calls(source)
        if name in CLOCKS | CHANCE
    ]

    assert not impure, "\n".join(impure)


def test_a_room_that_decides_or_writes_is_handed_its_instant() -> None:
    watches = [
        f"{source.path}:{line} {name}"
        for source in product_sources()
        if _room(source.path) in TIMELESS_ROOMS
        for line, name in _calls(source)
        if name in CLOCKS and not is_excused(source, line)
    ]

    assert not watches, "\n".join(watches)


def _calls(source: Source) -> Iterator[tuple[int, str]]:
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Call):
            yield node.lineno, dotted_name(node.func)


def _room(path: str) -> str:
    return path.split("/")[1].removesuffix(".py") if "/" in path else ""
