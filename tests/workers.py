"""How two workers share the suite: whole files, and all tests of whole systems on one of them.

Such tests wait on wall time for a dozen processes; two of them at once would wait for each other's cores. xdist's own mark for
this (xdist_group, 3.8) is without effect since pytest 9 computes the names of tests by itself.
"""

from __future__ import annotations

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

WHOLE_SYSTEMS = ("tests/journeys/", "tests/tradeapp/test_up.py")


class FileScheduling(LoadScopeScheduling):  # type: ignore[misc]  # xdist has no types.
    """Give out one file at a time, so that what a module sets up is set up once."""

    def _split_scope(self, nodeid: str) -> str:
        return "whole systems" if is_whole_system(nodeid) else nodeid.partition("::")[0]


def is_whole_system(nodeid: str) -> bool:
    """Tell whether a test starts a whole system."""
    return nodeid.startswith(WHOLE_SYSTEMS)


def scheduling(config: pytest.Config, log: Producer) -> FileScheduling:
    """Give out files in the order in which they were collected: xdist would begin with those of most tests, not of most time."""
    config.option.loadscopereorder = False
    return FileScheduling(config, log)
