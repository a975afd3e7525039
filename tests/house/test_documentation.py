"""Documentation names what exists."""

from __future__ import annotations

import re
from pathlib import Path

from tests.house.sources import PROJECT, tracked_files


def test_every_decision_is_listed() -> None:
    listed = (PROJECT / "docs" / "decisions" / "README.md").read_text(encoding="utf-8")
    pages = [Path(name) for name in tracked_files() if re.fullmatch(r"docs/decisions/\d{4}-.*\.md", name)]

    assert pages
    assert not [page.name for page in pages if f"({page.name})" not in listed]


def test_links_between_pages_lead_somewhere() -> None:
    broken = []
    for name in tracked_files():
        if name.endswith(".md"):
            folder = (PROJECT / name).parent
            for target in re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", (PROJECT / name).read_text(encoding="utf-8")):
                if "://" not in target and not (folder / target).exists():
                    broken.append(f"{name}: {target}")

    assert not broken, "\n".join(broken)


def test_the_readme_begins_with_the_two_commands() -> None:
    lines = (PROJECT / "README.md").read_text(encoding="utf-8").splitlines()

    assert [line.split()[:2] for line in lines if line.startswith("make ")][:2] == [["make", "run"], ["make", "test"]]
    assert lines.index("```") < 5
