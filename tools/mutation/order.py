"""A pytest plugin for wrong turns: what finds most of them soonest runs first, and forked children collect no garbage of ours."""

from __future__ import annotations

import gc
import os
from typing import Final

import pytest

# So many histories are run: all the small tests together cost no more than four of them, and notice nearly everything first.
_HISTORIES: Final = 4


def pytest_configure() -> None:
    """Leave what is loaded already out of every later collection."""
    gc.freeze()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Begin with the tests named after the module that is wrong, then the small tests, then a few histories."""
    # trading.desk.placing.x_place__mutmut_1
    module = os.environ.get("MUTANT_UNDER_TEST", "").rpartition(".")[0].rpartition(".")[2]
    histories = sorted((item for item in items if _is_history(item)), key=lambda item: item.nodeid)
    config.hook.pytest_deselected(items=histories[_HISTORIES:])
    items[:] = [item for item in items if item not in histories[_HISTORIES:]]
    items.sort(key=lambda item: 0 if item.path.name == f"test_{module}.py" else 2 if _is_history(item) else 1)


def _is_history(item: pytest.Item) -> bool:
    return item.nodeid.startswith("tests/simulation")
