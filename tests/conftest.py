"""What every test may use: a real PostgreSQL and a real Valkey, started by the first test that needs them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings
from xdist.remote import Producer

from tests import servers, workers
from tests.shared_data import ABSENT, ALLOWED_SKIP, SHARED_DATA
from tests.workers import FileScheduling

# The machine may be busy: a slow example is no broken one. A night's run looks ten times as hard:
# make test ARGS="--hypothesis-profile=nightly -o timeout=7200"
for profile, examples in (("busy", 100), ("nightly", 1_000)):
    settings.register_profile(profile, parent=settings.get_profile("default"), max_examples=examples, deadline=None)
# One wrong turn after the other is put into the code: each run draws the same few examples.
settings.register_profile("mutation", max_examples=20, deadline=None, derandomize=True, database=None)
if settings.get_current_profile_name() == "default":
    settings.load_profile("busy")

_forbidden_skips: list[str] = []


@pytest.fixture(scope="session")
def embedded_servers() -> None:
    """Have PostgreSQL and Valkey running."""
    servers.ensure_running()


@pytest.fixture(scope="session")
def django_db_modify_db_settings(embedded_servers: None, django_db_modify_db_settings_parallel_suffix: None) -> None:
    """Have the servers running before pytest-django makes this worker's database."""


@pytest.fixture
def redis_url(embedded_servers: None) -> str:
    """Return the address of this worker's own Valkey."""
    return os.environ["REDIS_URL"]


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Return the folder of real candles, or skip where it is absent."""
    if not SHARED_DATA.is_dir():
        pytest.skip(ABSENT)
    return SHARED_DATA


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes longest."""
    items.sort(key=lambda item: not workers.is_whole_system(item.nodeid))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> FileScheduling | None:
    """Share the files out among the workers, unless another way is asked for."""
    return workers.scheduling(config, log) if config.getvalue("dist") == "load" else None


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Note every skip that CI does not accept."""
    _note_skip(report)


def pytest_collectreport(report: pytest.CollectReport) -> None:
    """Note modules that skip themselves, too."""
    _note_skip(report)


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """In CI, a skipped test is a failure."""
    is_worker = hasattr(session.config, "workerinput")
    if os.environ.get("CI") == "true" and _forbidden_skips and exitstatus == 0 and not is_worker:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say which skips CI does not accept."""
    if os.environ.get("CI") == "true" and _forbidden_skips:
        terminalreporter.section("skips that CI does not accept")
        for line in _forbidden_skips:
            terminalreporter.write_line(line)


def pytest_unconfigure(config: pytest.Config) -> None:
    """Stop the servers when the whole run is over."""
    if not hasattr(config, "workerinput"):
        servers.end_run()


def _note_skip(report: pytest.TestReport | pytest.CollectReport) -> None:
    if report.skipped and not hasattr(report, "wasxfail") and isinstance(report.longrepr, tuple):
        reason = str(report.longrepr[2])
        if ALLOWED_SKIP not in reason:
            _forbidden_skips.append(f"{report.nodeid}: {reason}")
