"""Each strategy has a page, and the page tells the truth about its parameters."""

from __future__ import annotations

from pathlib import Path

import pytest

from strategies import registry

PAGES = Path(__file__).resolve().parents[2] / "docs" / "strategies"


@pytest.mark.parametrize("name", registry.shipped_names())
def test_a_page_names_every_parameter_with_its_default(name: str) -> None:
    lines = (PAGES / f"{name}.md").read_text(encoding="utf-8").splitlines()
    rows = {cells[1].strip(" `"): cells for line in lines if line.startswith("| `") and len(cells := line.split("|")) > 5}

    for parameter, row in registry.schema(name).items():
        default = row["default"]
        shown = {True: "yes", False: "no"}[default] if isinstance(default, bool) else default
        shown = f"{shown:g}" if isinstance(shown, int | float) else shown
        assert rows[parameter][2].strip() == shown, parameter
        assert rows[parameter][5].strip() == row["description"], parameter


@pytest.mark.parametrize("name", registry.shipped_names())
def test_the_overview_links_every_page(name: str) -> None:
    assert f"({name}.md)" in (PAGES / "README.md").read_text(encoding="utf-8")
