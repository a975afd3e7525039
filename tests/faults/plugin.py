"""A pytest plugin that adds up the tests of each fault of the catalogue: `@pytest.mark.fault("E03")` says what a test proves."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

import pytest

from tests.faults.catalogue import CATALOGUE
from tests.faults.security import SECURITY

PROPERTY: Final = "fault"
REASONS: Final = Path(__file__).parents[2] / "docs" / "faults.md"
_REASON: Final = re.compile(r"^\| ([A-Z]\d\d) \| (.+?) \|$", re.MULTILINE)

_passed: defaultdict[str, int] = defaultdict(int)
_failed: defaultdict[str, list[str]] = defaultdict(list)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Write on each test which faults it proves; a fault that nobody has catalogued is a mistake."""
    for item in items:
        for mark in item.iter_markers("fault"):
            for fault in mark.args:
                if fault not in CATALOGUE and fault not in SECURITY:
                    raise pytest.UsageError(f"{item.nodeid} proves {fault}, which is not in the catalogue")
                item.user_properties.append((PROPERTY, fault))


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Count a test for each of its faults; the preparation counts when it fails."""
    if report.when != "call" and report.passed:
        return
    for name, fault in set(report.user_properties):
        if name != PROPERTY:
            continue
        if report.passed:
            _passed[str(fault)] += 1
        elif report.failed:
            _failed[str(fault)].append(report.nodeid)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the table."""
    terminalreporter.section("faults")
    for line in table(_passed, _failed, reasons(REASONS.read_text())):
        terminalreporter.write_line(line)


def reasons(text: str) -> dict[str, str]:
    """Read why faults have no test: the table rows of the page."""
    return dict(_REASON.findall(text))


def table(passed: Mapping[str, int], failed: Mapping[str, Iterable[str]], why: Mapping[str, str]) -> list[str]:
    """Say of every fault whether its tests pass, fail or are absent, and close with the sums."""
    lines, sums = [], {"pass": 0, "fail": 0, "absent": 0}
    for fault, title in CATALOGUE.items():
        if failed.get(fault):
            verdict, detail = "fail", ", ".join(sorted(failed[fault])[:3])
        elif passed.get(fault):
            verdict, detail = "pass", f"{passed[fault]} tests"
        else:
            verdict, detail = "absent", why.get(fault, "NO REASON IS GIVEN: write one into docs/faults.md")
        sums[verdict] += 1
        lines.append(f"{fault}  {verdict:6}  {title[:60]:60}  {detail}")
    return [*lines, f"{sums['pass']} pass, {sums['fail']} fail, {sums['absent']} absent"]
