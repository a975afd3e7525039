"""The table of faults is whole: 180 of them, each with a test or with a reason."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

from tests.faults.catalogue import CATALOGUE
from tests.faults.plugin import REASONS, reasons, table
from tests.faults.security import SECURITY

TESTS = Path(__file__).parents[1]


def test_the_catalogue_is_whole() -> None:
    counts = {"E": 49, "M": 14, "U": 12, "C": 23, "R": 20, "D": 19, "K": 7, "O": 14, "G": 12, "P": 10}
    wanted = [f"{letter}{number:02}" for letter, count in counts.items() for number in range(1, count + 1)]
    assert list(CATALOGUE) == wanted
    assert len(wanted) == 180


def test_every_fault_has_a_test_or_a_reason() -> None:
    why = reasons(REASONS.read_text())
    missing = [fault for fault in CATALOGUE if fault not in marked() and fault not in why]
    assert missing == [], "mark a test with them, or say in docs/faults.md why there is none"


def test_no_test_proves_what_nobody_has_catalogued() -> None:
    """`make faults` ends at once where one does."""
    known = CATALOGUE.keys() | SECURITY.keys()
    proven = [(path.name, fault) for path in TESTS.rglob("*.py") for fault in _named_in(path.read_text())]
    assert len(proven) > 180
    assert [(name, fault) for name, fault in proven if fault not in known] == []


def test_no_reason_outlives_its_test() -> None:
    why = reasons(REASONS.read_text())
    assert set(why) <= set(CATALOGUE)
    assert [fault for fault in why if fault in marked()] == [], "these are tested now: strike them from docs/faults.md"


def test_the_table_counts_what_it_shows() -> None:
    lines = table({"E01": 2}, {"E02": ["a_test"]}, {"E03": "because"})
    assert len(lines) == 181
    assert lines[-1] == "1 pass, 1 fail, 178 absent"
    assert "2 tests" in lines[0]
    assert "a_test" in lines[1]
    assert "because" in lines[2]


@cache
def marked() -> frozenset[str]:
    """Return the faults that any test is marked with, read from the sources."""
    found: set[str] = set()
    for path in TESTS.rglob("*.py"):
        source = path.read_text()
        if "mark.fault" not in source:
            continue
        tree = ast.parse(source)
        texts = {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)}
        found |= texts & set(CATALOGUE)
    return frozenset(found)


def _named_in(source: str) -> list[str]:
    """List what the marks of a source name, wherever they stand."""
    if "mark.fault(" not in source:
        return []
    calls = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    marks = [call for call in calls if isinstance(call.func, ast.Attribute) and call.func.attr == "fault"]
    return [str(one.value) for mark in marks for one in mark.args if isinstance(one, ast.Constant)]
