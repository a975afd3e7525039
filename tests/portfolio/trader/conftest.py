from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.portfolio.trader.desk import Desk, new_desk


@pytest.fixture
def desk(transactional_db: None, tmp_path: Path) -> Iterator[Desk]:
    """Have a venue whose market stands still, an account on it, and no trader yet."""
    with new_desk(tmp_path / "desk") as opened:
        yield opened
