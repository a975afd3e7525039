"""A pytest plugin for wrong turns: what finds most of them soonest runs first, and forked children collect no garbage of ours."""

from __future__ import annotations

import gc
import os
from typing import Final

import pytest

# So many histories find most wrong turns; the others are better left to the tests that look at one thing.
_FIRST_HISTORIES: Final = 4


def pytest_configure() -> None:
    """Leave what is loaded already out of every later collection."""
    gc.freeze()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the tests named after the module that is wrong, then a few histories, the small tests, the other histories."""
    # trading.desk.placing.x_place__mutmut_1
    module = os.environ.get("MUTANT_UNDER_TEST", "").rpartition(".")[0].rpartition(".")[2]
    histories = sorted((item for item in items if _is_history(item)), key=lambda item: item.nodeid)
    first = set(histories[:_FIRST_HISTORIES])
    items.sort(
        key=lambda item: 0 if item.path.name == f"test_{module}.py" else 1 if item in first else 3 if _is_history(item) else 2
    )


def _is_history(item: pytest.Item) -> bool:
    return item.nodeid.startswith("tests/simulation")
