"""Running exchanges for tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.venue.processes import VenueProcess


@pytest.fixture(scope="module")
def synthetic_venue(tmp_path_factory: pytest.TempPathFactory) -> Iterator[VenueProcess]:
    """Run an exchange with the synthetic market, one bar a second."""
    venue = VenueProcess(tmp_path_factory.mktemp("venue") / "data", "--speed", "60")
    venue.start()
    yield venue
    venue.stop()


@pytest.fixture
def fresh_venue(tmp_path: Path) -> Iterator[VenueProcess]:
    """Prepare an exchange that the test starts, kills and starts again; market time stands still at first."""
    venue = VenueProcess(tmp_path / "data", "--speed", "100000", "--paused")
    yield venue
    venue.kill()
